"""A chat as a file: it can be exported and imported again, and untrusted input is checked."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn
from qwen2vl_demo.ui.chat.export import export_html, export_json, import_json
from qwen2vl_demo.ui.media_store import MediaStore

BOXED = "Here: <|object_ref_start|>cat<|object_ref_end|><|box_start|>(10,10),(500,500)<|box_end|> <script>x</script>"


@pytest.fixture
def talk(store: MediaStore, files: Callable[[str], str]) -> Conversation:
    cat = store.add(Path(files("cat.png")), 'cat "<b>.png')
    movie = store.add(Path(files("clip.mp4")), "clip.mp4")
    return Conversation((Turn("What <i>is</i> this?", (*cat, *movie), True, Answer(BOXED, "end")),), "Be kind.")


def test_json_comes_back_in_another_place(talk: Conversation, store: MediaStore, tmp_path: Path) -> None:
    elsewhere = MediaStore(tmp_path / "elsewhere")
    assert import_json(export_json(talk, store, "nano"), elsewhere) == talk
    for medium in talk.turns[0].media:
        there, here = elsewhere.path(medium), store.path(medium)
        assert there and here and there.read_bytes() == here.read_bytes()


def test_a_chat_whose_picture_is_gone_can_still_be_saved_and_opened(talk: Conversation, store: MediaStore) -> None:
    path = store.path(talk.turns[0].media[0])
    assert path
    path.unlink()
    assert import_json(export_json(talk, store, "nano"), store) == talk
    assert "no longer kept" in export_html(talk, store, "nano", "")


def test_the_page_needs_nothing_but_itself(talk: Conversation, store: MediaStore) -> None:
    page = export_html(talk, store, "<nano>", "on & on")
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert page.count("data:image/") == 2  # the picture, and the picture with its box
    assert page.count("data:video/mp4") == 1
    for hostile in ("<script", "<i>", "<b>.png", "<nano>"):
        assert hostile not in page
    assert "Here: cat" in page and "Be kind." in page


@pytest.mark.parametrize("change", ["hash", "kind", "text", "base64", "number", "list"])
def test_hostile_media_are_refused_with_a_sentence(
    talk: Conversation, store: MediaStore, tmp_path: Path, change: str
) -> None:
    record = json.loads(export_json(talk, store, "nano"))
    name = talk.turns[0].media[0].file
    if change == "hash":
        record["media"][name] = record["media"][talk.turns[0].media[1].file]
    elif change == "kind":
        record["turns"][0]["media"][0]["kind"] = "video"
    elif change == "text":
        record["media"][name] = "aGVsbG8="
    elif change == "base64":
        record["media"][name] = "*" * 8
    elif change == "number":
        record["media"][name] = 7
    else:
        record["media"] = []
    empty = MediaStore(tmp_path / "empty")
    with pytest.raises(UserError):
        import_json(json.dumps(record), empty)
    assert not list(empty.folder.glob("*.part"))


def test_an_ending_cannot_be_chosen_by_the_file(talk: Conversation, store: MediaStore, tmp_path: Path) -> None:
    """A picture named .html in the record would be served as a page."""
    record = json.loads(export_json(talk, store, "nano"))
    old = talk.turns[0].media[0].file
    new = old.partition(".")[0] + ".html"
    record["turns"][0]["media"][0]["file"] = new
    record["media"] = {new: record["media"][old]}
    empty = MediaStore(tmp_path / "empty")
    assert import_json(json.dumps(record), empty).turns[0].media[0].file == old
    assert [path.name for path in empty.folder.iterdir()] == [old]


@pytest.fixture
def media_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a small file by name: a picture, or a clip of ten frames for a video's ending."""
    codecs = {
        "mpg": "mpeg2video",
        "wmv": "wmv2",
        "webm": "libvpx",
        "ogv": "libvpx",
        "avi": "mpeg4",
        "gif": "gif",
        "m4v": "mpeg4",
    }
    formats = {"wmv": "asf", "m4v": "mp4", "ogv": "ogg"}

    def write(name: str) -> Path:
        path, ending = tmp_path / name, name.rpartition(".")[2]
        if name.startswith("moving") and ending == "webp":
            frames = [PIL.Image.new("RGB", (96, 64), (25 * i, 80, 90)) for i in range(6)]
            frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
        elif name.startswith("moving"):
            codec = codecs.get(ending, "libx264")
            if codec not in av.codecs_available:
                pytest.skip(f"this FFmpeg cannot write {codec}")
            with av.open(str(path), "w", format=formats.get(ending)) as container:
                stream = container.add_stream(codec, rate=25)
                stream.width, stream.height = 96, 64
                stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
                for i in range(10):
                    pixels = np.full((64, 96, 3), 20 * i, np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(stream.encode())
        else:
            PIL.Image.new("RGB", (96, 64), "teal").save(path, quality=80)
        return path

    return write


# What is uploaded: the ending under which it is stored.
PICTURES = {
    "a.png": "png",
    "a.jpg": "jpg",
    "a.webp": "webp",
    "a.gif": "gif",
    "a.tiff": "tiff",
    "a.tif": "tiff",
    "a.bmp": "bmp",
    "a.ppm": "ppm",
    "a.jp2": "jp2",
    "a.heic": "heic",
    "a.avif": "avif",
}
CLIPS = {
    "moving.gif": "gif",
    "moving.webp": "webp",
    "moving.mp4": "mp4",
    "moving.m4v": "mp4",
    "moving.mov": "mov",
    "moving.mkv": "mkv",
    "moving.webm": "webm",
    "moving.avi": "avi",
    "moving.mpg": "mpg",
    "moving.ts": "ts",
    "moving.flv": "flv",
    "moving.wmv": "wmv",
    "moving.ogv": "ogv",
}


@pytest.mark.parametrize("name", [*PICTURES, *CLIPS])
def test_every_format_that_can_be_attached_can_be_saved_and_opened(
    name: str, media_file: Callable[[str], Path], store: MediaStore, tmp_path: Path
) -> None:
    """The ending was taken from the file's name where the first bytes did not tell it; an imported file has no name."""
    media = store.add(media_file(name), name)
    assert [(m.kind, m.file.rpartition(".")[2], m.name) for m in media] == [
        ("video" if name in CLIPS else "image", {**PICTURES, **CLIPS}[name], name)
    ]
    saved = Conversation((Turn("What is this?", media),))
    elsewhere = MediaStore(tmp_path / "elsewhere")
    assert import_json(export_json(saved, store, "nano"), elsewhere) == saved
    stored, original = elsewhere.path(media[0]), store.path(media[0])
    assert stored and original and stored.read_bytes() == original.read_bytes()
    assert store.view(media[0])


@pytest.mark.parametrize(
    ("name", "old_ending"),
    [("a.tif", "tif"), ("a.ppm", "bin"), ("a.jp2", "bin"), ("moving.mpg", "mpeg"), ("moving.ogv", "bin")],
)
def test_chats_that_name_a_file_by_an_older_ending_still_open(
    name: str, old_ending: str, media_file: Callable[[str], Path], store: MediaStore, tmp_path: Path
) -> None:
    """Earlier versions took some endings from the name, else "bin": in their saved files, in the memory of browsers and
    in the store. Each of the three opens; a new upload of the same file does not make a second copy."""
    file = media_file(name)
    (new,) = store.add(file, name)
    old = replace(new, file=f"{new.file.partition('.')[0]}.{old_ending}")
    saved = export_json(Conversation((Turn("?", (old,)),)), store, "nano")
    assert json.loads(saved)["media"][old.file]  # found by its digest
    elsewhere = MediaStore(tmp_path / "elsewhere")
    assert import_json(saved, elsewhere).turns[0].media == (new,)

    (store.folder / new.file).rename(store.folder / old.file)  # as an earlier version left it
    assert store.path(old) == store.path(new) == store.folder / old.file
    assert store.add(file, name) == (new,)
    assert store.path(old) == store.path(new) == store.folder / new.file
    assert len(list(store.folder.iterdir())) == 1


def test_what_is_no_chat_is_a_sentence(store: MediaStore) -> None:
    for text in (b"", b"hello", b"[]", b'{"format": "x"}', b"\xff"):
        with pytest.raises(UserError):
            import_json(text, store)
