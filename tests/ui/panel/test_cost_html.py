"""The tab of costs in words: the numbers of an Estimate, what answers took, the same picture elsewhere."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.cost.estimate import Estimate, Memory, TimeRange, Times
from qwen2vl_demo.engine.protocol import GenerationOptions, Outcome
from qwen2vl_demo.geometry import VisionSpan, grid_thw, mrope_position_ids, smart_resize
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.trace import MediaTrace, PromptTrace
from qwen2vl_demo.ui.chat.conversation import duration
from qwen2vl_demo.ui.panel.comparison_html import comparison_gone_html, comparison_html, comparison_table_html
from qwen2vl_demo.ui.panel.comparisons import Comparisons
from qwen2vl_demo.ui.panel.cost_html import estimate_html, operations, outcomes_html, released_html
from qwen2vl_demo.ui.panel.lazy import trace_key
from qwen2vl_demo.ui.panel.token_pairs import Pair, pairs_of, token_words
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft
from tests.fake_engine import FakeEngine
from tests.ui.conftest import respond

TIMES = Times(*(TimeRange.around(seconds, 0.3) for seconds in (0.002, 0.4, 0.1, 0.02)))
ESTIMATE = Estimate(
    prompt_tokens=1500,
    turn_tokens=1200,
    media_tokens=1100,
    context_length=32_768,
    reused_tokens=300,
    media=3,
    reused_media=2,
    memory=Memory(4_417_971_200, 43_000_000, 90_000_000, free=10_000_000_000),
    times=TIMES,
    basis="a <calibration>",
)


def words(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def medium(original=(900, 1200), name="cat.png", start=4, frames=1, message=0) -> MediaTrace:
    resized = smart_resize(*original, max_pixels=256 * 784)
    grid = grid_thw(frames, *resized)
    tokens = grid[0] * grid[1] * grid[2] // 4
    return MediaTrace(
        kind="image" if frames == 1 else "video",
        name=name,
        message=message,
        part=0,
        original_size=original,
        resized_size=resized,
        grid_thw=grid,
        span=(start, start + tokens),
        min_pixels=3136,
        max_pixels=256 * 784,
        frame_indices=tuple(range(frames)) if frames > 1 else (),
        digest=name,
    )


def trace_of(*media: MediaTrace) -> PromptTrace:
    length = media[-1].span[1] + 6
    positions, delta = mrope_position_ids(length, [VisionSpan(m.span[0], m.grid_thw) for m in media])
    return PromptTrace(np.arange(length), positions, delta, tuple("<b>" for _ in range(length)), media, 32_768)


def test_an_estimate_in_words() -> None:
    """To the first word 2 + 400 + 100 ms; 100 tokens of 20 ms make 2.5 s with it."""
    said = words(estimate_html(ESTIMATE, draft=True))
    assert "This turn will take 1,200 tokens" in said and "1,500 of 32,768" in said and "4.6 % of the context" in said
    assert "About 0.50 s to the first word (0.37 s to 0.68 s)" in said
    assert "20 ms per token (50 per second): an answer of 100 tokens takes about 2.5 s" in said
    assert "Not charged: 300 tokens that are still known and the encoding of 2 of 3 pictures and clips" in said
    assert "Memory about 4.55 GB while it answers Beside the weights it takes 133 MB of 10 GB that are free" in said
    assert "a &lt;calibration&gt;" in said
    assert "The seconds rest on a &lt;calibration&gt;." in said
    # What was predicted before the first answer stays as it was, beside the table of what was measured since.
    last = words(estimate_html(ESTIMATE, draft=False))
    assert "The last turn took" in last
    assert "When it was asked, the seconds were predicted from a &lt;calibration&gt;." in last


def test_what_does_not_fit_is_said() -> None:
    assert ESTIMATE.memory is not None
    tight = replace(ESTIMATE, memory=replace(ESTIMATE.memory, free=1_000_000), prompt_tokens=40_000)
    said = words(estimate_html(tight, draft=True))
    assert "133 MB beside the weights, but only 1 MB are free" in said
    assert "more than the context has room for" in said


def test_a_context_that_a_server_does_not_tell_is_not_a_number() -> None:
    unknown = replace(ESTIMATE, context_length=None, memory=None, times=None)
    said = words(estimate_html(unknown, draft=True))
    assert "the whole chat has 1,500 ." in said and "1,100 of pictures and clips" in said
    assert "context" not in said and "free" not in said and "32,768" not in said


def test_without_a_model_the_reason_stands_there() -> None:
    bare = replace(ESTIMATE, memory=None, times=None, basis="No model is loaded.")
    said = words(estimate_html(bare, draft=True))
    assert "1,200 tokens" in said and said.endswith("No model is loaded.") and "Time on this device" not in said
    assert "what it will cost" in words(estimate_html(None, draft=False))


def outcome(first: float, token: float, **timings: float) -> Outcome:
    return Outcome(ESTIMATE, {"first_token": first, "decode": 10 * token, **timings}, 1500, 10, 300)


def test_predicted_stands_beside_measured() -> None:
    """Of four predictions one is wrong: 0.9 s were outside 0.37 to 0.68. Waiting for another visitor is nobody's fault:
    0.3 s of the second answer's 0.8 s to the first word."""
    said = outcomes_html([outcome(0.9, 0.021), outcome(0.8, 0.019, wait=0.3)])
    assert "Of 4 predictions for the last 2 answers of this tab, 3 held" in words(said)
    assert said.count('class="missed"') == 1
    rows = re.findall(r"<tr>\s*<td>.*?</tr>", said, re.DOTALL)
    assert "0.50 s" in rows[0] and "19 ms" in rows[0]  # the newest first
    assert "0.90 s" in rows[1] and "slower than predicted" in rows[1] and "(300 reused)" in rows[1]


