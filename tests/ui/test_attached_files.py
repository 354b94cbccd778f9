"""What the composer asks of its files: whose they are, and what a call that no page makes gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from qwen2vl_demo.ui.events import PageEvents
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.parts import Parts
from tests import asynchronous


def shown(parts: Parts, files: list[str], wanted: Any, first: Any) -> list[str] | None:
    """The thumbnails that a tab with these files in its composer gets; None for none at all."""
    request: Any = SimpleNamespace(session_hash="tab")
    event: Any = SimpleNamespace(value=wanted, index=first)
    parts.sessions.open("tab", None)
    events = PageEvents(page=None, parts=parts, panel=None, lesson=None, cards=(), chats=(), models=Models(parts))  # type: ignore[arg-type]
    value = asynchronous.run(events.show_pages(request, event, {"text": "", "files": files}))
    return json.loads(value)["posters"] if isinstance(value, str) else None


def test_pages_are_shown_of_files_in_the_composer_only(parts: Parts, files: Callable[[str], str]) -> None:
    document, other = files("pages.pdf"), files("cat.png")
    assert len(shown(parts, [document], document, 1) or ()) == 2
    assert shown(parts, [document], document, 3) == []  # behind its end
    assert shown(parts, [other], document, 1) is None
    assert shown(parts, [other], other, 1) == []  # no document


@pytest.mark.parametrize("first", [0, -1, 10**12, 1.5, "1", None, [1]])
def test_a_page_that_is_no_number_of_one_shows_nothing(
    parts: Parts, files: Callable[[str], str], first: object
) -> None:
    document = files("pages.pdf")
    assert shown(parts, [document], document, first) is None
