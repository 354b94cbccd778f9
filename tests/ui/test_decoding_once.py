"""The walk from an uploaded file to the pixels of a prompt: whatever the page asks for, a file is decoded once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.processors import reference_processor
from qwen2vl_demo.media import browser_files, open_image, read_video, video_decoding
from qwen2vl_demo.media import images as images_module
from qwen2vl_demo.media.thumbnail import thumbnail_size
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.ui.chat.conversation import Conversation, Turn, to_messages
from qwen2vl_demo.ui.media_store import MediaStore

PROCESSOR = reference_processor()


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the pictures that were loaded in full and the passes over a clip that decoded frames."""
    counts: Counter[str] = Counter()
    to_rgb = images_module.to_rgb
    read = video_decoding.VideoFile.read  # type: ignore[attr-defined]

    def counting_to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
        counts["picture"] += 1
        return to_rgb(image)

    def counting_read(*args: Any) -> Any:
        counts["clip"] += 1
        time.sleep(0.05)  # so that simultaneous passes overlap
        return read(*args)

    monkeypatch.setattr(images_module, "to_rgb", counting_to_rgb)
    monkeypatch.setattr(video_decoding.VideoFile, "read", counting_read)
    return counts


@pytest.fixture
def processor() -> Processor:
    """A processor without anything cached; its weights are nowhere needed."""
    return Processor(PROCESSOR.config, PROCESSOR.image, PROCESSOR.tokenizer, PROCESSOR.template)


def prepare(store: MediaStore, processor: Processor, path: str, **options: Any) -> Prompt:
    """What happens when the panel shows a draft, and again when it is sent."""
    conversation = Conversation((Turn("?", store.add(Path(path), Path(path).name)),))
    store.touch(conversation)
    return processor.process(to_messages(conversation, store.path), **options)


