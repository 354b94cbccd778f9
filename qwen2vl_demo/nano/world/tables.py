"""Papers with figures: tables and bar charts.

Each function makes up the content, for about so many lines and characters a line, and returns its layout.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qwen2vl_demo.nano.world import paper_words as words
from qwen2vl_demo.nano.world.listings import Layout, cased, distinct, put_title, random_cents, title_style
from qwen2vl_demo.nano.world.scene import choose
from qwen2vl_demo.nano.world.sheets import RISE, ChartBar, Parts, Sheet
from qwen2vl_demo.nano.world.typesetting import RGB, TextRun

_Cell = tuple[str, float | None]
_TONES: tuple[RGB, ...] = (
    *((70, 130, 200), (220, 120, 50), (90, 170, 90), (200, 80, 80), (150, 110, 190), (90, 180, 190), (210, 170, 60)),
)


def _column(rng: np.random.Generator, short: bool) -> Callable[[], _Cell]:
    """What the cells of a column of a table show, with its number if it is one."""
    kind = int(rng.integers(0, 4 if short else 8))
    write, high = words.price_format(rng), int(choose(rng, (10, 100, 1000, 10000)))

    def cell() -> _Cell:
        number = int(rng.integers(0, high))
        if kind <= 1:
            return str(number), float(number)
        if kind == 2:
            return f"{number / 10:.1f}", number / 10
        if kind == 3:
            return words.code(rng), None
        if kind == 4:
            cents = random_cents(rng)
            return write(cents), float(cents)
        if kind == 5:
            return f"{number % 101}%", float(number % 101)
        if kind == 6:
            return choose(rng, (words.noun, words.place, words.first_name))(rng), None
        return choose(rng, (words.date, words.clock))(rng), None

    return cell


def table(rng: np.random.Generator, lines: int, chars: int) -> Layout:
    """A table of two to five columns, of which the first has the names of two to five rows, below a header."""
    columns = int(rng.integers(2, min(5, max(2, chars // 11)) + 1))
    count = int(rng.integers(2, min(5, max(2, lines - 2)) + 1))
    title = cased(rng, f"{words.noun(rng)} {choose(rng, ('list', 'report', 'overview', '2024', 'results', 'plan'))}")
    title = title if lines >= count + 3 and rng.random() < 0.5 else ""
    naming = choose(rng, (words.noun, words.first_name, words.place, words.goods, words.last_name))
    names = distinct(rng, lambda: naming(rng) if naming is not words.goods else words.goods(rng, chars // 3), count)
    heads = distinct(
        rng, lambda: words.noun(rng) if rng.random() < 0.8 else str(rng.integers(1990, 2031)), columns, names
    )
    corner = heads[0] if rng.random() < 0.7 else ""
    makers = [_column(rng, chars < 30) for _ in heads[1:]]
    cells = [[make() for make in makers] for _ in names]
    look = choose(rng, ("grid", "rules", "shaded", "plain", "header"))
    right, stretch, pad = rng.random() < 0.5, rng.uniform(0, 0.8), float(rng.uniform(0.4, 0.9))
    bold_names, style = rng.random() < 0.3, title_style(rng)

    def lay_out(sheet: Sheet) -> Parts:
        size, palette = sheet.size, sheet.palette
        gap = pad * size
        name_style = "bold" if bold_names else ""
        wide = [max(sheet.wide(corner, "bold"), *(sheet.wide(name, name_style) for name in names))]
        for column, head in enumerate(heads[1:]):
            wide.append(max(sheet.wide(head, "bold"), *(sheet.wide(row[column][0]) for row in cells)))
        need = sum(wide) + 2 * gap * len(wide)
        more = (sheet.stretched(need, stretch) - need) / len(wide)
        edges = np.cumsum([0.0, *(w + 2 * gap + more for w in wide)]).tolist()
        heading = put_title(sheet, title, edges[-1], style) if title else None
        top = style[0] * sheet.step + 0.3 * size if heading else 0.0
        tall = 1.12 * sheet.step

        def put(text: str, column: int, row: int, bold: bool) -> TextRun:
            rgb = palette.on_accent if look == "header" and row == 0 else None
            y = top + row * tall + tall / 2 + 0.33 * size
            kind = "bold" if bold else ""
            if right and column:
                return sheet.put(text, edges[column + 1] - gap, y, style=kind, align=1.0, rgb=rgb)
            return sheet.put(text, edges[column] + gap, y, style=kind, rgb=rgb)

        header = [put(text, i, 0, True) if text else None for i, text in enumerate((corner, *heads[1:]))]
        rows, numbers = [], []
        for index, (name, row) in enumerate(zip(names, cells, strict=True), 1):
            first = put(name, 0, index, bold_names)
            rows.append((first, *(put(text, i, index, False) for i, (text, _) in enumerate(row, 1))))
            numbers.append((None, *(number for _, number in row)))
        bottom = top + tall * (len(names) + 1)
        if look in ("shaded", "header"):
            for line in range(1 if look == "header" else 2, len(names) + 1, 2):
                sheet.box(0, top + line * tall, edges[-1], top + (line + 1) * tall, palette.shade)
            sheet.box(0, top, edges[-1], top + tall, palette.accent if look == "header" else palette.shade)
        if look in ("grid", "rules"):
            for line in range(len(names) + 2) if look == "grid" else (0, 1, len(names) + 1):
                sheet.rule(top + line * tall, 0, edges[-1])
        if look == "grid":
            for x in edges:
                sheet.box(x, top, x, bottom, palette.soft)
        return Parts("table", heading, header=tuple(header), rows=tuple(rows), numbers=tuple(numbers))

    return lay_out


def _labels(rng: np.random.Generator, count: int, most: int) -> list[str]:
    """The names of bars: years, months, or words of at most about `most` characters."""
    dice = rng.random()
    if dice < 0.2:
        first = int(rng.integers(1950, 2027))
        return [str(first + i * (1 if dice < 0.12 else 5)) for i in range(count)]
    if dice < 0.32:
        first = int(rng.integers(0, 13 - count))
        return list(words.MONTHS[first : first + count])
    naming = choose(rng, (words.noun, words.place, words.first_name, words.noun))

    def label() -> str:
        texts = [naming(rng) for _ in range(3)]
        return next((text for text in texts if len(text) <= most), min(texts, key=len))

    return distinct(rng, label, count)


def chart(rng: np.random.Generator, lines: int, chars: int) -> Layout:
    """A bar chart of upright or lying bars with open labels; the values are printed or not."""
    upright = rng.random() < 0.65
    count = int(rng.integers(2, max(2, min(7, chars // 7 if upright else lines - 2)) + 1))
    names = _labels(rng, count, max(3, chars // count - 2) if upright else max(4, chars // 3))
    high = int(choose(rng, (20, 100, 100, 1000)))
    values = (rng.permutation(np.arange(4, 21))[: len(names)] / 20 * high).round().astype(int).tolist()
    values = [max(1, value + int(rng.integers(0, max(1, high // 40)))) for value in values]
    unit = choose(rng, ("", "", "", "%", " kg", "k", " km"))
    shown = rng.random() < 0.75
    title = axis = legend = ""
    if lines >= 6 and rng.random() < 0.75:
        title = cased(
            rng, f"{words.noun(rng)} {choose(rng, ('by year', 'per day', 'in 2024', 'of ' + words.place(rng)))}"
        )
    if lines >= 8 and rng.random() < 0.4:
        axis = words.noun(rng)
    if lines >= 8 and rng.random() < 0.3:
        legend = words.noun(rng)
    colours = rng.permutation(len(_TONES)).tolist()
    tones = [_TONES[colours[i if rng.random() < 0.5 and not legend else 0]] for i in range(len(names))]
    share, stretch, style = float(rng.uniform(0.45, 0.75)), float(rng.uniform(0.2, 1)), title_style(rng)
    reach = float(rng.uniform(4, max(5, min(12, lines - 5 - 2 * bool(title)))))  # of the highest bar, in sizes

    def lay_out(sheet: Sheet) -> Parts:
        size, palette = sheet.size, sheet.palette
        texts = [f"{value}{unit}" for value in values]
        label_wide, value_wide = max(map(sheet.wide, names)), max(map(sheet.wide, texts))
        step = max(label_wide, value_wide if shown else 0, 2 * size) + 0.6 * size if upright else 1.25 * sheet.step
        need = step * len(names) if upright else label_wide + value_wide + 7 * size
        need = max(need, sheet.wide(title, "heading", style[0]) if title else 0)
        width = sheet.stretched(need, stretch)
        heading = put_title(sheet, title, width, style) if title else None
        y = style[0] * sheet.step + 0.3 * size if heading else 0.0
        if legend:
            sheet.box(0, y + 0.3 * size, 0.7 * size, y + size, tones[0])
            sheet.put(legend, 1.0 * size, y + RISE * size)
            y += sheet.step
        bars, highest = [], max(values)
        if upright:
            step = width / len(names)
            floor = y + (1.4 * size if shown else 0.3 * size) + reach * size
            for index, (name, value, text, tone) in enumerate(zip(names, values, texts, tones, strict=True)):
                middle = (index + 0.5) * step
                head = floor - reach * size * value / highest
                half = step * share / 2
                sheet.box(middle - half, head, middle + half, floor, tone)
                printed = sheet.put(text, middle, head - 0.4 * size, align=0.5) if shown else None
                bars.append(ChartBar(sheet.put(name, middle, floor + 1.15 * size, align=0.5), value, printed))
            sheet.rule(floor, 0, width)
        else:
            left = label_wide + 0.3 * size
            room = width - left - value_wide - 0.6 * size
            for index, (name, value, text, tone) in enumerate(zip(names, values, texts, tones, strict=True)):
                middle = y + (index + 0.5) * step
                label = sheet.put(name, label_wide, middle + 0.33 * size, align=1.0)
                end = left + room * value / highest
                half = step * share / 2
                sheet.box(left, middle - half, end, middle + half, tone)
                printed = sheet.put(text, end + 0.4 * size, middle + 0.33 * size) if shown else None
                bars.append(ChartBar(label, value, printed))
            sheet.box(left, y, left, y + step * len(names), palette.soft)
        if axis:
            sheet.put(axis, width / 2, sheet.bottom + 1.1 * size, align=0.5, style="bold", rgb=palette.soft)
        return Parts("chart", heading, bars=tuple(bars))

    return lay_out
