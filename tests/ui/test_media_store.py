"""The visitors' media on disk: stored by content, shown, cleaned up."""

import errno
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.ui.chat.conversation import Conversation, Medium, Turn
from qwen2vl_demo.ui.media_store import DAY, KEEP_AFTER_CLOSE, KEEP_AFTER_START, MediaStore
from qwen2vl_demo.viz.boxes import Box
from qwen2vl_demo.viz.drawn_boxes import coloured
from tests.media.made_pictures import turned_exif


def test_equal_files_are_kept_once_under_their_hash(store: MediaStore, files: Callable[[str], str]) -> None:
    (one,) = store.add(Path(files("cat.png")), "one.png")
    (two,) = store.add(Path(files("cat.png")), "two.png")
    assert one.file == two.file and (one.name, two.name) == ("one.png", "two.png")
    assert len(list(store.folder.iterdir())) == 1


def test_kinds_are_found_from_the_content(store: MediaStore, files: Callable[[str], str]) -> None:
    kinds = {name: store.add(Path(files(name)), name) for name in ("cat.png", "clip.mp4", "wave.gif", "pages.pdf")}
    assert [m.kind for m in kinds["cat.png"]] == ["image"]
    assert [m.kind for m in kinds["clip.mp4"]] == ["video"]
    assert [m.kind for m in kinds["wave.gif"]] == ["video"]  # an animation
    assert [(m.kind, m.name) for m in kinds["pages.pdf"]] == [
        ("image", "pages.pdf, page 1"),
        ("image", "pages.pdf, page 2"),
    ]


def test_a_name_cannot_choose_the_ending(store: MediaStore, files: Callable[[str], str], tmp_path: Path) -> None:
    disguised = tmp_path / "page.html"
    disguised.write_bytes(Path(files("cat.png")).read_bytes())
    (medium,) = store.add(disguised, "page.html")
    assert medium.file.endswith(".png")


def test_what_is_no_medium_leaves_nothing(store: MediaStore, files: Callable[[str], str]) -> None:
    with pytest.raises(UserError):
        store.add(Path(files("broken.png")), "broken.png")
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../secret", "x", "a" * 64, "a" * 64 + ".png/../../x", "/etc/passwd"])
def test_a_wrong_name_is_nowhere(store: MediaStore, name: str) -> None:
    medium = Medium("image", name, "x")
    assert store.path(medium) is None and store.view(medium) is None
    assert store.boxed(medium, coloured([Box("", 0, 0, 1, 1)])) is None


