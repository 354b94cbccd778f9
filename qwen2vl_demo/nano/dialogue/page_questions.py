"""Dialogues about printed pages: copying them and their lines, and finding words. Answers are derived from the page."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.dialogue import AttentionTarget, Dialogue, DialogueTurn
from qwen2vl_demo.nano.dialogue.page_words import PageWord, Reading, as_typed, line_targets, near_miss
from qwen2vl_demo.nano.dialogue.print_phrases import PAGE_PHRASES
from qwen2vl_demo.nano.dialogue.wording import count_sentence, random_wording
from qwen2vl_demo.nano.world.layout import random_size
from qwen2vl_demo.nano.world.pages import TextLine, TextPage, random_page
from qwen2vl_demo.nano.world.print_text import random_text_word
from qwen2vl_demo.nano.world.scene import choose
from qwen2vl_demo.nano.world.typesetting import draw_page

LEAST_ASKED = 9  # px: smaller print is not asked about
NO_TEXT, NO_TEXT_AT_ALL = "There is no text.", "No, there is no text."
_TEXTS, _WORDS = 10**6, 10**3  # how many answers are about equally plausible
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_NUMBERED = ("1st", "2nd", "3rd", *(f"{number}th" for number in range(4, 11)))
_WHOLE = 0.8  # share of the dialogues that begin with the whole page
# Shares of the other turns that copy a line; less of pages of one line, whose line has been copied before.
_COPIED, _COPIED_ALONE = 0.55, 0.2
_MARK = "\x01"  # stands for a text that random_wording must leave alone


def page_dialogue(
    rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, split: str
) -> Dialogue:
    """A dialogue about one random page; arguments as of `generator.random_dialogue`."""
    return dialogue_about(rng, random_page(rng, size or random_size(rng), split=split), turns, split)


def dialogue_about(rng: np.random.Generator, page: TextPage, turns: int, split: str) -> Dialogue:
    """A dialogue about this page with exactly `turns` turns."""
    pixels, cells = draw_page(page, rng)
    reading = Reading(page)
    legible = all(run.size >= LEAST_ASKED * page.zoom for run in page.runs)
    made: list[DialogueTurn] = []
    while len(made) < turns:
        whole = legible and not made and rng.random() < _WHOLE
        copied = rng.random() < (_COPIED if len(page.lines) > 1 else _COPIED_ALONE)
        for _ in range(6):  # repeating an earlier answer teaches little
            turn = _transcription(rng, reading, split) if whole else _random_turn(rng, reading, split, legible, copied)
            if all((turn.answer, turn.family) != (earlier.answer, earlier.family) for earlier in made):
                break
        made.append(replace(turn, media=() if made else (0,)))
    return Dialogue((pixels,), tuple(made), ((cells,),))


def _random_turn(rng: np.random.Generator, reading: Reading, split: str, legible: bool, copied: bool) -> DialogueTurn:
    if not reading.page.lines:
        return _nothing(rng, reading, split)
    if not legible:
        return DialogueTurn(_ask(rng, "is text", split), "Yes, there is.", "find", (), 2)
    if copied:
        for _ in range(8):  # not every page has lines that can be named
            if turn := _line(rng, reading, split):
                return turn
    while True:
        if turn := choose(rng, _FINDING)(rng, reading, split):
            return turn


def _ask(rng: np.random.Generator, key: str, split: str, text: str = "", **fields: str) -> str:
    """A wording in which `text`, a text that may be printed, is quoted to the letter."""
    return random_wording(rng, PAGE_PHRASES[key], split, text=_MARK, **fields).replace(_MARK, text)


def _nth(rng: np.random.Generator, index: int, count: int) -> str:
    """How the line at an index of `count` lines is called: "second", "2nd" or "last"."""
    if index == count - 1 and rng.random() < 0.5:
        return "last"
    return (_ORDINALS if rng.random() < 0.8 else _NUMBERED)[min(index, 9)]


def _says(line: TextLine) -> str:
    """How a line is quoted; one that has quotation marks itself is written as it is."""
    return line.text if '"' in line.text else f'It says "{line.text}".'


def _line_turn(reading: Reading, line: TextLine, question: str) -> DialogueTurn:
    answer = _says(line)
    targets = line_targets(reading.page, line, 0 if answer == line.text else len('It says "'))
    return DialogueTurn(question, answer, "transcribe", (), _TEXTS, tuple(targets))


def _word_turn(reading: Reading, word: PageWord, question: str, plausible: int = _WORDS) -> DialogueTurn:
    targets = line_targets(reading.page, word.line, len('It is "'), word.start, word.end)
    return DialogueTurn(question, f'It is "{word.text}".', "find", (), plausible, tuple(targets))


def _transcription(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn:
    """The whole page, copied line by line."""
    page = reading.page
    question = _ask(rng, "page", split)
    if not page.lines:
        return DialogueTurn(question, NO_TEXT, "transcribe", (), _TEXTS)
    if len(page.lines) == 1:
        return _line_turn(reading, page.lines[0], question)
    targets: list[AttentionTarget] = []
    start = 0
    for line in page.lines:
        targets += line_targets(page, line, start)
        start += len(line.text) + 1
    return DialogueTurn(question, page.text, "transcribe", (), _TEXTS, tuple(targets))


def _line(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn | None:
    """One line: by its number, its place, as the heading, by its colour, or by a word in it."""
    page, dice = reading.page, rng.random()
    index = int(rng.integers(len(page.lines)))
    line = page.lines[index]
    if page.heading and dice < 0.15:
        return _line_turn(reading, page.lines[0], _ask(rng, "heading", split))
    coloured = [each for each in page.lines if len(each.runs) == 1 and each.emphasis == 0]
    if coloured and dice < 0.35:
        return _line_turn(reading, coloured[0], _ask(rng, "line in colour", split, colour=coloured[0].runs[0].colour))
    if dice < 0.75 and page.columns == 1:
        if index in (0, len(page.lines) - 1) and rng.random() < 0.35:
            place = "top" if index == 0 and (len(page.lines) > 1 or rng.random() < 0.5) else "bottom"
            return _line_turn(reading, line, _ask(rng, "line at", split, place=place))
        nth = _nth(rng, index, len(page.lines))
        return _line_turn(reading, line, _ask(rng, "line", split, nth=nth))
    words = reading.words[index]
    if dice < 0.9 and words and words[0] and words[0].start == 0:
        word = words[0]
        if sum(each.text.lower().startswith(word.text.lower()) for each in page.lines) == 1 and len(words) > 1:
            return _line_turn(reading, line, _ask(rng, "line beginning", split, word.text))
        return None
    inside = [word for word in words if word and reading.only_once(word.text)]
    if not inside or len(page.lines) == 1:
        return None
    return _line_turn(reading, line, _ask(rng, "line with", split, choose(rng, inside).text))


def _count_lines(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn | None:
    page = reading.page
    if page.columns > 1:
        return None
    cells = {int(page.cells_of(line.runs[0])[0]) for line in page.lines} - {-1}
    answer = count_sentence(len(page.lines), "line")
    target = AttentionTarget(0, len(answer), 0, tuple(sorted(cells)))
    return DialogueTurn(_ask(rng, "count lines", split), answer, "find", (), 10, (target,) if cells else ())


def _count_words(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn | None:
    page = reading.page
    index = int(rng.integers(len(page.lines)))
    words = reading.words[index]
    if page.columns > 1 or len(words) > 8 or not all(words):
        return None
    line, answer = page.lines[index], count_sentence(len(words), "word")
    cells = {int(cell) for run in line.runs for cell in page.cells_of(run)} - {-1}
    target = AttentionTarget(0, len(answer), 0, tuple(sorted(cells)))
    if len(page.lines) == 1:
        question = _ask(rng, "count words", split)
    else:
        question = _ask(rng, "count words of line", split, nth=_nth(rng, index, len(page.lines)))
    return DialogueTurn(question, answer, "find", (), 8, (target,) if cells else ())


def _is_text(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn:
    """As of the signs of a scene, a single line is quoted."""
    question, lines = _ask(rng, "is text", split), reading.page.lines
    if len(lines) > 1 or '"' in lines[0].text:
        return DialogueTurn(question, "Yes, there is.", "find", (), 2)
    prefix = 'Yes, it says "'
    targets = line_targets(reading.page, lines[0], len(prefix))
    return DialogueTurn(question, f'{prefix}{lines[0].text}".', "find", (), 2, tuple(targets))


def _nothing(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn:
    """A question about a page without print."""
    dice = rng.random()
    if dice < 0.4:
        return replace(_transcription(rng, reading, split), family="find")
    if dice < 0.7:
        return DialogueTurn(_ask(rng, "is text", split), NO_TEXT_AT_ALL, "find", (), 2)
    return _does_not_say(rng, split, random_text_word(rng))


def _does_not_say(rng: np.random.Generator, split: str, word: str) -> DialogueTurn:
    return DialogueTurn(_ask(rng, "says", split, word), f'No, it does not say "{word}".', "find", (), 2)


def _does_it_say(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn | None:
    """Whether a word is there, half of the time; one that is not is often like one that is."""
    words = reading.all_words
    if rng.random() < 0.5:
        candidates = [word for word in words if len(word.text) > 1 and reading.only_once(word.text)]
        if not candidates:
            return None
        word = choose(rng, candidates)
        prefix = 'Yes, it says "'
        targets = line_targets(reading.page, word.line, len(prefix), word.start, word.end)
        question = _ask(rng, "says", split, as_typed(rng, word.text))
        return DialogueTurn(question, f'{prefix}{word.text}".', "find", (), 2, tuple(targets))
    other = near_miss(rng, choose(rng, words).text) if words and rng.random() < 0.6 else random_text_word(rng)
    if len(other) < 2 or other.lower() in reading.lower:
        return None
    return _does_not_say(rng, split, as_typed(rng, other))


def _special_word(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn | None:
    """The word that has a colour of its own, or is larger than all others."""
    page = reading.page
    for words in reading.words:
        for word in words:
            line = word.line if word else None
            if word is None or line is None or line.emphasis < 0:
                continue
            run = line.runs[line.emphasis]
            if sum(len(before.text) for before in line.runs[: line.emphasis]) != word.start or run.text != word.text:
                continue
            if all(run.size > 1.2 * other.size for other in page.runs if other is not run) and len(page.runs) > 1:
                return _word_turn(reading, word, _ask(rng, "largest word", split))
            if all(run.colour != other.colour for other in page.runs if other is not run) and run.colour:
                return _word_turn(reading, word, _ask(rng, "word in colour", split, colour=run.colour))
    return None


def _word_at(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn | None:
    """The first or last word of the page or of a line, or the only one of the first or last line."""
    page, dice = reading.page, rng.random()
    index = int(rng.integers(len(page.lines)))
    words = reading.words[index]
    if page.columns > 1 or len(reading.all_words) < 2:
        return None
    if dice < 0.2:
        end = choose(rng, (0, -1))
        if (word := reading.words[end][0]) and len(reading.words[end]) == 1:
            return _word_turn(reading, word, _ask(rng, "word at", split, place="bottom" if end else "top"))
        return None
    end = choose(rng, (0, -1))
    which = "last" if end else "first"
    if dice < 0.45:
        word = reading.words[end][end]
        return _word_turn(reading, word, _ask(rng, "end word", split, which=which)) if word else None
    word = words[end]
    if word is None or len(words) < 2 or len(page.lines) == 1:
        return None
    nth = _nth(rng, index, len(page.lines))
    return _word_turn(reading, word, _ask(rng, "end word of line", split, which=which, nth=nth))


def _neighbour(rng: np.random.Generator, reading: Reading, split: str) -> DialogueTurn | None:
    """What comes after or before a word in its line."""
    words = choose(rng, reading.words)
    pairs = [(one, two) for one, two in itertools.pairwise(words) if one and two]
    if not pairs:
        return None
    one, two = choose(rng, pairs)
    after = rng.random() < 0.65
    known, wanted = (one, two) if after else (two, one)
    if not reading.only_once(known.text):
        return None
    return _word_turn(reading, wanted, _ask(rng, "after" if after else "before", split, known.text))


_Maker = Callable[[np.random.Generator, Reading, str], DialogueTurn | None]
_FINDING: tuple[_Maker, ...] = (
    *(_does_it_say, _does_it_say, _does_it_say, _special_word, _special_word, _special_word),
    *(_word_at, _word_at, _neighbour, _neighbour, _count_lines, _count_words, _is_text),
)
