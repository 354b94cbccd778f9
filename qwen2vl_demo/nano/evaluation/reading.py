"""How well a nano checkpoint reads: the error of its answers in characters, on print that training never used.

    python -m qwen2vl_demo.nano.evaluation.reading [--model assets/nano] [--lines 100] [--brief] [--json OUT]

The typefaces, the texts and the wordings of the questions are held out. Answers are generated greedily by the engine,
and pictures go through its resizing. The character error of a group of answers is the number of characters to insert,
delete or replace in them, divided by the number of characters that are printed; a line break counts as a space.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import PIL.Image

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.geometry import FACTOR, Size
from qwen2vl_demo.nano.dialogue.print_phrases import PAGE_PHRASES
from qwen2vl_demo.nano.dialogue.wording import random_wording
from qwen2vl_demo.nano.evaluation.studies import TOKEN_SIDES, by_budget, format_comparison
from qwen2vl_demo.nano.training.validation import HELD_OUT_SEED, FamilyScore
from qwen2vl_demo.nano.world.pages import random_page
from qwen2vl_demo.nano.world.typesetting import draw_page
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text

PRINT_SIZES = (10, 12, 14, 17, 20, 28, 40)  # px
LINES = tuple(range(1, 9))  # of a page
FRAME = 16  # tokens, around what an answer quotes
LEAST_TOKENS, MOST_TOKENS = 4, 1024  # a picture keeps its own size between these
LINE_SIZE, PAGE_SIZE = (168, 448), (448, 448)  # (height, width) in px


@dataclass(frozen=True)
class PrintQuestion:
    """A picture of print and a question, to which the answer is everything that is printed."""

    pixels: np.ndarray  # (H, W, 3) uint8
    text: str
    printed: str  # the lines, separated by line breaks


@dataclass(frozen=True)
class ReadingScore:
    """How a group of questions was answered."""

    group: str
    questions: int
    characters: int  # that are printed
    error: float  # wrong characters / characters
    exact: float  # the share of the answers without a wrong character


def edit_distance(first: str, second: str) -> int:
    """The least number of characters to insert, delete or replace that turns one text into the other (Levenshtein)."""
    codes = np.array([ord(character) for character in second])
    places = np.arange(len(second) + 1)
    row = places  # row[j]: the distance of the part of `first` read so far from the first j characters of `second`
    for index, character in enumerate(first, 1):
        replaced_or_deleted = np.minimum(row[:-1] + (codes != ord(character)), row[1:] + 1)
        start = np.concatenate([[index], replaced_or_deleted])
        row = np.minimum.accumulate(start - places) + places  # characters inserted after the best start
    return int(row[-1])


def quoted(answer: str) -> str:
    """What an answer like 'It says "text".' quotes, or the whole answer, which then is the text itself."""
    found = re.fullmatch(r'[A-Z][A-Za-z ]* "(.*)"\.', answer, re.DOTALL)
    return found[1] if found else answer


def wrong_characters(answer: str, printed: str) -> int:
    """How many characters of an answer, or of what it quotes, are wrong or missing, all white space being alike."""
    given = {" ".join(text.split()) for text in (answer, quoted(answer))}
    return min(edit_distance(text, " ".join(printed.split())) for text in given)


def score(group: str, answers: Iterable[tuple[str, str]]) -> ReadingScore:
    """The score of (answer, what is printed), at least one."""
    pairs = [(wrong_characters(answer, printed), len(" ".join(printed.split()))) for answer, printed in answers]
    wrong, characters = (sum(column) for column in zip(*pairs, strict=True))
    exact = sum(not one for one, _ in pairs) / len(pairs)
    return ReadingScore(group, len(pairs), characters, wrong / characters, exact)


def budget(tokens: int) -> MediaOptions:
    """Options under which a square picture gets that many merged tokens, whatever its size."""
    return MediaOptions(min_pixels=tokens * FACTOR**2, max_pixels=tokens * FACTOR**2)


OWN_SIZE = MediaOptions(min_pixels=LEAST_TOKENS * FACTOR**2, max_pixels=MOST_TOKENS * FACTOR**2)


def ask(engine: Engine, pixels: np.ndarray, text: str, printed: str, media: MediaOptions = OWN_SIZE) -> str:
    """The greedy answer to a question about a picture. It is cut off where it is longer than what is printed by far."""
    message = Message("user", [Image(PIL.Image.fromarray(pixels)), Text(text)])
    *_, last = engine.stream([message], GenerationOptions(max_new_tokens=len(printed) + FRAME, media=media))
    return last.result.text if last.result else ""


def transcribe(
    engine: Engine, group: str, questions: Iterable[PrintQuestion], media: MediaOptions = OWN_SIZE
) -> ReadingScore:
    """The score of an engine's answers."""
    return score(group, ((ask(engine, q.pixels, q.text, q.printed, media), q.printed) for q in questions))


