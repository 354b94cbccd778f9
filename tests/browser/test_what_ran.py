"""The panel beside the tensors: what it shows is what was handed to the model, and what the rules say by themselves."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import skimage.data

from qwen2vl_demo.engine import load_engine
from tests.browser import reference
from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab
from tests.browser.lens_driver import seen
from tests.browser.reference import File
from tests.ui.conftest import clip

pytestmark = pytest.mark.slow

NANO = Path(__file__).resolve().parents[2] / "assets" / "nano"


@pytest.fixture
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An engine of its own, which has read nothing yet."""
    made = App(load_engine("nano", device="cpu"), tmp_path_factory.mktemp("ran"), None)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, File]:
    """Photographs in many sizes, a GIF of 7 frames with 300 ms each and a clip of 20 with 100 ms each."""
    folder = tmp_path_factory.mktemp("files")
    sources = (skimage.data.coffee(), skimage.data.chelsea(), skimage.data.astronaut())
    sizes = [(600, 400), (42, 70), (90, 700), (451, 300), (1210, 640), (512, 512), (31, 29), (14, 500)]  # width, height
    made = {}
    for number, (width, height) in enumerate(sizes):
        path = folder / f"{width}x{height}.png"
        PIL.Image.fromarray(sources[number % 3]).resize((width, height)).save(path)
        made[path.stem] = File(path, height, width)
    waves = [PIL.Image.fromarray(sources[1]).resize((120, 80)).rotate(9 * i) for i in range(7)]
    waves[0].save(folder / "wave.gif", save_all=True, append_images=waves[1:], duration=300)
    made["gif"] = File(folder / "wave.gif", 80, 120, 2.1)
    made["clip"] = File(clip(folder / "clip.mp4"), 84, 112, 2.0)
    return made


class Ran:
    """Everything that is handed to a model, in order, and the answers as they went: a page shows no spaces around."""

    def __init__(self, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[str] = []
        model, stream = engine.model, engine.stream

        def streaming(*given: Any, **prepared: Any) -> Iterator[Any]:
            for chunk in stream(*given, **prepared):
                self.answers += [chunk.result.text] if chunk.result is not None else []
                yield chunk

        monkeypatch.setattr(engine, "stream", streaming)
        self.ids: list[int] = []
        self.positions: list[list[int]] = [[], [], []]
        self.media: list[tuple[tuple[int, int, int], np.ndarray]] = []  # (grid, patches)
        embed, encode = model.embed, model.encode

        def embedding(input_ids: Any, vision: Any = None) -> Any:
            self.ids += input_ids[0].tolist()
            return embed(input_ids, vision)

        def encoding(patches: Any, grids: Any, *rest: Any) -> Any:
            self.media.append((tuple(grids[0]), patches.float().numpy().copy()))
            assert len(grids) == 1
            return encode(patches, grids, *rest)

        def before(_: Any, given: tuple[Any, ...]) -> None:
            for axis, values in zip(self.positions, given[1][:, 0].tolist(), strict=True):
                axis += values

        monkeypatch.setattr(model, "embed", embedding)
        monkeypatch.setattr(model, "encode", encoding)
        self.hook = model.register_forward_pre_hook(before)


@pytest.fixture
def ran(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ran]:
    made = Ran(app.engine, monkeypatch)
    yield made
    made.hook.remove()


def shown_frames(tab: Tab) -> list[tuple[np.ndarray, bool]]:
    """The frames of each medium as the panel draws them, cut out of what it was sent: (n, h, w, 3) uint8, and whether
    they are the pixels themselves and not a smaller or lossy picture of them."""
    images = tab.page.evaluate("() => window.qwen2vl.lens.state.data.payload.media.map(m => m.shown)")
    found = []
    for image in images:
        sheet = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(image["uri"].partition(",")[2]))).convert("RGB"))
        h, w, across = image["height"], image["width"], image["columns"]
        corners = [divmod(i, across) for i in range(image["count"])]
        frames = np.stack([sheet[y * h : (y + 1) * h, x * w : (x + 1) * w] for y, x in corners])
        found.append((frames, image["lossless"] and image["scale"] == 1))
    return found