@pytest.mark.parametrize(
    ("name", "kind"), [("cat.png", "picture"), ("cat.tiff", "picture"), ("cat.heic", "picture"), ("clip.mp4", "clip")]
)
def test_a_file_is_decoded_once_however_often_it_is_shown_and_sent(
    name: str,
    kind: str,
    store: MediaStore,
    processor: Processor,
    files: Callable[[str], str],
    decodes: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Storing a file updates its time stamp, by which decoded pixels were cached: three looks and a Send decoded a clip
    seven times, its thumbnail included, and a picture also whenever it was stored."""
    path = files(name)
    for hour in range(4):  # three looks and a Send, so far apart that the file is stamped as used again
        prompt = prepare(store, processor, path, thumbnails=True)
        now = time.time
        monkeypatch.setattr("qwen2vl_demo.ui.media_store.time.time", lambda now=now: now() + 5000)
        assert decodes == {kind: 1}, f"look {hour}"
    assert prompt.media[0].thumbnail is not None


def test_a_view_for_the_browser_is_decoded_once(
    store: MediaStore, processor: Processor, files: Callable[[str], str], decodes: Counter[str]
) -> None:
    """A browser cannot show a TIFF: one decode for the prompt, one for the picture in the chat."""
    for _ in range(3):
        prepare(store, processor, files("cat.tiff"), thumbnails=True)
        (medium,) = store.add(Path(files("cat.tiff")), "cat.tiff")
        assert store.view(medium)
    assert decodes == {"picture": 2}


def test_two_that_need_a_clip_at_the_same_time_decode_it_once(
    store: MediaStore, processor: Processor, files: Callable[[str], str], decodes: Counter[str]
) -> None:
    """A file that is sent at once is still being decoded for the panel."""
    path, start = files("clip.mp4"), threading.Barrier(2)

    def simultaneously(_: int) -> str:
        start.wait()
        return prepare(store, processor, path, thumbnails=True).media[0].digest

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(simultaneously, range(2)))) == 1
    assert decodes == {"clip": 1}


def test_a_thumbnail_asked_for_later_costs_one_more_decode(
    store: MediaStore, processor: Processor, files: Callable[[str], str], decodes: Counter[str]
) -> None:
    path = files("clip.mp4")
    assert prepare(store, processor, path).media[0].thumbnail is None
    for _ in range(2):
        assert prepare(store, processor, path, thumbnails=True).media[0].thumbnail is not None
        prepare(store, processor, path)
    assert decodes == {"clip": 2}


def test_a_thumbnail_is_the_medium_before_it_was_resized(
    store: MediaStore, processor: Processor, files: Callable[[str], str], tmp_path: Path
) -> None:
    """Upright and at most 1280 px long; of a clip the first frame. None where the model gets the very same pixels."""
    large = tmp_path / "large.jpg"
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    pixels = np.random.default_rng(0).integers(0, 256, (15, 30, 3), np.uint8).repeat(100, 0).repeat(100, 1)
    PIL.Image.fromarray(pixels).save(large, exif=exif)
    expected = open_image(large)
    expected.thumbnail((1280, 1280), reducing_gap=2.0)
    thumbnail = prepare(store, processor, str(large), thumbnails=True).media[0].thumbnail
    assert thumbnail is not None and thumbnail.shape == (1280, 640, 3) and not thumbnail.flags.writeable
    assert np.array_equal(thumbnail, np.asarray(expected))

    for name in ("clip.mp4", "wave.gif", "wave.webp"):
        clip = files(name)
        if name == "wave.webp":
            frames = [PIL.Image.new("RGB", (1500, 90), (40 * i, 80, 90)) for i in range(6)]
            frames[0].save(clip, save_all=True, append_images=frames[1:], duration=100)
        frame = read_video(clip, max_frames=2, min_frames=2, resize=lambda _, size: thumbnail_size(size)).frames[0]
        thumbnail = prepare(store, processor, clip, thumbnails=True).media[0].thumbnail
        assert thumbnail is not None and np.array_equal(thumbnail, frame), name

    fitting = tmp_path / "fitting.png"
    PIL.Image.new("RGB", (280, 560), "red").save(fitting)
    assert prepare(store, processor, str(fitting), thumbnails=True).media[0].thumbnail is None


def test_attaching_a_picture_reads_its_header_only(
    store: MediaStore, files: Callable[[str], str], decodes: Counter[str]
) -> None:
    store.add(Path(files("cat.png")), "cat.png")
    assert decodes == {}


def test_the_pages_of_a_pdf_are_rendered_once(
    store: MediaStore, files: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look rendered and compressed every page again. A page that the sweep deleted is rendered once more."""
    rendered, open_document = [], browser_files.open_document
    monkeypatch.setattr(browser_files, "open_document", lambda *args: (rendered.append(1), open_document(*args))[1])
    document = Path(files("pages.pdf"))  # made once: it holds the second in which it was made
    first = store.add(document, "pages.pdf")
    assert [m.name for m in first] == ["pages.pdf, page 1", "pages.pdf, page 2"]
    second = store.add(document, "other.pdf")
    assert [m.name for m in second] == ["other.pdf, page 1", "other.pdf, page 2"]
    assert [m.file for m in first] == [m.file for m in second] and len(rendered) == 1
    (store.folder / first[1].file).unlink()
    assert store.add(document, "pages.pdf") == first and len(rendered) == 2
    assert all(store.path(page) for page in first)


def test_a_damaged_picture_is_reported_under_the_name_the_visitor_gave_it(
    store: MediaStore, processor: Processor, files: Callable[[str], str]
) -> None:
    """It is stored unread; processing it must not call it by the name that it has in the store."""
    path = Path(files("cat.png"))
    path.write_bytes(path.read_bytes()[:-200])
    messages = to_messages(Conversation((Turn("?", store.add(path, "my cat.png")),)), store.path)
    with pytest.raises(Exception, match=r"^my cat\.png cannot be read as a picture: [^\n]*\.$"):
        processor.process(messages)
