"""Maps and shares of an attention record: sums, places, bytes and what is sent to a page."""

import base64
import json

import numpy as np
import pytest

from qwen2vl_demo.attention_trace import AttentionTrace, Word
from qwen2vl_demo.trace import MediaTrace, PromptTrace
from qwen2vl_demo.viz.attention_maps import (
    AVERAGE,
    ByteGrid,
    attention_payload,
    cells,
    neutral_payload,
    parse_selection,
    selection_name,
    selections,
    shares,
    weights,
)


def medium(kind, grid, start):
    t, h, w = grid
    size = (h * 14, w * 14)
    return MediaTrace(kind, kind, 0, 0, size, size, grid, (start, start + t * h * w // 4), 3136, 10**6)


def record(media, prompt_length, word, rng=None, layers=2, heads=3):
    """A record with random weights over a prompt of `prompt_length` tokens."""
    rng = rng or np.random.default_rng(0)
    ids = np.arange(prompt_length)
    prompt = PromptTrace(ids, np.tile(ids, (3, 1)), 0, tuple(map(str, ids)), tuple(media), 4096)
    seen = prompt_length - 1 + word.end
    weights = rng.dirichlet(np.full(seen, 0.2), (layers, heads)).astype(np.float32)
    answer = np.arange(word.end)
    return AttentionTrace(prompt, answer, tuple("abcdefgh"[: word.end]), word, weights)


@pytest.fixture
def trace():
    """First token, two words, a picture of 2x3 cells (3 to 8), a word, a clip of 2 x 1x2 cells (10 to 13), a word."""
    media = [medium("image", (1, 4, 6), 3), medium("video", (2, 2, 4), 10)]
    return record(media, 15, Word("red", 2, 4))


@pytest.mark.parametrize("selection", [AVERAGE, (1, None), (0, 2)])
def test_shares_are_the_sums_of_their_places_and_together_one(trace, selection):
    layer, head = selection
    row = trace.weights.mean((0, 1)) if layer is None else trace.weights[layer]
    row = row.mean(0) if layer is not None and head is None else row if head is None else row[head]
    found = shares(trace, selection)
    assert found.media == pytest.approx((row[3:9].sum(), row[10:14].sum()), abs=1e-6)
    assert found.first == pytest.approx(row[0], abs=1e-6)
    assert found.text == pytest.approx(row[1] + row[2] + row[9] + row[14], abs=1e-6)
    assert found.answer == pytest.approx(row[15:].sum(), abs=1e-6)
    assert found.pictures + found.first + found.text + found.answer == pytest.approx(1, abs=1e-5)


def test_a_marked_token_is_found_in_its_cell(trace):
    """The placeholder of the picture's row 1, column 2 is number 1 * 3 + 2 of it; of the clip's second slice, column 1,
    number 1 * 2 + 1."""
    trace.weights[:] = 0
    trace.weights[1, 2, 3 + 5] = 0.75
    trace.weights[1, 2, 10 + 3] = 0.25
    assert cells(trace, 0, (1, 2))[0, 1, 2] == 0.75
    assert cells(trace, 1, (1, 2))[1, 0, 1] == 0.25
    assert cells(trace, 0, (1, 2)).sum() + cells(trace, 1, (1, 2)).sum() == 1
    assert cells(trace, 0, (0, 2)).sum() == 0
    assert cells(trace, 0)[0, 1, 2] == pytest.approx(0.75 / 6)


def test_bytes_keep_every_value_to_half_a_step():
    values = np.random.default_rng(1).random((2, 3, 4)).astype(np.float32) * 0.03
    grid = ByteGrid.of(values)
    assert grid.values.dtype == np.uint8
    assert grid.values.max() == 255
    assert np.abs(grid.values / 255 * grid.top - values).max() <= grid.top / 255 / 2 + 1e-9
    nothing = ByteGrid.of(np.zeros((1, 2, 2), np.float32))
    assert (nothing.top, nothing.values.max()) == (0.0, 0)


def decoded(data, name):
    return np.frombuffer(base64.b64decode(data["maps"][name]["data"]), np.uint8) / 255 * data["maps"][name]["top"]


def test_a_small_record_goes_whole_and_reads_back(trace):
    data = json.loads(json.dumps(attention_payload(trace)))
    assert set(data["maps"]) == {selection_name(selection) for selection in selections(trace)} == set(data["shares"])
    assert data["grids"] == [[1, 2, 3], [2, 1, 2]]
    assert (data["layers"], data["heads"], data["word"], data["tokens"], data["chosen"]) == (2, 3, "red", 2, "all")
    for selection in selections(trace):
        expected = np.concatenate([cells(trace, m, selection).ravel() for m in range(2)])
        np.testing.assert_allclose(decoded(data, selection_name(selection)), expected, atol=expected.max() / 400)
        assert sum(data["shares"][selection_name(selection)]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("budget", "chosen", "expected"),
    [
        (0, (1, 2), {"1.2"}),
        (20, (1, 2), {"1.2", "all"}),  # 10 cells a map
        (40, (1, 2), {"1.2", "all", "0", "1"}),
        (60, (1, 2), {"1.2", "all", "0", "1", "1.0", "1.1"}),
        (60, AVERAGE, {"all", "0", "1"}),  # all six heads would be 90 bytes
        (90, AVERAGE, {"all", "0", "1", "0.0", "0.1", "0.2", "1.0", "1.1", "1.2"}),
    ],
)
def test_a_large_record_goes_in_part_with_what_was_chosen_first(trace, budget, chosen, expected):
    data = attention_payload(trace, chosen, budget)
    assert set(data["maps"]) == expected
    assert len(data["shares"]) == 9
    assert data["chosen"] == selection_name(chosen)


def test_a_prompt_of_words_alone_has_shares_and_empty_maps():
    data = attention_payload(record([], 5, Word("Hi", 0, 1)))
    assert decoded(data, "all").size == 0
    assert len(data["shares"]["all"]) == 3
    assert data["shares"]["all"][2] == 0  # the first word sees no answer


def test_a_record_of_the_size_of_the_released_model_stays_below_200_kb():
    """28 layers, 12 heads, 1,280 cells: all heads would be 430 kB, so means travel first and a layer on request."""
    trace = record([medium("image", (1, 64, 80), 20)], 1330, Word("red", 0, 1), layers=28, heads=12)
    for selection in (AVERAGE, (3, None), (3, 7)):
        data = attention_payload(trace, selection)
        assert len(json.dumps(data)) < 200_000
        assert {"all", "0", "27"} <= set(data["maps"])
    assert {f"3.{head}" for head in range(12)} <= set(data["maps"])


def test_names_of_choices_and_back(trace):
    for selection in selections(trace):
        assert parse_selection(selection_name(selection)) == selection
    for wrong in ("", "x", "1.x", "-1", "1.", ".2", "1.2.3"):
        with pytest.raises(ValueError, match="no layer or head"):
            parse_selection(wrong)
    with pytest.raises(ValueError, match="layer too"):
        weights(trace, (None, 1))


def test_subtracting_leaves_what_a_word_looked_at_beyond_the_neutral_question():
    """Of 10 cells of two pictures both give half of their attention there to cell 2, which is 5 even shares: a sink.
    The word gives the other half to cell 7, the neutral question to cell 0. How much of all attention the pictures got
    does not matter. So 0.5 is left at cell 7, and nothing elsewhere."""
    media = [medium("image", (1, 4, 6), 3), medium("video", (2, 2, 4), 10)]
    word, neutral = record(media, 15, Word("red", 0, 1)), record(media, 15, Word("A", 0, 1))
    places = [*range(3, 9), *range(10, 14)]
    for trace, on_pictures, other in ((word, 0.2, 7), (neutral, 0.8, 0)):
        trace.weights[:] = 0
        trace.weights[..., 0] = 1 - on_pictures
        trace.weights[..., places[2]] = trace.weights[..., places[other]] = on_pictures / 2
    data = json.loads(json.dumps(neutral_payload(word, neutral, ["all", "1.2"])))
    assert data["sinks"] == [[2, 5.0]]
    for name in ("all", "1.2"):
        left = np.frombuffer(base64.b64decode(data["minus"][name]["data"]), np.uint8)
        assert data["minus"][name]["top"] == pytest.approx(0.5, abs=1e-5)
        assert np.flatnonzero(left).tolist() == [7] and left[7] == 255
    shorter = record(media[:1], 15, Word("A", 0, 1))
    with pytest.raises(ValueError, match="same pictures"):
        neutral_payload(word, shorter, ["all"])
