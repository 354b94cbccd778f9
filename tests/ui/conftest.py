"""What the tests of the page share: small files of every kind, a store, the parts of the page with the fake engine."""

from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from qwen2vl_demo.ui.chat.page_update import PageUpdate
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from tests.asynchronous import stepwise
from tests.fake_engine import FakeEngine
from tests.fake_models import FakeLoader

VALUES: Mapping[str, object] = {}  # the settings as they are at first


def picture(path: Path, size: tuple[int, int] = (320, 240), colour: str = "red") -> Path:
    image = Image.new("RGB", size, "#f4efe6")
    ImageDraw.Draw(image).rectangle((size[0] // 10, size[1] // 10, size[0] // 2, size[1] // 2), fill=colour)
    image.save(path)
    return path


def clip(path: Path, frames: int = 20) -> Path:
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 112, 84, "yuv420p"
        for i in range(frames):
            image = np.zeros((84, 112, 3), np.uint8)
            image[:, 5 * i : 5 * i + 20] = 255
            box.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        box.mux(stream.encode())
    return path


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str], str]:
    """Makes a file by name and gives its path: cat.png, dog.jpg, clip.mp4, wave.gif, pages.pdf, broken.png."""
    folder = tmp_path / "uploads"
    folder.mkdir()

    def make(name: str) -> str:
        path = folder / name
        if name == "clip.mp4":
            clip(path)
        elif name == "wave.gif":
            waves = [Image.new("RGB", (60, 40), (40 * i, 80, 90)) for i in range(6)]
            waves[0].save(path, save_all=True, append_images=waves[1:], duration=100)
        elif name == "pages.pdf":
            pages = [Image.new("RGB", (200, 280), c) for c in ("white", "beige")]
            pages[0].save(path, save_all=True, append_images=pages[1:])
        elif name == "broken.png":
            path.write_text("this is text and no picture")
        else:
            picture(path, colour="blue" if "dog" in name else "red")
        return str(path)

    return make


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media")


@pytest.fixture
def parts(store: MediaStore) -> Parts:
    return Parts.build(FakeEngine(step=0.0, encode=0.0), store)


def respond(parts: Parts, session: Session, values: Mapping[str, object] = VALUES) -> Generator[PageUpdate, None, None]:
    return stepwise(parts.controller.answers.respond(session, values))


def ask(parts: Parts, session: Session, text: str, *files: str) -> str:
    """One turn as the page does it, the refresh of the panel included; the answer."""
    parts.controller.begin(session, Draft(text, files))
    list(respond(parts, session))
    parts.controller.answers.finish(session)
    parts.preview.refresh(session, Draft(), VALUES)
    last = session.conversation.last
    assert last is not None and last.answer is not None
    return last.answer.text


@pytest.fixture
def loader() -> FakeLoader:
    return FakeLoader({"tiny": 4, "plain": 1, "large": 99})


@pytest.fixture
def models(parts: Parts, loader: FakeLoader) -> Models:
    return Models(parts, loader)
