"""Papers with keys and values: forms and cards, tickets and labels, and screens with fields and buttons.

Each function makes up the content, for about so many lines and characters a line, and returns its layout.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qwen2vl_demo.nano.world import paper_words as words
from qwen2vl_demo.nano.world.listings import Layout, cased, distinct, put_title, several, title_style
from qwen2vl_demo.nano.world.scene import choose
from qwen2vl_demo.nano.world.sheets import RISE, Pair, Parts, Sheet

_Filled = tuple[str, tuple[str, ...], str, str]  # said, asked, printed, value
_FORM_TITLES = ("Registration", "Contact", "Order", "Delivery note", "Invoice", "Member card", "Profile", "Application")
_TICKET_TITLES = (
    "Boarding pass",
    "Ticket",
    "Admit one",
    "Parcel",
    "Day ticket",
    "Shipping label",
    "Concert",
    "Fragile",
)
_BUTTONS = (
    *("OK", "Cancel", "Save", "Yes", "No", "Apply", "Close", "Help", "Next", "Back", "Delete"),
    *("Open", "Send", "Reset", "Print", "Login", "Retry", "Edit", "Share", "Add", "Copy", "Search"),
    *("Submit", "Done", "Later", "Skip", "Finish", "Upload", "Download", "Update"),
)
_VERBS = ("Open", "Delete", "Replace", "Send")
_MESSAGES = (
    *("Save changes?", "Delete this file?", "Connection lost.", "Are you sure?", "Update finished.", "Log out now?"),
    *(
        "Disk is full.",
        "Send the report?",
        "No results found.",
        "Restart required.",
        "Overwrite it?",
        "Wrong password.",
    ),
)


def fill_in(rng: np.random.Generator, kinds: Sequence[words.KeyKind], count: int, chars: int) -> list[_Filled]:
    """Keys with values, at most `count`; on narrow papers those that are short."""
    filled: list[_Filled] = []
    for index in rng.permutation(len(kinds))[: 2 * count].tolist():
        said, printed, make = kinds[index]
        key, value = choose(rng, printed), make(rng)
        if len(key) + len(value) <= chars and len(filled) < count:
            asked = {said, *(text.lower().rstrip(".#").strip() for text in printed)}
            filled.append((said, tuple(sorted(asked)), key, value))
    if not filled or (len(filled) < count and rng.random() < 0.15):
        key = words.invented_word(rng)
        filled.append((key.lower(), (key.lower(),), key, words.code(rng)))
    return filled


def _put_pairs(sheet: Sheet, filled: list[_Filled], style: str, columns: int, y: float, colon: str) -> list[Pair]:
    """The keys and values in one of the styles of `form`, from the top y on, in columns."""
    size, palette = sheet.size, sheet.palette
    key_style = "bold" if style in ("bold", "boxes") else ""
    small = 0.8 if style == "below" else 1.0
    keys = [sheet.wide(key + colon, key_style, small) for _, _, key, _ in filled]
    values = [sheet.wide(value) for _, _, _, value in filled]
    rows = -(-len(filled) // columns)
    left, pairs = 0.0, []
    for column in range(columns):
        chosen = range(column * rows, min((column + 1) * rows, len(filled)))
        if not chosen:
            break
        indent = max(keys[i] for i in chosen) + 0.7 * size
        wide = max(values[i] for i in chosen)
        right = left + indent + wide
        if style == "below":
            right = left + max(*(keys[i] for i in chosen), wide)
        for row, i in enumerate(chosen):
            said, asked, key, value = filled[i]
            tall = (
                sheet.step * (1.35 if style == "boxes" else 1.0) if style != "below" else 2.1 * sheet.step + 0.3 * size
            )
            at = y + row * tall + RISE * size * (1.25 if style == "boxes" else 1.0)
            key_rgb = palette.soft if style in ("below", "soft") else None
            printed = sheet.put(key + colon, left, at, style=key_style, scale=small, rgb=key_rgb)
            if style == "below":
                run = sheet.put(value, left, at + sheet.step)
            elif style == "right":
                run = sheet.put(value, right, at, align=1.0)
            elif style in ("tight", "bold"):
                run = sheet.put(value, left + keys[i] + 0.35 * size, at)
            else:
                run = sheet.put(value, left + indent, at)
            if style == "boxes":
                sheet.box(
                    left + indent - 0.3 * size, at - 1.1 * size, right + 0.3 * size, at + 0.4 * size, None, palette.soft
                )
            elif style == "dotted":
                sheet.rule(at + 0.34 * size, left + indent, right, True)
            pairs.append(Pair(said, asked, printed, run))
        left = right + 1.4 * size
    return pairs


def form(rng: np.random.Generator, lines: int, chars: int) -> Layout:
    """A title and keys with values, which are marked in one of several ways."""
    title = ""
    if lines >= 4 and rng.random() < 0.7:
        title = cased(rng, choose(rng, (choose(rng, _FORM_TITLES), words.shop(rng, chars))))
    style = choose(rng, ("tight", "aligned", "bold", "boxes", "dotted", "below", "right", "soft"))
    tall = {"below": 2.6, "boxes": 1.4}.get(style, 1.0)
    columns = 2 if chars > 50 and rng.random() < (0.6 if style == "below" else 0.25) else 1
    most = max(1, min(16, int((lines - 2 * bool(title)) * columns / tall)))
    filled = fill_in(rng, words.FORM_KEYS, several(rng, most), chars // columns - 2)
    if rng.random() < 0.15:
        filled = [(said, asked, key.upper(), value) for said, asked, key, value in filled]
    colon = ":" if style == "tight" or (style != "below" and rng.random() < 0.4) else ""
    heading_style = title_style(rng)

    def lay_out(sheet: Sheet) -> Parts:
        width = sheet.wide(title, "heading", heading_style[0]) if title else 0.0
        heading = put_title(sheet, title, width, heading_style) if title else None
        y = heading_style[0] * sheet.step + 0.25 * sheet.size if heading else 0.0
        return Parts("form", heading, tuple(_put_pairs(sheet, filled, style, columns, y, colon)))

    return lay_out


def ticket(rng: np.random.Generator, lines: int, chars: int) -> Layout:
    """A band with a title, small keys with values below them in columns, and sometimes a bar code."""
    title = cased(rng, choose(rng, (*_TICKET_TITLES, words.shop(rng, chars))), 0.5) if lines >= 4 else ""
    columns = min(3, max(1, chars // 18))
    rows = int(rng.integers(1, max(1, min(4, (lines - 2) // 3)) + 1))
    filled = fill_in(rng, words.TICKET_KEYS, min(9, rows * columns), max(chars // columns - 2, 9))
    band, style = rng.random() < 0.6, "below" if rng.random() < 0.75 else "aligned"
    columns = columns if style == "below" else 1
    stripes = rng.integers(1, 5, 44).tolist() if lines >= 8 and chars > 20 and rng.random() < 0.5 else []

    def lay_out(sheet: Sheet) -> Parts:
        size, heading = sheet.size, None
        y = 0.0
        if title:
            rgb = sheet.palette.on_accent if band else sheet.palette.ink
            heading = sheet.put(title, 0.5 * size, 1.15 * size, style="heading", scale=1.1, rgb=rgb)
            y = 1.9 * size
        pairs = _put_pairs(sheet, filled, style, columns, y + 0.2 * size, "")
        if band and title:
            sheet.box(
                0, 0, max(sheet.right, sheet.wide(title, "heading", 1.1) + size), 1.7 * size, sheet.palette.accent
            )
        if stripes:
            x, top = 0.0, sheet.bottom + 0.4 * size
            unit = max(1.0, size / 14)
            for index, wide in enumerate(stripes):
                if index % 2 == 0:
                    sheet.box(x, top, x + wide * unit, top + 1.8 * size, sheet.palette.ink)
                x += wide * unit
        return Parts("ticket", heading, tuple(pairs))

    return lay_out


def screen(rng: np.random.Generator, lines: int, chars: int) -> Layout:
    """A window: a title bar, a message or fields with their content, and buttons."""
    title = choose(
        rng, (words.noun(rng), "Settings", "Sign in", "New message", f"{words.noun(rng)} {words.code(rng, '9.9')}")
    )
    names = distinct(rng, lambda: choose(rng, _BUTTONS), int(rng.integers(1, 4 if chars > 22 else 3)))
    message = choose(rng, _MESSAGES) if lines < 6 or rng.random() < 0.45 else ""
    if message and rng.random() < 0.35:
        message = f"{choose(rng, _VERBS)} {words.noun(rng).lower()}{words.code(rng, '99')}.txt?"
    filled: list[_Filled] = []
    if not message or (lines >= 8 and rng.random() < 0.4):
        count = int(rng.integers(1, max(1, min(6, (lines - 5) // 2)) + 1))
        filled = fill_in(rng, words.FORM_KEYS, count, chars - 3)
    rounded, filled_buttons, left = rng.random() < 0.6, rng.random() < 0.5, rng.random() < 0.3
    closes = rng.random() < 0.7

    def lay_out(sheet: Sheet) -> Parts:
        size, palette = sheet.size, sheet.palette
        pad = 0.7 * size
        sheet.left += pad  # the window's frame is around what is put
        y, said, pairs = 2.6 * size, None, []
        if message:
            said = sheet.put(message, 0, y + 0.5 * size)
            y += 1.8 * size
        if filled:
            pairs = _put_pairs(sheet, filled, "boxes", 1, y - 0.6 * size, "")
            y = sheet.bottom + 1.0 * size
        wide = [sheet.wide(name) + 1.6 * size for name in names]
        total = sum(wide) + 0.6 * size * (len(wide) - 1)
        width = max(sheet.right, total, sheet.wide(title, "bold") + 2.5 * size)
        x, buttons = 0.0 if left else width - total, []
        for index, (name, room) in enumerate(zip(names, wide, strict=True)):
            full = filled_buttons and index == len(names) - 1
            fill, rgb = (palette.accent, palette.on_accent) if full else (palette.shade, palette.ink)
            sheet.box(x, y, x + room, y + 1.7 * size, fill, palette.soft, round(0.35 * size) if rounded else 0)
            buttons.append(sheet.put(name, x + room / 2, y + 1.17 * size, align=0.5, rgb=rgb))
            x += room + 0.6 * size
        y += 2.4 * size
        top, bar = len(sheet.marks), palette.accent
        sheet.box(-pad, 0, width + pad, y, None, palette.soft)
        sheet.box(-pad, 0, width + pad, 1.7 * size, bar)
        heading = sheet.put(title, 0, 1.2 * size, style="bold", rgb=palette.on_accent)
        if closes:
            x1, middle = width - 0.2 * size, 0.85 * size
            sheet.box(x1 - 0.6 * size, middle - 0.3 * size, x1, middle + 0.3 * size, None, palette.on_accent)
        sheet.marks[:] = sheet.marks[top:] + sheet.marks[:top]
        sheet.right += pad
        return Parts("screen", heading, tuple(pairs), buttons=tuple(buttons), message=said)

    return lay_out
