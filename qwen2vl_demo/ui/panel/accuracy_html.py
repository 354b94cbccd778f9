"""HTML of the studies of accuracy: a curve over the budget of tokens, or a table of families by positions."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

from qwen2vl_demo.nano.drawn_questions import FAMILIES, TRAINED_TOKENS
from qwen2vl_demo.ui.markup import render
from qwen2vl_demo.ui.panel.accuracy import BUDGETS, AccuracyState, Asked, Score
from qwen2vl_demo.ui.panel.columns import SCHEMES
from qwen2vl_demo.viz.data_uri import encode_frames

WIDTH, HEIGHT = 440, 240  # of the figure, in its own units
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 46
CHARS = 12_000  # of the data URI of the last picture


@dataclass(frozen=True)
class Point:
    """A score in the figure."""

    score: Score
    x: float
    y: float
    low: float
    high: float


def accuracy_html(state: AccuracyState) -> str:
    """What is known so far; "" before anything was asked."""
    if not state.scores:
        return render("accuracy_note.html", note=state.note) if state.note else ""
    values = {
        "state": state,
        "last": _last(state),
        "percent": percent,
        "progress_share": percent(state.done / state.total),
    }
    if state.study == "addresses":
        rows = [(family, [s for s in state.scores if s.family == family]) for family in FAMILIES]
        heads = [name for name, _ in SCHEMES.values()]
        return render("accuracy_table.html", rows=rows, heads=heads, words=FAMILIES, **values)
    points = [_point(score) for score in state.scores]
    family = state.scores[0].family
    asked = sum(score.asked for score in state.scores)
    chance = sum(score.chance for score in state.scores) / asked if asked else None
    return render(
        "accuracy_curve.html",
        points=points,
        line=" ".join(f"{p.x:.1f},{p.y:.1f}" for p in points if p.score.asked),
        said="; ".join(f"{int(p.score.setting):,} tokens: {_words(p.score)}" for p in points if p.score.asked),
        family=FAMILIES[family],
        chance=chance,
        chance_y=None if chance is None else _y(chance),
        ticks=[(share, _y(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
        trained=TRAINED_TOKENS,
        trained_x=_x(TRAINED_TOKENS),
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        floor=HEIGHT - BOTTOM,
        **values,
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _words(score: Score) -> str:
    low, high = score.interval
    return f"{score.right} of {score.asked} right, {percent(low)} to {percent(high)}"


def _x(tokens: int) -> float:
    """Logarithmic, with half a step of room on both sides."""
    first, last = log2(BUDGETS[0]) - 1, log2(BUDGETS[-1]) + 1
    return LEFT + (WIDTH - LEFT - RIGHT) * (log2(tokens) - first) / (last - first)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share


def _point(score: Score) -> Point:
    low, high = score.interval
    return Point(score, _x(int(score.setting)), _y(score.share), _y(low), _y(high))


@dataclass(frozen=True)
class LastAnswer:
    asked: Asked
    uri: str
    right: bool


def _last(state: AccuracyState) -> LastAnswer | None:
    last = state.last
    if last is None:
        return None
    step = max(1, last.picture.shape[0] // 112)
    return LastAnswer(last, encode_frames(last.picture[None, ::step, ::step], CHARS).uri, last.answer == last.truth)
