"""Pages of documents: which of them are wanted, and those that were read."""

from __future__ import annotations

import re
from dataclasses import dataclass

import PIL.Image

from qwen2vl_demo.errors import UserError

MAX_TEXT = 1000  # characters of a choice
_RANGE = re.compile(
    r"(\d{1,9})?(?:\s*([-\u2010-\u2014\u2212])\s*(\d{1,9})?)?"
)  # the hyphens and dashes that people type


@dataclass(frozen=True)
class PageChoice:
    """Pages by number, in the order in which they are wanted. Without ranges: the first ones, as many as may be read.

    One choice serves documents of several lengths, so pages that a document does not have are left out.
    """

    ranges: tuple[tuple[int, int | None], ...] = ()  # (first, last), from 1; None is the last page of the document

    @classmethod
    def parse(cls, text: str, origin: str = "The pages") -> PageChoice:
        """Reads "1-3, 7", "5-" (from 5 to the end), "-3" or "" (no choice). `origin` begins the UserError's sentence,
        which is raised for anything else."""
        ranges = []
        for piece in filter(None, (piece.strip() for piece in re.split(r"[,;]", text[: MAX_TEXT + 1]))):
            found = _RANGE.fullmatch(piece)
            first, dash, last = found.groups() if found else (None, None, None)
            start = int(first or 1)
            end = int(last) if last else (None if dash else start)
            if (first is None and last is None) or start < 1 or (end is not None and end < start):
                raise UserError(f'{origin} are "{piece[:40]}"; give numbers and ranges such as 1-3, 7 or 5-.')
            ranges.append((start, end))
        if len(text) > MAX_TEXT:
            raise UserError(f"{origin} are a list of more than {MAX_TEXT} characters; give ranges such as 1-30.")
        return cls(tuple(ranges))

    def numbers(self, count: int, most: int, label: str) -> tuple[int, ...]:
        """The numbers, from 1, of the pages to read of a document of `count` pages. Raises UserError if that is none,
        or more than `most`, of those chosen; without a choice it is the first `most`."""
        if count == 0:
            raise UserError(f"{label} has no pages; send a file that has some.")
        if not self.ranges:
            return tuple(range(1, min(count, most) + 1))
        numbers: dict[int, None] = {}
        for first, last in self.ranges:
            for number in range(first, (count if last is None else min(last, count)) + 1):
                numbers[number] = None
                if len(numbers) > most:
                    raise UserError(
                        f"{label}: more than {_pages(most)} {'was' if most == 1 else 'were'} chosen, the limit of "
                        "--max-pdf-pages; choose fewer at once."
                    )
        if not numbers:
            raise UserError(f"{label} has {_pages(count)}, and none of them was chosen; choose from 1 to {count}.")
        return tuple(numbers)

    def __str__(self) -> str:
        """As it is typed: `1-3, 7`."""
        return ", ".join(
            f"{first}" if last == first else f"{first}-{'' if last is None else last}" for first, last in self.ranges
        )


FIRST_PAGES = PageChoice()


@dataclass(frozen=True)
class Document:
    """The pages that were read of a document."""

    count: int  # pages of the whole document
    numbers: tuple[int, ...]  # of those that were read, from 1
    pages: tuple[PIL.Image.Image, ...]  # RGB, in the order of `numbers`


def page_name(name: str, number: int, count: int, read: int) -> str:
    """What a page is called: "a.pdf, page 2", or "a.pdf, page 2 of 40" where not all pages were read."""
    return f"{name}, page {number}" if read == count else f"{name}, page {number} of {count}"


def first_pages_only(name: str, read: int, count: int) -> str:
    """Says that nothing was chosen and not everything read."""
    return f"{name} has {_pages(count)}, of which the first {read} are read."


def _pages(count: int) -> str:
    return f"{count} page" if count == 1 else f"{count} pages"