def test_an_answer_that_was_not_predicted_is_left_out() -> None:
    bare = replace(ESTIMATE, times=None)
    assert (
        outcomes_html([Outcome(bare, {"first_token": 1.0}, 5, 5, 0), Outcome(ESTIMATE, {"total": 1.0}, 5, 0, 0)]) == ""
    )


def test_released_checkpoints_in_numbers() -> None:
    """2B: 2.209e9 parameters of 2 bytes; 28,672 bytes of KV cache a token."""
    trace = trace_of(medium())
    said = words(released_html(trace))
    assert "Qwen2-VL-2B 4.42 GB" in said and "Qwen2-VL-72B 147 GB" in said
    assert format_bytes(28_672 * len(trace)) in said
    assert released_html(None) == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0042, "4.2 ms"), (0.094, "94 ms"), (0.31, "0.31 s"), (2.44, "2.4 s"), (64.4, "64 s"), (200, "3 min 20 s")],
)
def test_durations(value: float, said: str) -> None:
    assert duration(value) == said


def test_sizes_and_operations() -> None:
    assert [format_bytes(v) for v in (12, 1500, 3_140_000, 4.418e9, 2e12)] == [
        "12 bytes",
        "1.5 kB",
        "3.14 MB",
        "4.42 GB",
        "2 TB",
    ]
    assert [operations(v) for v in (2.5e6, 3.1e9, 7.9e14, 2e15)] == ["2.5 MFLOP", "3.1 GFLOP", "790 TFLOP", "2 PFLOP"]


