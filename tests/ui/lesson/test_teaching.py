"""The teacher's page: every expected result is recomputed, every address opens something, and the page shows it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import torch

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.geometry import (
    FACTOR,
    PATCH_SIZE,
    PositionScheme,
    VisionSpan,
    grid_thw,
    merged_tokens,
    mrope_position_ids,
    smart_resize,
)
from qwen2vl_demo.nano.drawn_questions import drawn_question
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video
from qwen2vl_demo.resources import EXAMPLES, TEACHING
from qwen2vl_demo.ui.example_cards import load_examples
from qwen2vl_demo.ui.lesson.prepared import SUBJECTS
from qwen2vl_demo.ui.lesson.teaching import teaching_html
from qwen2vl_demo.ui.panel.accuracy import SCENES, messages_of, options_of
from qwen2vl_demo.ui.panel.columns import SCHEMES
from qwen2vl_demo.ui.prepared_chats import load_prepared_chats

PAGE = TEACHING.read_text(encoding="utf-8")
ANIMALS, CHART = (400, 500), (672, 896)  # px, (height, width)
BEFORE, BEHIND = 15, 12  # tokens of the chat template and of the lesson's question around a picture
TABS = {"picture", "prompt", "rotation", "variants", "cost", "experiments"}


def expected() -> dict[str, str]:
    """The rows of all tables: question to expected result."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    return {question: result for question, result in rows if question != "Question"}


def tokens(height: int, width: int) -> int:
    return merged_tokens(grid_thw(1, *smart_resize(height, width)))


def side_by_side(size: tuple[int, int], most: int = 16384) -> str:
    height, width = smart_resize(*size, max_pixels=most * FACTOR**2)
    return f"{width:,} x {height:,}"


def patches(height: int, width: int) -> str:
    resized = smart_resize(height, width)
    return f"{resized[0] // PATCH_SIZE * (resized[1] // PATCH_SIZE):,}"


def positions(rows: int, columns: int) -> list[tuple[int, ...]]:
    """(t, h, w) of every token of a prompt with a picture behind `BEFORE` tokens of text."""
    length = BEFORE + rows * columns + BEHIND
    ids, _ = mrope_position_ids(length, [VisionSpan(BEFORE, (1, 2 * rows, 2 * columns))])
    return [tuple(int(axis) for axis in token) for token in ids.T]


GEOMETRY: dict[str, Callable[[], str]] = {
    "Numbers of the picture with the animals": lambda: f"{ANIMALS[0] * ANIMALS[1] * 3:,}",
    "Numbers of the chart, 896 x 672 pixels": lambda: f"{CHART[0] * CHART[1] * 3:,}",
    "Size of 500 x 400 after resizing": lambda: side_by_side(ANIMALS),
    "Size of the chart, 896 x 672, with room for all of it": lambda: side_by_side(CHART),
    "Size of the chart with at most 192 squares": lambda: side_by_side(CHART, 192),
    "Size of the chart with at most 48 squares": lambda: side_by_side(CHART, 48),
    "Patches of the chart": lambda: patches(*CHART),
    "Patches of a chart of 1,792 x 1,344": lambda: patches(1344, 1792),
    "Tokens of the picture with the animals": lambda: f"{tokens(*ANIMALS):,}",
    "Tokens of 448 x 448 pixels": lambda: f"{tokens(448, 448):,}",
    "Tokens of 1,568 x 1,568 pixels": lambda: f"{tokens(1568, 1568):,}",
    "Tokens before the picture's": lambda: f"{BEFORE}",
    "Tokens behind them": lambda: f"{BEHIND}",
    "Tokens of the whole row": lambda: f"{len(positions(14, 18))}",
    "Share of the picture": lambda: f"{100 * 14 * 18 / len(positions(14, 18)):.0f} %",
    "t, h, w of the first token": lambda: ", ".join(map(str, positions(4, 5)[BEFORE])),
    "t, h, w of the last token": lambda: ", ".join(map(str, positions(4, 5)[BEFORE + 19])),
    "The text goes on at": lambda: f"{positions(4, 5)[BEFORE + 20][0]}",
    "One by one, it would go on at": lambda: f"{BEFORE + 4 * 5}",
    "With all 18 x 14 tokens, the text goes on at": lambda: f"{positions(14, 18)[BEFORE + 14 * 18][0]}",
    "With all of them, one by one": lambda: f"{BEFORE + 14 * 18}",
}
LOCK = '"Where is the lock?", '
ANSWERS: dict[str, tuple[str, str, int | None, PositionScheme]] = {  # file, question, most tokens, positions
    "nano's answer as asked": ("receipt.png", "What is the total?", None, "mrope"),
    "nano's answer with at most 16 tokens": ("receipt.png", "What is the total?", 16, "mrope"),
    f"{LOCK}as trained": ("lesson.png", "Where is the lock?", None, "mrope"),
    f"{LOCK}h and w silenced": ("lesson.png", "Where is the lock?", None, "silenced"),
    f"{LOCK}one by one": ("lesson.png", "Where is the lock?", None, "1d"),
}
BY_BUDGET = {
    "Questions where something is, of 20 with 16 tokens each: right": 16,
    "The same with 64 tokens": 64,
    "The same with 1,024 tokens, which nano hardly met in training": 1024,
}
BY_POSITIONS = {
    "Of 10 scenes, right where something is: as trained, silenced, 1-D": "where",
    "Of 10 scenes, right what colour something has: as trained, silenced, 1-D": "colour",
}


