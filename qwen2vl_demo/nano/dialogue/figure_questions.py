"""Questions about the tables and bar charts of papers, and what all questions about papers have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qwen2vl_demo.nano.dialogue.attention_targets import print_attention_targets
from qwen2vl_demo.nano.dialogue.dialogue import DialogueTurn
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.print_phrases import PAPER_PHRASES
from qwen2vl_demo.nano.dialogue.wording import count_sentence, random_wording
from qwen2vl_demo.nano.world.scene import choose
from qwen2vl_demo.nano.world.sheets import Paper
from qwen2vl_demo.nano.world.typesetting import TextRun

OPEN = 1000  # plausible answers of what is read from an open vocabulary


class PaperAsker:
    """Asks about one paper; every random choice comes from the generator."""

    def __init__(self, rng: np.random.Generator, paper: Paper, split: str) -> None:
        self.rng, self.paper, self.parts, self.split = rng, paper, paper.parts, split
        self.printed = " ".join(run.text for run in paper.page.runs).lower()

    def _turn(
        self, wordings: tuple[str, ...], answer: str, runs: Sequence[TextRun] = (), plausible: int = OPEN, **fields: str
    ) -> DialogueTurn:
        targets = print_attention_targets(self.paper.page, runs, answer)
        question = random_wording(self.rng, wordings, self.split, **fields)
        return DialogueTurn(question, answer, "paper", (), plausible, targets)

    def _typed(self, text: str) -> str:
        """A printed text as people type it: often in lower case."""
        return choose(self.rng, (text, text.lower(), text.lower()))

    def _is_absent(self, text: str) -> bool:
        return not any(word in self.printed for word in text.lower().replace("-", " ").split())

    def _count(self, key: str, count: int, noun: str) -> DialogueTurn:
        return self._turn(PAPER_PHRASES[key], count_sentence(count, noun), plausible=8)


class FigureQuestions(PaperAsker):
    """Asks about tables and bar charts; each question is None where it would have no single answer."""

    def _row_and_column(self) -> tuple[int, int]:
        return int(self.rng.integers(len(self.parts.rows))), int(self.rng.integers(1, len(self.parts.header)))

    def _head(self, column: int) -> str:
        head = self.parts.header[column]
        return self._typed(head.text) if head else ""

    def _cell(self) -> DialogueTurn:
        row, column = self._row_and_column()
        cell = self.parts.rows[row][column]
        name = self._typed(self.parts.rows[row][0].text)
        answer = f"It is {cell.text}."
        return self._turn(PAPER_PHRASES["cell"], answer, [cell], row=name, column=self._head(column))

    def _cell_at(self) -> DialogueTurn:
        row, column = self._row_and_column()
        cell = self.parts.rows[row][column]
        answer = f"It is {cell.text}."
        return self._turn(PAPER_PHRASES["cell at"], answer, [cell], row=str(row + 1), column=str(column + 1))

    def _row_has(self) -> DialogueTurn | None:
        row, column = self._row_and_column()
        name, text = self.parts.rows[row][0], self.parts.rows[row][column].text
        if sum(other[column].text == text for other in self.parts.rows) > 1:
            return None
        answer, rows = f"It is {name.text}.", len(self.parts.rows)
        return self._turn(PAPER_PHRASES["row has"], answer, [name], rows, value=text, column=self._head(column))

    def _row_most(self) -> DialogueTurn | None:
        _, column = self._row_and_column()
        numbers = [(row[column], index) for index, row in enumerate(self.parts.numbers)]
        known = sorted((number, index) for number, index in numbers if number is not None)
        if len(known) < len(numbers):
            return None
        most = self.rng.random() < 0.5
        (first, index), (second, _other) = (known[-1], known[-2]) if most else (known[0], known[1])
        if first == second:
            return None
        name, wordings = self.parts.rows[index][0], PAPER_PHRASES["row most" if most else "row least"]
        return self._turn(wordings, f"It is {name.text}.", [name], len(known), column=self._head(column))

    def _row(self) -> DialogueTurn:
        row = choose(self.rng, self.parts.rows)
        answer = " ".join(cell.text for cell in row)
        return self._turn(PAPER_PHRASES["row"], answer, row, row=self._typed(row[0].text))

    def _highest(self) -> DialogueTurn | None:
        high, bars = self.rng.random() < 0.6, self.parts.bars
        ordered = sorted(bars, key=lambda bar: bar.value, reverse=high)
        if len(bars) < 2:
            return None
        key, label = "highest" if high else "lowest", ordered[0].label
        return self._turn(PHRASES[key], f"{label.text} is the {key}.", [label], len(bars), part="bar")

    def _value(self) -> DialogueTurn | None:
        bar = choose(self.rng, self.parts.bars)
        if not bar.printed:
            return None
        answer = f"The value of {bar.label.text} is {bar.printed.text}."
        runs, label = [bar.label, bar.printed], self._typed(bar.label.text)
        return self._turn(PHRASES["value"], answer, runs, part="bar", letter=label)

    def _count_bars(self) -> DialogueTurn:
        answer = count_sentence(len(self.parts.bars), "bar")
        return self._turn(PHRASES["count bars"], answer, plausible=6, parts="bars", part="bar")

    def _higher(self) -> DialogueTurn | None:
        if len(self.parts.bars) < 2:
            return None
        first, second = (self.parts.bars[i] for i in self.rng.permutation(len(self.parts.bars))[:2].tolist())
        top = max(first, second, key=lambda bar: bar.value).label
        fields = {"letter": self._typed(first.label.text), "other": self._typed(second.label.text)}
        return self._turn(PHRASES["is higher"], f"{top.text} is higher.", [top], 2, part="bar", **fields)

    def _count_table(self) -> DialogueTurn:
        if self.rng.random() < 0.5:
            return self._count("count rows", len(self.parts.rows), "row")
        return self._count("count columns", len(self.parts.header), "column")