@pytest.mark.parametrize(
    "tokens", [None, pytest.param(150, marks=pytest.mark.large)], ids=["the checkpoint's budget", "another budget"]
)
def test_what_is_shown_is_what_went_into_the_model_and_what_the_rules_say(
    app: App, visit: Visits, files: dict[str, File], ran: Ran, tokens: int | None
) -> None:
    """Two turns with ten pictures, a GIF and a clip. In the second only what is new is read: the panel's last ids."""
    first = [files[name] for name in ("600x400", "42x70", "gif", "90x700", "451x300", "1210x640")]
    second = [files[name] for name in ("clip", "512x512", "31x29", "14x500")]
    raw = json.loads((NANO / "preprocessor_config.json").read_text("utf-8"))
    least, most = raw["min_pixels"], raw["max_pixels"]
    allowed = tokens * 784 if tokens else most  # to a picture; a frame never gets more than the checkpoint says
    grids = {
        file.path: reference.grid(file, least, min(most, allowed) if file.seconds else allowed)
        for file in [*first, *second]
    }
    tab = visit(app)
    if tokens:
        tab.setting("Maximum tokens per picture", tokens)
        tab.quiet()

    tab.ask("What is in these?", *[file.path for file in first])
    before = len(ran.ids)
    shown = seen(tab, len(first), draft=False)
    assert _numbers(shown) == _numbers_of(reference.text([(first, "What is in these?", None)], grids), first, grids)
    _equal(ran, shown, before)
    assert before == len(shown["input_ids"])

    tab.ask("And here?", *[file.path for file in second])
    turns = [(first, "What is in these?", ran.answers[0]), (second, "And here?", None)]
    shown = seen(tab, len(first) + len(second), draft=False)
    assert _numbers(shown) == _numbers_of(reference.text(turns, grids), [*first, *second], grids)
    new = len(ran.ids) - before
    assert 0 < new < len(shown["input_ids"])
    assert new >= sum(medium["merged_tokens"] for medium in shown["media"][len(first) :])
    _equal(ran, shown, new)
    expected = [grids[file.path] for file in [*first, *second]]
    assert [grid for grid, _ in ran.media] == [tuple(m["grid_thw"]) for m in shown["media"]] == expected

    exact = 0
    for (grid, patches), (frames, is_exact) in zip(ran.media, shown_frames(tab), strict=True):
        cut = reference.pixels_of(patches, *grid, raw["image_mean"], raw["image_std"])
        if len(frames) == 1:  # a still image: its two frames are equal, and may be given once
            assert len(cut) in (1, 2) and np.array_equal(cut[0], cut[-1])
        else:
            assert len(cut) == len(frames)
        for mine, theirs in zip(frames, cut, strict=False):
            exact += is_exact and np.array_equal(mine, theirs)
            assert not is_exact or np.array_equal(mine, theirs)
            small = PIL.Image.fromarray(theirs).resize(mine.shape[1::-1], PIL.Image.Resampling.BILINEAR)
            assert np.abs(np.asarray(small).astype(int) - mine).mean() < 6  # grey levels that JPEG may change
    assert exact >= 3


def _equal(ran: Ran, shown: dict[str, Any], count: int) -> None:
    """The last `count` tokens that the model got are the last ones of the panel."""
    assert ran.ids[-count:] == shown["input_ids"][-count:]
    for axis, known in zip(ran.positions, shown["position_ids"], strict=True):
        assert axis[-count:] == known[-count:]


def _numbers(shown: dict[str, Any]) -> tuple[Any, ...]:
    media = [(m["name"], tuple(m["grid_thw"]), m["original_size"], tuple(m["span"])) for m in shown["media"]]
    return shown["input_ids"], shown["position_ids"], shown["rope_delta"], media


def _numbers_of(prompt: str, files: list[File], grids: dict[Path, tuple[int, int, int]]) -> tuple[Any, ...]:
    """The same by the rules alone."""
    ids = reference.ids_of(NANO / "tokenizer.json", prompt)
    pads = {reference.ids_of(NANO / "tokenizer.json", pad)[0] for pad in (reference.IMAGE, reference.VIDEO)}
    positions = reference.positions(ids, pads, [grids[file.path] for file in files])
    media, at = [], 0
    for file in files:
        while ids[at] not in pads:
            at += 1
        t, h, w = grids[file.path]
        media.append((file.path.name, (t, h, w), [file.height, file.width], (at, at + t * h * w // 4)))
        at += t * h * w // 4
    return ids, positions, max(map(max, positions)) + 1 - len(ids), media