def test_every_expected_result_is_recomputed_here() -> None:
    assert set(expected()) == {*GEOMETRY, *ANSWERS, *BY_BUDGET, *BY_POSITIONS}
    assert len(re.findall(r"^## \d\. ", PAGE, re.MULTILINE)) == 8


@pytest.mark.parametrize("question", GEOMETRY)
def test_what_arithmetic_says(question: str) -> None:
    assert expected()[question] == GEOMETRY[question]()


@pytest.fixture(scope="module")
def nano() -> Iterator[LocalEngine]:
    """On one thread: nano is too small to gain from more, and they slow each other down when the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield LocalEngine.load("nano", device="cpu", dtype="float32")
    torch.set_num_threads(before)


@pytest.mark.parametrize("question", ANSWERS)
def test_what_nano_says(nano: LocalEngine, question: str) -> None:
    file, asked, most, scheme = ANSWERS[question]
    media = MediaOptions(max_pixels=most and most * FACTOR**2)
    message = Message("user", [Image(EXAMPLES / file), Text(asked)])
    *_, last = nano.stream([message], GenerationOptions(max_new_tokens=64, positions=scheme, media=media))
    assert last.result is not None and last.result.text.strip() == expected()[question]


def rightly(nano: LocalEngine, study: str, family: str, setting: str, size: int, scenes: int) -> int:
    """How many of the scenes are answered rightly, as the page counts."""
    right = 0
    for number in range(scenes):
        drawn = drawn_question(family, number)
        *_, last = nano.stream(messages_of(drawn.at(size), drawn), options_of(study, setting))  # type: ignore[arg-type]
        right += last.result is not None and last.result.text.strip() == drawn.question.answer
    return right


@pytest.mark.slow
@pytest.mark.parametrize("question", BY_BUDGET)
def test_what_the_budgets_measure(nano: LocalEngine, question: str) -> None:
    """One more or less is within what another processor's rounding does."""
    size = BY_BUDGET[question]
    found = rightly(nano, "tokens", "where", str(size), size, SCENES["tokens"])
    assert abs(found - int(expected()[question])) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("question", BY_POSITIONS)
def test_what_the_positions_measure(nano: LocalEngine, question: str) -> None:
    found = [rightly(nano, "addresses", BY_POSITIONS[question], s, 64, SCENES["addresses"]) for s in SCHEMES]
    assert all(abs(a - int(b)) <= 1 for a, b in zip(found, expected()[question].split(", "), strict=True)), found


def test_every_address_opens_something() -> None:
    """Steps 1 to 8 once each; tabs, examples and chats that there are."""
    found = [parse_qs(urlsplit(address).query) for address in re.findall(r"`(/\?[^`]+)`", PAGE)]
    known = {
        "learn": set("12345678"),
        "tab": TABS,
        "example": {subject.key for subject in SUBJECTS} | {card.key for card in load_examples()},
        "chat": {chat.key for chat in load_prepared_chats()},
    }
    assert found and all(values[0] in known[name] for query in found for name, values in query.items())
    assert {query["chat"][0] for query in found if "chat" in query} == known["chat"]


@pytest.mark.parametrize("chat", load_prepared_chats(), ids=lambda chat: chat.key)
def test_a_prepared_chat_has_nanos_answers(nano: LocalEngine, chat) -> None:  # type: ignore[no-untyped-def]
    messages: list[Message] = []
    for turn in chat.turns:
        media = [Video(file) if file.suffix == ".mp4" else Image(file) for file in turn.files]
        messages.append(Message("user", [*media, Text(turn.text)]))
        *_, last = nano.stream(messages, GenerationOptions(max_new_tokens=64))
        assert last.result is not None and last.result.text.strip() == turn.answer
        messages.append(Message("assistant", turn.answer))


def test_the_page_shows_it_without_its_title() -> None:
    html = teaching_html()
    assert "<h1" not in html and html.count("<h4") == 8 and "<table>" in html
    assert "docs/teaching.md" in Path(TEACHING.parents[1] / "README.md").read_text(encoding="utf-8")