def print_questions(
    rng: np.random.Generator, size: Size, *, lines: int | None = None, print_size: int | None = None
) -> Iterator[PrintQuestion]:
    """Endless questions for all that a held-out page of a (height, width) says, with as many lines as asked for."""
    while True:
        page = random_page(rng, size, split="held_out", print_size=print_size, lines=lines)
        if page.text and lines in (None, len(page.lines)):
            pixels, _ = draw_page(page, rng)
            yield PrintQuestion(pixels, random_wording(rng, PAGE_PHRASES["page"], "held_out"), page.text)


def format_scores(title: str, scores: list[ReadingScore]) -> str:
    lines = [f"{title:<34} {'character error':>15} {'exact':>7} {'questions':>9} {'characters':>10}"]
    lines += [f"{s.group:<34} {s.error:>15.1%} {s.exact:>7.1%} {s.questions:>9} {s.characters:>10,}" for s in scores]
    return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """The tables of `measure`."""

    lines: list[ReadingScore]  # single lines, by the size of their print
    pages: list[ReadingScore]  # by their number of lines
    budgets: list[ReadingScore]  # the same pages of 5 lines in 14 px, by the merged tokens they get
    families: dict[int, list[FamilyScore]]  # of scenes, charts and receipts of 224x224 px, likewise


def measure(engine: LocalEngine, *, lines: int = 100, pages: int = 12, dialogues: int = 16) -> Report:
    """`lines` questions for each size of print, `pages` for each number of lines and for each budget, and `dialogues`
    about scenes and as many about charts and receipts."""

    def ask_for(index: int, count: int, size: Size, **wanted: int) -> list[PrintQuestion]:
        rng = np.random.default_rng([HELD_OUT_SEED, 79, index, *wanted.values()])
        return list(islice(print_questions(rng, size, **wanted), count))

    resized = ask_for(2, pages, PAGE_SIZE, lines=5, print_size=14)
    parts = (engine.model, engine.processor.tokenizer, engine.processor.template)
    return Report(
        [transcribe(engine, f"{px} px", ask_for(0, lines, LINE_SIZE, lines=1, print_size=px)) for px in PRINT_SIZES],
        [transcribe(engine, f"{count} lines", ask_for(1, pages, PAGE_SIZE, lines=count)) for count in LINES],
        [transcribe(engine, f"{side * side:,} tokens", resized, budget(side * side)) for side in TOKEN_SIDES],
        by_budget(*parts, dialogues=dialogues, kinds=("scene", "document"), sides=TOKEN_SIDES),
    )


def format_report(report: Report) -> str:
    tables = [
        format_scores("single lines", report.lines),
        format_scores("pages of print", report.pages),
        format_scores("pages of print of 14 px at", report.budgets),
        format_comparison({f"{tokens:,} tokens": scores for tokens, scores in report.families.items()}),
    ]
    return "\n\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help='"nano" or a checkpoint directory')
    parser.add_argument("--lines", type=int, default=100, help="single lines of each print size")
    parser.add_argument("--brief", action="store_true", help="a fifth of the questions")
    parser.add_argument("--json", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    engine = LocalEngine.load(options.model, device="cpu", dtype="float32")
    counts = {"lines": options.lines, "pages": 12, "dialogues": 16}
    if options.brief:
        counts = {name: max(2, count // 5) for name, count in counts.items()}
    report = measure(engine, **counts)
    print(format_report(report))
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
