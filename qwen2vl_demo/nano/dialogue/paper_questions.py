"""Dialogues about papers of an open vocabulary, with answers derived from the `Paper`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qwen2vl_demo.nano.dialogue.dialogue import AttentionTarget, Dialogue, DialogueTurn
from qwen2vl_demo.nano.dialogue.figure_questions import FigureQuestions
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.print_phrases import PAPER_PHRASES
from qwen2vl_demo.nano.dialogue.wording import count_sentence, join_list
from qwen2vl_demo.nano.world.layout import random_size
from qwen2vl_demo.nano.world.paper_words import DAYS, FORM_KEYS, TICKET_KEYS, goods
from qwen2vl_demo.nano.world.papers import random_paper
from qwen2vl_demo.nano.world.scene import choose
from qwen2vl_demo.nano.world.sheets import Item, OpeningTimes, Pair, Paper
from qwen2vl_demo.nano.world.typesetting import TextRun, draw_page

MOST_COPIED, LONGEST_READ = 8, 300  # lines that are copied as key: value; characters that are read out
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


class PaperQuestions(FigureQuestions):
    """Asks about any paper."""

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

    def _count_fields(self) -> DialogueTurn | None:
        return None if self.parts.items else self._count("count fields", len(self.parts.pairs), "field")

    def _count_items(self) -> DialogueTurn:
        if self.parts.kind == "menu":
            return self._count("count dishes", len(self.parts.items), "item")
        return self._turn(PHRASES["count items"], count_sentence(len(self.parts.items), "item"), plausible=8)

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