def test_a_frame_that_cannot_be_drawn_is_tried_once(store: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is drawn at each change of the chat, and a clip can take seconds to refuse."""
    clip = Medium("video", "0" * 64 + ".mp4", "x")
    (store.folder / clip.file).write_bytes(b"no clip")
    tried: list[object] = []

    def refuse(work: object, *arguments: object, **named: object) -> object:
        tried.append(work)
        raise UserError("It cannot be read.")

    monkeypatch.setattr(store._decoding, "run", refuse)
    boxes = coloured([Box("", 0, 0, 1, 1)])
    assert store.boxed(clip, boxes, 1.0) is store.boxed(clip, boxes, 1.0) is None
    assert len(tried) == 1


def test_what_a_browser_cannot_show_gets_a_view(store: MediaStore, tmp_path: Path) -> None:
    path = tmp_path / "scan.tiff"
    PIL.Image.new("RGB", (3000, 1000), "teal").save(path)
    (medium,) = store.add(path, "scan.tiff")
    view = store.view(medium)
    assert view and view.suffix == ".webp"
    assert PIL.Image.open(view).size == (1600, 533)


@pytest.mark.parametrize("ending", ["webp", "png", "jpg"])
def test_a_turned_picture_stands_upright_in_the_chat(store: MediaStore, tmp_path: Path, ending: str) -> None:
    """Chromium 156 turns a PNG and a JPEG by their EXIF orientation, and does not turn a WebP."""
    path = tmp_path / f"phone.{ending}"
    PIL.Image.new("RGB", (40, 20), "teal").save(path, exif=turned_exif(6))
    (medium,) = store.add(path, path.name)
    view = store.view(medium)
    assert view
    if ending == "webp":
        assert PIL.Image.open(view).size == (20, 40)
    else:
        assert view == store.path(medium)


def test_the_limits_of_the_page_are_those_of_its_store(tmp_path: Path, files: Callable[[str], str]) -> None:
    """Files were opened within the default limits, even if --max-file-mb was higher."""
    assert MediaLimits.for_uploads(50) == MediaLimits()  # raises the default, never lowers it
    assert MediaLimits.for_uploads(1000).max_file_bytes == 1000 * 10**6
    small = MediaStore(tmp_path / "small", limits=MediaLimits(max_file_bytes=500))
    for name in ("cat.png", "pages.pdf", "clip.mp4"):
        path = Path(files(name))
        with pytest.raises(UserError, match=rf"^my {name} has .*\(--max-file-mb\)"):
            small.add(path, f"my {name}")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with pytest.raises(UserError, match=rf"^my {name} has .*\(--max-file-mb\)"):
            small.add_bytes(path.read_bytes(), Medium("image", f"{digest}.png", f"my {name}"))
    assert list(small.folder.iterdir()) == []


def test_a_file_in_use_is_stamped_rarely(store: MediaStore, files: Callable[[str], str]) -> None:
    """A new time stamp makes a processor read the file again, and the sweep works in days."""
    path = Path(files("cat.png"))
    (cat,) = store.add(path, "cat.png")
    stored = store.path(cat)
    assert stored
    now = stored.stat().st_mtime
    for age, stamped in ((100, False), (4000, True)):
        for use in (
            lambda: store.add(path, "cat.png"),
            lambda: store.touch(Conversation((Turn("?", (cat,)),))),
        ):
            os.utime(stored, (now - age, now - age))
            use()
            assert (stored.stat().st_mtime > now - 50) is stamped


def test_the_longest_unused_goes_first(store: MediaStore, files: Callable[[str], str]) -> None:
    (cat,) = store.add(Path(files("cat.png")), "cat.png")
    (dog,) = store.add(Path(files("dog.jpg")), "dog.jpg")
    cat_path, dog_path = store.path(cat), store.path(dog)
    assert cat_path and dog_path
    now = cat_path.stat().st_mtime
    os.utime(cat_path, (now - 100, now - 100))
    store.max_bytes = dog_path.stat().st_size
    store.sweep(now + 10_000)
    assert store.path(cat) is None and store.path(dog)
    store.sweep(now + 8 * DAY)
    assert store.path(dog) is None


def test_what_no_open_tab_shows_is_deleted_after_a_while(store: MediaStore, files: Callable[[str], str]) -> None:
    (cat,) = store.add(Path(files("cat.png")), "cat.png")
    (dog,) = store.add(Path(files("dog.png")), "dog.png")
    view = store.folder / f"{dog.file.partition('.')[0]}.view.webp"
    view.touch()
    now = time.time()
    store.release_unused({cat.file, dog.file}, now)
    store.release_unused({cat.file}, now + KEEP_AFTER_CLOSE - 1)
    assert store.path(dog) is not None  # the page may be loading again
    store.release_unused({cat.file}, now + KEEP_AFTER_CLOSE + 1)
    assert store.path(dog) is None and not view.exists() and store.path(cat) is not None


def test_what_an_earlier_run_left_waits_for_its_tab_a_little_longer(
    store: MediaStore, files: Callable[[str], str]
) -> None:
    (cat,) = store.add(Path(files("cat.png")), "cat.png")
    again, now = MediaStore(store.folder), time.time()
    again.release_unused((), now + KEEP_AFTER_CLOSE + 1)
    assert again.path(cat) is not None
    again.release_unused((), now + KEEP_AFTER_START + 2)
    assert again.path(cat) is None


def test_forgetting_spares_what_others_show(store: MediaStore, files: Callable[[str], str]) -> None:
    (cat,) = store.add(Path(files("cat.png")), "cat.png")
    store.forget([cat.file], in_use=[cat.file])
    assert store.path(cat) is not None
    store.forget([cat.file, "../cat.png", "*"])
    assert store.path(cat) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(
    store: MediaStore, files: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(number, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(UserError, match="disk of this server is full"):
        store.add(Path(files("cat.png")), "cat.png")
    assert list(store.folder.iterdir()) == []


def test_what_is_stored_once_more_while_a_chat_is_cleared_stays(store: MediaStore, files: Callable[[str], str]) -> None:
    (medium,) = store.add(Path(files("cat.png")), "a.png")
    began = time.time()
    store.add(Path(files("cat.png")), "a.png")  # attached again, by the same visitor or another
    store.forget([medium.file], began=began)
    assert store.path(medium) is not None
    store.forget([medium.file], began=time.time() + 1)
    assert store.path(medium) is None