def photograph(height: int = 900, width: int = 1200) -> np.ndarray:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (height // 12, width // 12, 3), dtype=np.uint8)
    return np.asarray(PIL.Image.fromarray(small).resize((width, height), PIL.Image.Resampling.BICUBIC))


def shown(markup: str) -> list[PIL.Image.Image]:
    uris = re.findall(r'src="data:image/\w+;base64,([^"]+)"', markup)
    return [PIL.Image.open(io.BytesIO(base64.b64decode(uri))) for uri in uris]


def test_the_pictures_are_really_resampled_and_small_enough_to_travel() -> None:
    it, original = medium(), photograph()
    resized = np.asarray(PIL.Image.fromarray(original).resize(it.resized_size[::-1]))
    made = comparison_html(it, resized, original)
    assert [p.size for p in shown(made)] == [(224, 168), (336, 252), (672, 504), it.resized_size[::-1]]
    assert len(made) < 500_000
    said = words(made)
    assert "256 tokens" in said and "576 tokens" in said and "2,880 tokens" in said
    assert f"{it.merged_tokens:,} tokens" in said
    got = np.asarray(shown(made)[0].convert("RGB"), dtype=int)
    expected = np.asarray(PIL.Image.fromarray(original).resize((224, 168), PIL.Image.Resampling.BICUBIC), dtype=int)
    assert np.abs(got - expected).mean() < 12  # written with a little loss


def test_a_hostile_name_stays_text() -> None:
    it = medium(name='"><img src=x onerror=alert(1)>')
    made = comparison_html(it, photograph(*it.resized_size), None) + comparison_table_html(
        trace_of(it, replace(it, span=(300, 540)))
    )
    assert "<img src=x" not in made and "onerror=alert(1)&gt;" in made


def test_frames_of_a_clip_cost_the_others_a_picture_each() -> None:
    clip = medium((336, 448), "clip.mp4", frames=6)
    made = words(comparison_html(clip, photograph(*clip.resized_size), None))
    assert f"{6 * 256:,} (224x224)" in made and f"spends {clip.merged_tokens:,} tokens" in made
    assert "Shown is its first frame" in made


def test_several_pictures_are_counted_together() -> None:
    first = medium()
    second = medium((500, 500), "dog.png", start=first.span[1] + 4)
    said = words(comparison_table_html(trace_of(first, second)))
    assert said.endswith(f"together 512 1,152 5,760 {first.merged_tokens + second.merged_tokens:,}")
    assert comparison_table_html(trace_of(first)) == ""


def test_comparisons_are_made_once_forgotten_in_time_and_never_keep_a_whole_clip() -> None:
    comparisons = Comparisons(max_pixel_bytes=2 * 300 * 300 * 3)
    clip = np.zeros((64, 300, 300, 3), np.uint8)
    media = [medium((300, 300), f"{n}.png") for n in range(3)]
    for it in media:
        comparisons.put("", it, clip[0], None)
    assert all(resized.base is None for _, (resized, _) in comparisons._pixels.items())
    assert comparisons.html("", media[0]) == comparison_gone_html()
    figure = comparisons.html("", media[2])
    assert figure is comparisons.html("", media[2]) and "2.png" in figure


def test_pairs_worth_a_look_are_neighbours() -> None:
    it = medium((448, 672))
    trace = trace_of(it)
    _, rows, columns = it.merged_grid
    offered = {pair.words: pair for pair in pairs_of(trace)}
    beside = offered["cat.png: neighbours in a row"]
    below = offered["cat.png: neighbours in a column"]
    assert (trace.position_ids[:, beside.second] - trace.position_ids[:, beside.first]).tolist() == [0, 0, 1]
    assert (trace.position_ids[:, below.second] - trace.position_ids[:, below.first]).tolist() == [0, 1, 0]
    assert below.second - below.first == columns
    around = offered["The words before and behind cat.png"]
    assert (around.first, around.second) == (it.span[0] - 2, it.span[1] + 1)
    assert "row 0, column 1 of cat.png, at (t, h, w) = (4, 4, 5)" in token_words(trace, it.span[0] + 1)
    assert rows > 1 and token_words(trace, 0).startswith('token 0: "<b>"')


def test_a_clip_offers_a_step_of_time() -> None:
    it = medium((336, 448), "clip.mp4", frames=6)
    trace = trace_of(it)
    (pair,) = [p for p in pairs_of(trace) if "later" in p.words]
    assert (trace.position_ids[:, pair.second] - trace.position_ids[:, pair.first]).tolist() == [1, 0, 0]
    assert "step 1 of time" in token_words(trace, pair.second)


@pytest.mark.parametrize("key", [None, 5, "", "1,2", "a,b,c", "-1,2,x", "1.5,2,x"])
def test_a_strange_choice_is_no_choice(key: object) -> None:
    assert Pair.read(key) is None


def test_a_choice_comes_back_from_the_page() -> None:
    pair = Pair("cat, and dog.png: neighbours", 3, 4)
    assert Pair.read(pair.key) == pair


def test_a_prompt_is_named_by_all_that_is_shown_of_it() -> None:
    it = medium()
    keys = {
        trace_key(None),
        trace_key(trace_of(it)),
        trace_key(trace_of(replace(it, name="x"))),
        trace_key(trace_of(medium(start=5))),
    }
    assert len(keys) == 4 and trace_key(trace_of(medium())) == trace_key(trace_of(it))


def test_what_follows_by_itself_never_brings_a_closed_tab_back(store) -> None:  # type: ignore[no-untyped-def]
    """A look that ends after its tab was closed would otherwise leave a session behind that nobody closes."""
    parts = Parts.build(FakeEngine(), store)
    session = parts.sessions.open("tab", None)
    assert parts.sessions.find("tab") is session
    parts.sessions.drop("tab")
    assert parts.sessions.find("tab") is None and parts.sessions.find(None) is None
    assert len(parts.sessions) == 0


class TimedEngine(FakeEngine):
    """Says before each answer what it will cost."""

    def estimate(self, trace: PromptTrace, options: GenerationOptions) -> Estimate:
        return replace(ESTIMATE, prompt_tokens=len(trace), media_tokens=sum(m.merged_tokens for m in trace.media))


def test_what_was_said_before_stays_beside_what_it_took(store, files) -> None:  # type: ignore[no-untyped-def]
    """Before sending: the line above the composer and the tab. Afterwards the same estimate, and its outcome."""
    parts = Parts.build(TimedEngine(step=0.0, encode=0.0), store)
    session = parts.sessions.open("tab", None)
    values: dict[str, object] = {}
    draft = Draft("What?", (files("cat.png"),))
    look = parts.preview.refresh(session, draft, values)
    assert look.cost is not None and look.cost.endswith("About 0.50 s to the first word.")
    assert look.panel is not None and look.panel.draft and look.panel.estimate is not None
    assert look.panel.outcomes == ()
    before = look.panel.estimate
    for _ in (parts.controller.begin(session, draft), *respond(parts, session, values)):
        pass
    after = parts.preview.refresh(session, Draft(), values).panel
    assert after is not None and after.estimate is not None
    assert after.estimate.prompt_tokens == before.prompt_tokens
    (result,) = after.outcomes
    assert result.estimate is after.estimate and result.timings["first_token"] > 0
    assert "Predicted and measured" in outcomes_html(after.outcomes)


def test_times_of_a_server_are_called_so() -> None:
    markup = words(
        estimate_html(replace(ESTIMATE, place="on the server", memory=None, basis="the last answer"), draft=True)
    )
    assert "Time on the server" in markup and "on this device" not in markup and "Memory" not in markup
