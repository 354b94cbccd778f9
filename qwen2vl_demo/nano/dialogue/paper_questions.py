"""Dialogues about papers of an open vocabulary, with answers derived from the `Paper`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.attention_targets import print_attention_targets
from qwen2vl_demo.nano.dialogue.dialogue import AttentionTarget, Dialogue, DialogueTurn
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.print_phrases import PAPER_PHRASES
from qwen2vl_demo.nano.dialogue.wording import count_sentence, join_list, random_wording
from qwen2vl_demo.nano.world.layout import random_size
from qwen2vl_demo.nano.world.paper_words import DAYS, FORM_KEYS, TICKET_KEYS, goods
from qwen2vl_demo.nano.world.papers import random_paper
from qwen2vl_demo.nano.world.scene import choose
from qwen2vl_demo.nano.world.sheets import Item, OpeningTimes, Pair, Paper
from qwen2vl_demo.nano.world.typesetting import TextRun, draw_page

MOST_COPIED, LONGEST_READ = 8, 300  # lines that are copied as key: value; characters that are read out
OPEN = 1000  # plausible answers of what is read from an open vocabulary
ABSENT = 0.12  # share of the questions about keys, items and days that are not there
WHAT = {
    "form": "It is a form.",
    "table": "It is a table.",
    "menu": "It is a menu.",
    "hours": "It is a sign with opening hours.",
    "ticket": "It is a ticket.",
    "screen": "It is a screen.",
}
_Ask = Callable[[], DialogueTurn | None]


def paper_dialogue(
    rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, split: str
) -> Dialogue:
    """A dialogue about one random paper; arguments as of `generator.random_dialogue`."""
    paper = random_paper(rng, size or random_size(rng, sides=(4, 10)), split)
    pixels, cells = draw_page(paper.page, rng)
    return Dialogue((pixels,), PaperQuestions(rng, paper, split).turns(turns), ((cells,),))


def key_value_lines(paper: Paper) -> list[tuple[TextRun, ...]]:
    """The keys with what stands beside them, in reading order; () if it has no such lines."""
    parts = paper.parts
    found = [(item.name, item.price) for item in parts.items] + [(pair.key, pair.value) for pair in parts.pairs]
    lines: list[tuple[TextRun, ...]] = [*found]
    lines += [(bar.label, bar.printed) for bar in parts.bars if bar.printed]
    if len(parts.header) == 2:
        lines += list(parts.rows)
    if parts.hours:
        labels = {times.label for times in parts.hours}
        lines += [tuple(line) for line in paper.lines if line[0] in labels]
    return lines


class PaperQuestions:
    """Asks about one paper; every random choice comes from the generator."""

    def __init__(self, rng: np.random.Generator, paper: Paper, split: str) -> None:
        self.rng, self.paper, self.parts, self.split = rng, paper, paper.parts, split
        self.printed = " ".join(run.text for run in paper.page.runs).lower()

    def turns(self, count: int) -> tuple[DialogueTurn, ...]:
        """That many questions, mostly with different answers; the first one brings the picture."""
        options = self._options()
        shares = np.array([share for share, _ in options])
        made: list[DialogueTurn] = []
        misses = 0
        while len(made) < count:
            if misses < 8 * count:
                turn = options[int(self.rng.choice(len(options), p=shares / shares.sum()))][1]()
            else:
                turn = self._what()  # which can always be asked
            if not turn or (misses < 4 * count and any(turn.answer == earlier.answer for earlier in made)):
                misses += 1
                continue
            made.append(replace(turn, media=() if made else (0,)))
        return tuple(made)

    def _options(self) -> list[tuple[float, _Ask]]:
        parts = self.parts
        options: list[tuple[float, _Ask]] = [(0.7, self._what), (0.9, self._whole), (0.8, self._copy)]
        options.append((0.8, self._title))
        if parts.pairs:
            options += [(2.0 if parts.items else 5.0, self._key), (0.5, self._count_fields)]
            options.append((0.8, self._whose))
        if parts.items:
            options += [(3.5, self._price), (1.0, self._costs), (1.0, self._extreme), (0.6, self._count_items)]
        if parts.hours:
            options += [(5.0, self._hours), (0.5, self._closed_day)]
        if parts.rows:
            options += [(3.5, self._cell), (1.2, self._cell_at), (1.2, self._row_has), (1.0, self._row_most)]
            options += [(0.8, self._row), (0.5, self._count_table)]
        if parts.bars:
            options += [(1.5, self._highest), (3.0, self._value), (0.6, self._count_bars), (0.8, self._higher)]
        if parts.buttons:
            options += [(1.5, self._buttons), (0.4, self._count_buttons)]
        if parts.message:
            options.append((1.5, self._message))
        return options

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

    def _what(self) -> DialogueTurn:
        parts = self.parts
        if parts.kind == "receipt":
            total = next(pair for pair in parts.pairs if pair.said == "total").value
            return self._turn(PHRASES["receipt"], f"It is a receipt. The total is {total.text}.", [total])
        if parts.kind == "chart":
            top = sorted(parts.bars, key=lambda bar: bar.value)[-1]
            answer = f"It is a bar chart with {len(parts.bars)} bars. {top.label.text} is the highest."
            return self._turn(PHRASES["chart"], answer, [top.label])
        return self._turn(PAPER_PHRASES["what paper"], WHAT[parts.kind], plausible=8)

    def _whole(self) -> DialogueTurn | None:
        lines = self.paper.lines
        answer = "\n".join(" ".join(run.text for run in line) for line in lines)
        if self.parts.kind == "chart" or len(answer) > LONGEST_READ:
            return None
        return self._turn(PAPER_PHRASES["whole"], answer, [run for line in lines for run in line])

    def _copy(self) -> DialogueTurn | None:
        lines = key_value_lines(self.paper)
        if not 1 <= len(lines) <= MOST_COPIED:
            return None
        texts = [f"{key.text.rstrip(':')}: {' '.join(run.text for run in values)}" for key, *values in lines]
        return self._turn(PAPER_PHRASES["copy"], "\n".join(texts), [run for line in lines for run in line])

    def _title(self) -> DialogueTurn | None:
        title = self.parts.title
        wordings = PAPER_PHRASES["shop" if self.parts.kind == "receipt" else "title"]
        if title:
            return self._turn(wordings, f'It says "{title.text}".', [title])
        if self.rng.random() > 0.3 or self.parts.kind == "receipt":
            return None
        return self._turn(PAPER_PHRASES["key"], "There is no title.", plausible=2, key="title")

    def _key(self) -> DialogueTurn | None:
        if self.rng.random() < ABSENT:
            said, printed, _ = choose(self.rng, (*FORM_KEYS, *TICKET_KEYS))
            if not all(self._is_absent(text) for text in (said, *printed)):
                return None
            return self._turn(PAPER_PHRASES["key"], f"There is no {said}.", plausible=2, key=said)
        pair: Pair = choose(self.rng, self.parts.pairs)
        answer = f"The {pair.said} is {pair.value.text}."
        if pair.said == "total":
            return self._turn(PHRASES["total"], answer, [pair.value])
        key = pair.said if self.rng.random() < 0.5 else choose(self.rng, pair.asked)
        if self.rng.random() < 0.25:
            key = choose(self.rng, (pair.label, pair.label.upper(), key.capitalize()))
        return self._turn(PAPER_PHRASES["key"], answer, [pair.value], key=key)

    def _whose(self) -> DialogueTurn | None:
        pair: Pair = choose(self.rng, self.parts.pairs)
        if self.parts.items or self.printed.count(pair.value.text.lower()) > 1:
            return None
        turn = self._turn(PAPER_PHRASES["whose"], f"It is the {pair.said}.", value=pair.value.text)
        cells = tuple(sorted({int(cell) for cell in self.paper.page.cells_of(pair.key) if cell >= 0}))
        return replace(turn, attention_targets=(AttentionTarget(0, len(turn.answer), 0, cells),) if cells else ())

    def _count(self, key: str, count: int, noun: str) -> DialogueTurn:
        return self._turn(PAPER_PHRASES[key], count_sentence(count, noun), plausible=8)

    def _count_fields(self) -> DialogueTurn | None:
        return None if self.parts.items else self._count("count fields", len(self.parts.pairs), "field")

    def _count_items(self) -> DialogueTurn:
        if self.parts.kind == "menu":
            return self._count("count dishes", len(self.parts.items), "item")
        return self._turn(PHRASES["count items"], count_sentence(len(self.parts.items), "item"), plausible=8)

    def _count_table(self) -> DialogueTurn:
        if self.rng.random() < 0.5:
            return self._count("count rows", len(self.parts.rows), "row")
        return self._count("count columns", len(self.parts.header), "column")

    def _count_buttons(self) -> DialogueTurn:
        return self._count("count buttons", len(self.parts.buttons), "button")

    def _price(self) -> DialogueTurn | None:
        wordings = PAPER_PHRASES["dish"] if self.parts.kind == "menu" else PHRASES["price"]
        if self.rng.random() < ABSENT:
            name = goods(self.rng, 9).lower()
            return (
                self._turn(wordings, f"There is no {name}.", plausible=2, item=name) if self._is_absent(name) else None
            )
        item: Item = choose(self.rng, self.parts.items)
        answer = f"{item.name.text} costs {item.price.text}."
        return self._turn(wordings, answer, [item.name, item.price], item=self._typed(item.name.text))

    def _costs(self) -> DialogueTurn | None:
        item: Item = choose(self.rng, self.parts.items)
        if sum(other.cents == item.cents for other in self.parts.items) > 1:
            return None
        answer = f"It is {item.name.text}."
        return self._turn(PAPER_PHRASES["costs"], answer, [item.name], price=item.price.text)

    def _extreme(self) -> DialogueTurn | None:
        dear = self.rng.random() < 0.5
        first, *others = sorted(self.parts.items, key=lambda item: -item.cents if dear else item.cents)
        if not others or others[0].cents == first.cents:
            return None
        key, said = ("most expensive", "the most expensive") if dear else ("cheapest", "the cheapest")
        answer = f"{first.name.text} is {said}."
        return self._turn(PAPER_PHRASES[key], answer, [first.name], max(2, len(self.parts.items)))

    def _hours(self) -> DialogueTurn | None:
        if self.rng.random() < ABSENT / 2:
            day = choose(self.rng, DAYS)
            if any(day in times.days for times in self.parts.hours):
                return None
            key = choose(self.rng, ("opens on", "closes on", "hours on"))
            return self._turn(PAPER_PHRASES[key], f"There is no {day}.", plausible=2, day=day)
        times: OpeningTimes = choose(self.rng, self.parts.hours)
        day, dice = choose(self.rng, times.days), self.rng.random()
        key = "opens on" if dice < 0.4 else "closes on" if dice < 0.75 else "hours on"
        if not times.opens or not times.closes:
            return self._turn(PAPER_PHRASES[key], f"It is closed on {day}.", plausible=20, day=day)
        opens, closes = times.opens, times.closes
        if key == "opens on":
            return self._turn(PAPER_PHRASES[key], f"It opens at {opens.text} on {day}.", [opens], 20, day=day)
        if key == "closes on":
            return self._turn(PAPER_PHRASES[key], f"It closes at {closes.text} on {day}.", [closes], 20, day=day)
        answer = f"It is open from {opens.text} to {closes.text} on {day}."
        return self._turn(PAPER_PHRASES[key], answer, [opens, closes], 200, day=day)

    def _closed_day(self) -> DialogueTurn | None:
        days = [times.days for times in self.parts.hours if not times.opens]
        if len(days) != 1 or len(days[0]) != 1:
            return None
        return self._turn(PAPER_PHRASES["closed day"], f"It is closed on {days[0][0]}.", plausible=7)

    def _row_and_column(self) -> tuple[int, int]:
        return int(self.rng.integers(len(self.parts.rows))), int(self.rng.integers(1, len(self.parts.header)))

    def _head(self, column: int) -> str:
        head = self.parts.header[column]
        return self._typed(head.text) if head else ""

    def _cell(self) -> DialogueTurn:
        row, column = self._row_and_column()
        cell = self.parts.rows[row][column]
        fields = {"row": self._typed(self.parts.rows[row][0].text), "column": self._head(column)}
        return self._turn(PAPER_PHRASES["cell"], f"It is {cell.text}.", [cell], **fields)

    def _cell_at(self) -> DialogueTurn:
        row, column = self._row_and_column()
        cell = self.parts.rows[row][column]
        fields = {"row": str(row + 1), "column": str(column + 1)}
        return self._turn(PAPER_PHRASES["cell at"], f"It is {cell.text}.", [cell], **fields)

    def _row_has(self) -> DialogueTurn | None:
        row, column = self._row_and_column()
        name, text = self.parts.rows[row][0], self.parts.rows[row][column].text
        if sum(other[column].text == text for other in self.parts.rows) > 1:
            return None
        fields = {"value": text, "column": self._head(column)}
        return self._turn(PAPER_PHRASES["row has"], f"It is {name.text}.", [name], len(self.parts.rows), **fields)

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
        fields = {"part": "bar", "letter": self._typed(bar.label.text)}
        return self._turn(PHRASES["value"], answer, [bar.label, bar.printed], **fields)

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

    def _buttons(self) -> DialogueTurn:
        buttons = self.parts.buttons
        quoted = join_list([f'"{run.text}"' for run in buttons])
        answer = f"The buttons are {quoted}." if len(buttons) > 1 else f"The button is {quoted}."
        return self._turn(PAPER_PHRASES["buttons"], answer, buttons)

    def _message(self) -> DialogueTurn | None:
        message = self.parts.message
        if not message:
            return None
        return self._turn(PAPER_PHRASES["message"], f'It says "{message.text}".', [message])
