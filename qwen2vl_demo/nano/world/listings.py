"""Papers with prices and hours: receipts, menus and opening hours.

Each function makes up the content, for about so many lines and characters a line, and returns its layout.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from qwen2vl_demo.nano.world import paper_words as words
from qwen2vl_demo.nano.world.scene import choose
from qwen2vl_demo.nano.world.sheets import RISE, Item, OpeningTimes, Pair, Parts, Sheet
from qwen2vl_demo.nano.world.typesetting import TextRun

Layout = Callable[[Sheet], Parts]


def cased(rng: np.random.Generator, text: str, capitals: float = 0.2) -> str:
    """The text, or sometimes in capitals."""
    return text.upper() if rng.random() < capitals else text


def distinct(rng: np.random.Generator, make: Callable[[], str], count: int, taken: Sequence[str] = ()) -> list[str]:
    """`count` texts that differ in more than their case, and of which none is the beginning of another.

    Where `make` repeats itself, invented words stand in.
    """
    found: list[str] = []
    lowered = [text.lower() for text in taken if text]
    for attempt in itertools.count():
        text = make() if attempt < 3 * count else words.invented_word(rng)
        low = text.lower()
        if not any(low.startswith(other) or other.startswith(low) for other in lowered):
            found.append(text)
            lowered.append(low)
        if len(found) >= count:
            break
    return found[:count]


def several(rng: np.random.Generator, most: int) -> int:
    """A number from 1 to `most`; larger ones are likelier."""
    return 1 + int(most * rng.random() ** 0.6)


def put_title(sheet: Sheet, title: str, width: float, style: tuple[float, float, bool]) -> TextRun:
    """A title at the top of a sheet of this width; the style is its scale, alignment and whether it has a colour."""
    scale, align, coloured = style
    rgb = sheet.palette.accent if coloured else None
    return sheet.put(
        title, align * width, RISE * scale * sheet.size, style="heading", scale=scale, align=align, rgb=rgb
    )


def title_style(rng: np.random.Generator, left: float = 0.5) -> tuple[float, float, bool]:
    return float(rng.uniform(1.0, 1.6)), 0.0 if rng.random() < left else 0.5, bool(rng.random() < 0.3)


def random_cents(rng: np.random.Generator) -> int:
    """An amount in cents; many end with round ones."""
    cents = int(np.exp(rng.uniform(np.log(60), np.log(9000))))
    dice = rng.random()
    return cents if dice < 0.6 else cents // 10 * 10 if dice < 0.8 else cents // 50 * 50 + 50


def receipt(rng: np.random.Generator, lines: int, chars: int) -> Layout:
    """A shop's name, items with prices, and a total; more on long ones."""
    write = words.price_format(rng)
    title = cased(rng, words.shop(rng, chars), 0.4) if lines >= 4 and rng.random() < 0.85 else ""
    below: list[str] = []
    if title and lines >= 9:
        makers = (words.street, words.phone, words.date, lambda r: f"Receipt {words.code(r)}", words.website)
        below = [make(rng) for make in makers if rng.random() < 0.25][:2]
    capitals = 1.0 if rng.random() < 0.25 else 0.0
    most = max(1, min(18, lines - 1 - bool(title) * 2 - len(below)))
    names = distinct(rng, lambda: cased(rng, words.goods(rng, chars - 7), capitals), several(rng, most))
    cents = [random_cents(rng) for _ in names]
    counts = [f"{int(rng.integers(1, 7))}" for _ in names] if chars > 20 and rng.random() < 0.3 else []
    crosses = rng.random() < 0.5
    totals: list[tuple[str, tuple[str, ...], str, int]] = []
    room = lines - len(names) - len(below) - 2 * bool(title) - 1
    tax = (
        round(sum(cents) * float(choose(rng, (0.05, 0.07, 0.08, 0.19, 0.2)))) if room >= 2 and rng.random() < 0.5 else 0
    )
    if tax:
        totals.append(
            ("subtotal", ("subtotal", "sub total"), choose(rng, ("Subtotal", "Sub-total", "Net")), sum(cents))
        )
        totals.append(("tax", ("tax", "vat"), choose(rng, ("Tax", "VAT", "Sales tax")), tax))
    total = sum(cents) + tax
    printed = choose(rng, ("Total", "TOTAL", "Total due", "Amount due", "Sum", "Total:"))
    totals.append(("total", ("total",), printed, total))
    if room >= 4 + bool(tax) * 2 and rng.random() < 0.4:
        paid = -(-total // 500) * 500 + 500 * int(rng.integers(0, 3))
        totals += [("cash", ("cash",), "Cash", paid), ("change", ("change",), "Change", paid - total)]
    totals = [(said, asked, cased(rng, text, capitals), amount) for said, asked, text, amount in totals]
    footer = choose(rng, ("Thank you!", "THANK YOU", "Please come again", "Have a nice day!")) if room >= 5 else ""
    style, stretch, emphatic, dotted = (
        title_style(rng, 0.2),
        rng.uniform(0, 0.9),
        rng.random() < 0.6,
        rng.random() < 0.5,
    )

    def lay_out(sheet: Sheet) -> Parts:
        size, bold = sheet.size, "bold" if emphatic else ""
        column = max(sheet.wide(f"{count} x") for count in counts) + 0.5 * size if counts else 0.0
        prices = [write(amount) for amount in cents]
        need = max(
            *(column + sheet.wide(n) + size + sheet.wide(p) for n, p in zip(names, prices, strict=True)),
            *(sheet.wide(text, bold) + size + sheet.wide(write(amount), bold) for _, _, text, amount in totals),
            *(sheet.wide(text) for text in (*below, footer)),
            sheet.wide(title, "heading", style[0]),
        )
        width = sheet.stretched(need, stretch)
        y = RISE * size
        heading = put_title(sheet, title, width, style) if title else None
        if heading:
            y = style[0] * sheet.step + RISE * size
        for text in below:
            sheet.put(text, style[1] * width, y, align=style[1], rgb=sheet.palette.soft)
            y += sheet.step
        items = []
        for index, (name, price, amount) in enumerate(zip(names, prices, cents, strict=True)):
            if counts:
                sheet.put(f"{counts[index]} x" if crosses else counts[index], 0, y)
            items.append(Item(sheet.put(name, column, y), sheet.put(price, width, y, align=1.0), amount))
            y += sheet.step
        y += 0.35 * size
        sheet.rule(y - sheet.step + 0.42 * size, 0, width, dotted)
        pairs = []
        for said, asked, text, amount in totals:
            key = sheet.put(text, 0, y, style=bold)
            pairs.append(Pair(said, asked, key, sheet.put(write(amount), width, y, style=bold, align=1.0)))
            y += sheet.step
        if footer:
            sheet.put(footer, width / 2, y + 0.2 * size, align=0.5, rgb=sheet.palette.soft)
        return Parts("receipt", heading, tuple(pairs), tuple(items))

    return lay_out


def menu(rng: np.random.Generator, lines: int, chars: int) -> Layout:
    """Dishes with prices, sometimes in sections."""
    write = words.price_format(rng)
    title = choose(rng, ("Menu", words.shop(rng, chars), "Lunch menu", "Drinks", words.shop(rng, chars)))
    title = cased(rng, title) if lines >= 3 and rng.random() < 0.85 else ""
    rows = max(1, lines - 2 * bool(title))
    sections = int(rng.integers(0, min(3, rows // 4) + 1))
    most = max(1, min(22, rows - 2 * sections))
    names = distinct(rng, lambda: words.goods(rng, chars - 7), several(rng, most))
    cents = [random_cents(rng) for _ in names]
    headings = distinct(
        rng,
        lambda: choose(rng, ("Starters", "Main courses", "Desserts", "Drinks", "Snacks", "Specials", words.noun(rng))),
        sections,
        (title,),
    )
    starts = {i * len(names) // max(1, len(headings)): text for i, text in enumerate(headings)}
    style, stretch, leader = title_style(rng), rng.uniform(0, 1), rng.random() < 0.4
    beside = rng.random() < 0.2  # the price follows the dish at once

    def lay_out(sheet: Sheet) -> Parts:
        size = sheet.size
        prices = [write(amount) for amount in cents]
        need = max(
            *(sheet.wide(name) + 1.5 * size + sheet.wide(p) for name, p in zip(names, prices, strict=True)),
            sheet.wide(title, "heading", style[0]),
            *(sheet.wide(text, "bold", 1.1) for text in headings),
        )
        width = need if beside else sheet.stretched(need, stretch)
        y = RISE * size
        heading = put_title(sheet, title, width, style) if title else None
        if heading:
            y = style[0] * sheet.step + 1.2 * size
        items = []
        for index, (name, price, amount) in enumerate(zip(names, prices, cents, strict=True)):
            if index in starts:
                y += 0.5 * size * bool(index)
                sheet.put(starts[index], 0, y, style="bold", scale=1.1, rgb=sheet.palette.accent)
                y += 1.1 * sheet.step
            left = sheet.wide(name) + (0.8 * size if beside else 0)
            at = left + sheet.wide(price) if beside else width
            items.append(Item(sheet.put(name, 0, y), sheet.put(price, at, y, align=1.0), amount))
            if leader and not beside:
                sheet.rule(y, left + 0.3 * size, width - sheet.wide(price) - 0.3 * size, True)
            y += sheet.step
        return Parts("menu", heading, items=tuple(items))

    return lay_out


def opening_hours(rng: np.random.Generator, lines: int, chars: int) -> Layout:
    """Days, or ranges of days, with the times between which it is open."""
    title = ""
    if lines >= 3 and rng.random() < 0.8:
        title = cased(rng, choose(rng, ("Opening hours", "Hours", "We are open", words.shop(rng, chars), "Open")))
    short = chars < 24 or rng.random() < 0.3
    most = max(1, min(7, lines - 2 * bool(title)))
    if most < 3 or rng.random() < 0.35:
        cut = int(rng.integers(3, 6))
        groups = [range(cut), range(cut, 6), range(6, 7)]
        groups = [group for group in groups if len(group)][: int(rng.integers(1, min(3, most) + 1))]
    else:
        count = int(rng.integers(3, most + 1))
        first = int(rng.integers(0, 8 - count)) if rng.random() < 0.3 else 0
        groups = [range(day, day + 1) for day in range(first, first + count)]
    labels, covered = [], []
    for group in groups:
        ends = [words.DAYS[day][: 3 if short else None] for day in dict.fromkeys((group[0], group[-1]))]
        labels.append(choose(rng, ("-", " - ")).join(ends) + (":" if title and short else ""))
        covered.append(tuple(words.DAYS[day] for day in group))
    form = choose(rng, ("9:00", "9:00", "09:00", "9.00", "9 am", "9am"))

    def time(half_hours: int) -> str:
        hour, minute = divmod(half_hours * 30, 60)
        if form.endswith("m"):
            shown = f"{(hour - 1) % 12 + 1}" + (f":{minute:02}" if minute else "")
            return shown + form[1:-2] + ("am" if hour < 12 else "pm")
        return f"{hour:02}:{minute:02}" if form == "09:00" else f"{hour}{form[1]}{minute:02}"

    times = [(time(int(rng.integers(12, 24))), time(int(rng.integers(26, 48)))) for _ in groups]
    if rng.random() < 0.4:  # mostly the same hours
        times = [times[0] if rng.random() < 0.7 else pair for pair in times]
    shut = [len(groups) > 1 and bool(rng.random() < 0.12) for _ in groups]
    dash, closed = choose(rng, ("-", "-", "to")), cased(rng, "closed") if rng.random() < 0.7 else "Closed"
    style, stretch, bold = title_style(rng), rng.uniform(0, 0.8), rng.random() < 0.3

    def lay_out(sheet: Sheet) -> Parts:
        size, style_of_days = sheet.size, "bold" if bold else ""
        gap = 0.35 * size
        days = max(sheet.wide(label, style_of_days) for label in labels)
        first = max(sheet.wide(opens) for opens, _ in times)
        second = max(sheet.wide(closes) for _, closes in times)
        need = days + size + max(first + second + 2 * gap + sheet.wide(dash), sheet.wide(closed))
        width = sheet.stretched(max(need, sheet.wide(title, "heading", style[0])), stretch)
        y = RISE * size
        heading = put_title(sheet, title, width, style) if title else None
        if heading:
            y = style[0] * sheet.step + 1.2 * size
        hours = []
        for label, covers, (opens, closes), never in zip(labels, covered, times, shut, strict=True):
            run = sheet.put(label, 0, y, style=style_of_days)
            if never:
                sheet.put(closed, width, y, align=1.0)
                hours.append(OpeningTimes(covers, run, None, None))
            else:
                ends = sheet.put(closes, width, y, align=1.0)
                middle = width - second - gap - sheet.wide(dash)
                sheet.put(dash, middle, y)
                begins = sheet.put(opens, middle - gap, y, align=1.0)
                hours.append(OpeningTimes(covers, run, begins, ends))
            y += sheet.step
        return Parts("hours", heading, hours=tuple(hours))

    return lay_out
