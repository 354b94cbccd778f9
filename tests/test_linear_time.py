"""Every parser that sees the text of a model or of a stranger takes time linear in its length.

A regular expression holds the interpreter until it ends, so a quadratic one lets a text of a few kilobytes stop the
page for everybody: one box and 24,000 commas once took 52 seconds.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from qwen2vl_demo.attention_trace import Word, split_words
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.chat import BUILT_IN_TEMPLATE, ChatTemplate, answer_ids, encode_chat
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.processing.tokenizer import Tokenizer
from qwen2vl_demo.resources import NANO
from qwen2vl_demo.ui.chat.answer_boxes import answer_boxes
from qwen2vl_demo.ui.chat.box_links import _names
from qwen2vl_demo.ui.chat.bubbles import asked_words
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Medium, Turn
from qwen2vl_demo.ui.chat.kept_chat import read_kept, with_words
from qwen2vl_demo.ui.chat.markdown import literal, safe_markdown
from qwen2vl_demo.ui.chat.question_regions import pointed_picture
from qwen2vl_demo.ui.chat.saved_chat import clean, dumps, from_record, loads
from qwen2vl_demo.ui.panel.answered import spaces_before
from qwen2vl_demo.ui.panel.token_pairs import Pair
from qwen2vl_demo.viz.attention_maps import parse_selection
from qwen2vl_demo.viz.boxes import parse_boxes, text_without_boxes
from tests.linear_time import is_linear, processor_seconds

BOX = "<|box_start|>(1,1),(2,2)<|box_end|>"
NAME = "<|object_ref_start|>a<|object_ref_end|>"
PLAIN_BOX, OBJECT = "a cat(1,2),(3,4)", '[{"bbox_2d": [1, 2, 3, 4], "label": "cat"}, '
PLAIN_PIECES = (
    *(PLAIN_BOX, OBJECT, "(1,2),(3,4),", "(1,", "(", "a", " ", "1", ",", '"bbox_2d": [', '"label": "'),
    *('"label": "\\\\', "<point>1 ", "start_box='(1,2)'", "start_box='("),
)
BOX_PIECES = (
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *(BOX, NAME, "(1,2)", "(", "(1 ", "1", ",", ", ", " ", "\t", ";", ".", "\n", "<", "<|", "a"),
)
MARKDOWN_PIECES = (
    *("`", "``", "`a", "\\", "\n", "\n\n", "\t", "    ", "- ", "1. ", "> ", "# ", "|", "*", "_", "**", "~~", "[", "]("),
    *("]:", "!", "<", "<a ", ">", "&", "&#96;", "$", "$$", "\n```\n", "\n~~~x\n", "\n---\n", "\n===\n", "a", "www."),
    *("http://a", "\n- ", "\n  - ", "\n> ", "\n    a", "a*", "*a", "*a **b ", " b** a*", "%%", "{", "\u2028", "a|b\n"),
)


def repeated(*pieces: str, before: str = "", after: str = "") -> Callable[[int], str]:
    piece = "".join(pieces)
    return lambda length: before + piece * (length // len(piece)) + after


def halves(first: str, second: str) -> Callable[[int], str]:
    """Openers, and then as many closers."""
    return lambda length: first * (length // 2 // len(first)) + second * (length // 2 // len(second))


def tick_runs(length: int) -> str:
    """Runs of backticks, each longer than the one before, so that none closes another."""
    runs = itertools.takewhile(lambda n: n * n < 2 * length, itertools.count(1))
    return " ".join("`" * n for n in runs)


def wide_table(length: int) -> str:
    """Many columns, and rows without them: filled up, it would have a cell for each pair of characters."""
    columns = length // 8
    return "|a" * columns + "|\n" + "|-" * columns + "|\n" + "|a\n" * (length // 6)


def saved(text: str) -> Conversation:
    return from_record(loads(dumps(Conversation((Turn(text, answer=Answer(text, "end")),)))))


def cut_off(text: str) -> Conversation:
    """The words of an answer that a browser kept while it was written."""
    return read_kept(with_words(dumps(Conversation((Turn("q"),))) + "\n{}", text))


def boxed(text: str) -> object:
    pictures = tuple(Medium("image", f"{'0' * 64}.png", f"{n}.png") for n in range(9))
    marked = answer_boxes(Conversation((Turn("q", pictures, answer=Answer(f"{text} {BOX}{NAME}{BOX}", "end")),)), 0)
    return marked and _names(marked.answer, set(range(200)))


def pointed(text: str) -> object:
    return pointed_picture(Conversation((Turn(text, (Medium("image", f"{'0' * 64}.png", "a.png"),)),)), 0)


def spaces(text: str) -> object:
    """None of the words is in the text."""
    return spaces_before([Word("nowhere", n, n + 1) for n in range(min(2000, len(text) // 4))], text)


def words(text: str) -> object:
    return split_words([c.encode("utf-8", "replace") for c in text])


def no_json(text: str) -> None:
    with pytest.raises(UserError):
        from_record(loads(text))


@pytest.mark.parametrize("function", [parse_boxes, text_without_boxes, asked_words, pointed])
def test_boxes_are_read_in_linear_time(function: Callable[[str], object]) -> None:
    texts = [repeated(piece, before=before) for before in ("", BOX, NAME) for piece in BOX_PIECES]
    texts += [repeated(*pair, before=BOX) for pair in itertools.permutations(BOX_PIECES[:9], 2)]
    texts += [repeated(piece, before=before) for before in ("", PLAIN_BOX, OBJECT) for piece in PLAIN_PIECES]
    assert [make(60) for make in texts if not is_linear(function, make, 2000)] == []


def test_one_box_and_many_commas() -> None:
    """52 seconds before, for 24,000 commas."""
    assert processor_seconds(lambda: text_without_boxes(BOX + "," * 24_000 + "x")) < 1


@pytest.mark.parametrize("make", [tick_runs, wide_table, halves("*a ", " a*"), halves("**a *b ", " b* a**")])
@pytest.mark.parametrize("function", [safe_markdown, literal])
def test_markdown_with_a_plan_is_written_in_linear_time(
    function: Callable[[str], object], make: Callable[[int], str]
) -> None:
    assert is_linear(function, make, 2000)


@pytest.mark.parametrize("piece", MARKDOWN_PIECES)
def test_markdown_is_written_in_linear_time(piece: str) -> None:
    assert is_linear(safe_markdown, repeated(piece), 1000)


@pytest.mark.large
@pytest.mark.parametrize("function", [safe_markdown, literal])
def test_markdown_of_two_pieces_is_written_in_linear_time(function: Callable[[str], object]) -> None:
    # "abab" and "baba" differ in their ends alone, which hundreds of repeats outweigh.
    texts = [repeated(*pair) for pair in itertools.combinations(MARKDOWN_PIECES, 2)]
    texts += [halves(*pair) for pair in itertools.permutations(MARKDOWN_PIECES, 2)]
    assert [make(60) for make in texts if not is_linear(function, make, 400)] == []


@pytest.mark.parametrize("function", [clean, saved, cut_off, boxed, spaces, words])
@pytest.mark.parametrize("piece", ["a", " ", "picture 1", "\n", '"', "\\", "<", "\ud800", "é", "a'"])
def test_answers_and_saved_chats_are_read_in_linear_time(function: Callable[[str], object], piece: str) -> None:
    assert is_linear(function, repeated(piece), 2000)


@pytest.mark.parametrize("function", [no_json, Pair.read])
@pytest.mark.parametrize("piece", ["[", '{"a":', "9", "9,", "0.", '"', "\\u0041", "-", "1e9", "{}", " "])
def test_what_a_browser_sends_is_read_in_linear_time(function: Callable[[str], object], piece: str) -> None:
    assert is_linear(function, repeated(piece), 2000)


@pytest.mark.parametrize("piece", ["9", "9.", ".", "all"])
def test_a_choice_of_layer_and_head_is_read_in_linear_time(piece: str) -> None:
    def read(text: str) -> None:
        with pytest.raises(ValueError):
            parse_selection(text + "x")

    assert is_linear(read, repeated(piece), 4000)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_directory(NANO)


@pytest.mark.parametrize(
    "piece", ["a", " ", "\n", " \n", "<|", "<|box_start|>", "1", "é", "'", " a", "x0n1x", "{{", "\t"]
)
def test_prompts_and_answers_are_encoded_in_linear_time(tokenizer: Tokenizer, piece: str) -> None:
    template = ChatTemplate(BUILT_IN_TEMPLATE)

    def encode(text: str) -> Sequence[np.ndarray]:
        messages = [Message("user", text), Message("assistant", text), Message("user", "?")]
        return answer_ids(text, tokenizer), encode_chat(messages, template, tokenizer, placeholders=()).input_ids

    assert is_linear(encode, repeated(piece), 2000)


def test_a_quadratic_function_would_be_seen() -> None:
    def quadratic(text: str) -> int:
        return sum(text.count("b", start) for start in range(0, len(text), 4))

    assert not is_linear(quadratic, lambda length: "a" * length, 4000)
