"""What can be changed about a question that is asked again, and what a column of a comparison may be: the question as
it was asked, with another budget, with other positions, or asked of another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from qwen2vl_demo.engine.models.pool import FIRST
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import FACTOR, PositionScheme
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import count

Experiment = Literal["budget", "positions", "compare"]

MAX_NEW_TOKENS = 96  # of each answer
SMALL_PICTURE = 128  # merged tokens; up to here budgets are halved, above quartered
BUDGETS = (16, 64, 256, 1024)  # merged tokens that a column may have
MOST_COLUMNS = 3
AS_ASKED, NOTHING = "as asked", "nothing"  # what a column may be beside a budget, a PositionScheme and a model
MODEL = "model:"  # stands before the key of a model
MAX_KEY = 200  # characters of a column, as a browser may name it
TWO_COLUMNS = "Choose two columns that are not the same; then they can be compared."
NOTHING_SMALLER = (
    "This picture takes no more tokens than the model asks for at least, so there is no smaller budget to try. Use a "
    "larger picture, or raise the maximum of tokens per picture in the settings."
)
SCHEMES: dict[PositionScheme, tuple[str, str]] = {
    "mrope": ("M-RoPE, as trained", "each merged token at its time, row and column"),
    "silenced": ("the same position for the whole picture", "h and w are set to t, so rows and columns are gone"),
    "1d": ("plain 1-D positions", "one running number for every token"),
}


@dataclass(frozen=True)
class Variation:
    """One way to ask the question."""

    name: str
    change: str  # what is different, in words
    options: GenerationOptions
    model: str | None = None  # the key of another model that is asked; None: the one of the chat


def names_of_columns(*, positions: bool, models: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a column may be, by key, in words. `positions`: whether other ones are possible; `models` are the names of
    those that can be asked."""
    named = {AS_ASKED: AS_ASKED}
    named |= {str(budget): f"at most {count(budget, 'token')}" for budget in BUDGETS}
    if positions:
        named |= {key: name for key, (name, _) in SCHEMES.items() if key != "mrope"}
    return named | {MODEL + key: f"answered by {name}" for key, name in (models or {}).items()}


def columns_chosen(chosen: Sequence[str], mine: str = FIRST, *, models: bool = False) -> list[str]:
    """The columns that a browser chose, without those that are none or come twice. `mine` is the key of the model of
    the chat; without `models` no other can be asked."""
    known = names_of_columns(positions=True)
    wanted = (AS_ASKED if key == MODEL + mine else key for key in chosen if len(key) <= MAX_KEY)
    kept = (key for key in wanted if key in known or (models and key.startswith(MODEL)))
    return list(dict.fromkeys(kept))[:MOST_COLUMNS]


def variations(
    experiment: Experiment,
    pixel_limits: tuple[int, int],
    trace: PromptTrace,
    options: GenerationOptions,
    chosen: Sequence[str] = (),
    models: Mapping[str, str] | None = None,
    mine: str = "",
) -> list[Variation]:
    """What to try for a prompt that was asked. `chosen` are columns of `columns_chosen`, `models` the names of models
    by key, `mine` that of the chat. Raises UserError where there is nothing to try."""
    greedy = replace(options, temperature=0.0, max_new_tokens=min(options.max_new_tokens, MAX_NEW_TOKENS))
    if experiment == "positions":
        return [Variation(name, change, replace(greedy, positions=key)) for key, (name, change) in SCHEMES.items()]
    if experiment == "compare":
        if len(chosen) < 2:
            raise UserError(TWO_COLUMNS)
        return [_column(key, trace, greedy, models, mine) for key in chosen]
    _, rows, columns = trace.attached[-1].merged_grid
    now, least = rows * columns, -(-(options.media.min_pixels or pixel_limits[0]) // FACTOR**2)
    step = 2 if now <= SMALL_PICTURE else 4
    smaller = [max(least, now // step), max(least, now // step**2)]
    budgets = [budget for budget in dict.fromkeys(smaller) if budget < now]
    if not budgets:
        raise UserError(NOTHING_SMALLER)
    return [_column(key, trace, greedy) for key in (AS_ASKED, *map(str, budgets))]


def _column(
    key: str,
    trace: PromptTrace,
    greedy: GenerationOptions,
    models: Mapping[str, str] | None = None,
    mine: str = "",
) -> Variation:
    """What a key of `names_of_columns`, or any other number of tokens, changes."""
    if key == AS_ASKED:
        return Variation(AS_ASKED, f"{mine}, with " * bool(mine) + "the budget of the settings", greedy)
    if key.startswith(MODEL):
        model = key.removeprefix(MODEL)
        change = "the same chat, read by its own processor within its own budget"
        return Variation(f"answered by {(models or {}).get(model, model)}", change, greedy, model)
    scheme: PositionScheme | None = next((known for known in SCHEMES if known == key), None)
    if scheme is not None:
        return Variation(*SCHEMES[scheme], replace(greedy, positions=scheme))
    budget, clip = int(key), trace.attached[-1].kind == "video"
    shrunk = "each frame" if clip else "every picture" if len(trace.attached) > 1 else "the picture"
    most = budget * FACTOR**2
    least = None if greedy.media.min_pixels is None else min(greedy.media.min_pixels, most)
    return Variation(
        f"at most {count(budget, 'token')}{' per frame' if clip else ''}",
        f"{shrunk} is shrunk until it fits",
        replace(greedy, media=replace(greedy.media, min_pixels=least, max_pixels=most)),
    )
