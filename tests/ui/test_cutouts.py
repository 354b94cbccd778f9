"""Parts of pictures as further pictures of the composer: whose they may be, where they go, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.cutouts import read_wanted
from qwen2vl_demo.ui.gate.uploads import Uploads
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.fake_engine import FakeEngine
from tests.ui.conftest import ask

QUARTER = [0.0, 0.0, 0.5, 0.5]


def wanted(do: str, file: str, box: Any = QUARTER) -> Any:
    return read_wanted({"do": do, "file": file, "box": box})


def size(path: str) -> tuple[int, int]:
    with PIL.Image.open(path) as image:
        return image.size


def test_a_closer_look_is_attached_behind_what_stands_there(parts: Parts, files: Callable[[str], str]) -> None:
    session, dog = Session(), files("dog.jpg")
    ask(parts, session, "What is it?", files("cat.png"))
    digest = session.conversation.turns[0].media[0].file.partition(".")[0]
    parts.cutouts.make(session, wanted("closer", digest), Draft(), "me")
    draft = parts.cutouts.attach(session, Draft("typed meanwhile", (dog,)))
    assert draft is not None and draft.text == "typed meanwhile" and draft.files[0] == dog
    assert size(draft.files[1]) == (160, 120)  # a quarter of 320x240
    assert parts.cutouts.attach(session, draft) is None  # once
    assert ask(parts, session, "And here?", draft.files[1])
    assert session.conversation.turns[1].media[0].name == "cat.png, closer"


def test_a_crop_takes_the_place_of_its_picture(parts: Parts, files: Callable[[str], str]) -> None:
    session, standing = Session(), Draft("", (files("dog.jpg"), files("cat.png")))
    for expected in ((160, 120), (80, 60)):  # again, of what was cropped
        parts.cutouts.make(session, wanted("crop", standing.files[0]), standing, "me")
        draft = parts.cutouts.attach(session, standing)
        assert draft is not None and draft.files[1] == standing.files[1]
        assert size(draft.files[0]) == expected
        assert session.names[Path(draft.files[0]).name] == "dog.jpg, cropped"
        standing = draft
    parts.cutouts.make(session, wanted("crop", standing.files[0]), standing, "me")
    gone = parts.cutouts.attach(session, Draft())  # sent, or taken away meanwhile
    assert gone is not None and len(gone.files) == 1


def test_nobody_cuts_out_of_what_is_not_theirs(parts: Parts, files: Callable[[str], str]) -> None:
    mine, other = Session(), Session()
    ask(parts, other, "What is it?", files("cat.png"))
    digest = other.conversation.turns[0].media[0].file.partition(".")[0]
    with pytest.raises(UserError, match="no longer part of the chat"):
        parts.cutouts.make(mine, wanted("closer", digest), Draft(), "me")
    with pytest.raises(UserError, match="no longer in the composer"):
        parts.cutouts.make(mine, wanted("crop", files("dog.jpg")), Draft(), "me")
    assert parts.cutouts.attach(mine, Draft()) is None


def test_a_picture_that_is_gone_is_said(parts: Parts, files: Callable[[str], str]) -> None:
    session = Session()
    ask(parts, session, "What is it?", files("cat.png"))
    medium = session.conversation.turns[0].media[0]
    path = parts.store.path(medium)
    assert path is not None
    path.unlink()
    with pytest.raises(UserError, match=r"The picture cat.png is no longer kept here. Attach it again"):
        parts.cutouts.make(session, wanted("closer", medium.file.partition(".")[0]), Draft(), "me")
    lost = files("dog.jpg")
    Path(lost).unlink()
    with pytest.raises(UserError, match=r"dog.jpg"):
        parts.cutouts.make(session, wanted("crop", lost), Draft("", (lost,)), "me")


def test_what_is_cut_out_counts_as_the_visitors_upload(
    store: MediaStore, files: Callable[[str], str], tmp_path: Path
) -> None:
    uploads = Uploads(tmp_path / "received", visitor_mb=0)
    parts, cat = Parts.build(FakeEngine(), store, uploads=uploads), files("cat.png")
    with pytest.raises(UserError, match="Your files here would be more than 0 MB"):
        parts.cutouts.make(Session(), wanted("crop", cat), Draft("", (cat,)), "me")


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, "crop", [], {}, {"do": "crop", "file": "x"}, {"do": "crop", "file": 1, "box": QUARTER}),
        *({"do": "other", "file": "x", "box": QUARTER}, {"do": ["crop"], "file": "x", "box": QUARTER}),
        *({"do": "crop", "file": "x", "box": box} for box in ([0, 0, 1], [0, 0, 1, True], "abcd", [0, 0, 1, "1"])),
        *({"do": "crop", "file": "x", "box": box} for box in ([0.5, 0, 0.5, 1], [0, 1, 1, 0], [-1, 0, 1, 1])),
        *({"do": "crop", "file": "x", "box": box} for box in ([0, 0, 10**400, 1], [0, 0, 1.01, 1], [0, 0, 0, 0])),
    ],
)
def test_what_no_page_asks_for_is_refused(value: object) -> None:
    with pytest.raises(UserError):
        read_wanted(value)
