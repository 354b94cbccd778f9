"""Wordings of the questions about printed pages and papers, in the notation of `phrases.py`."""

PAGE_PHRASES: dict[str, tuple[str, ...]] = {}

PAPER_PHRASES: dict[str, tuple[str, ...]] = {}
