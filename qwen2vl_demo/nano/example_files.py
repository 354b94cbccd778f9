"""Draw the example files of the first page: `python -m qwen2vl_demo.nano.example_files assets/examples`.

The scenes come from held-out seeds and are several times as large as nano's training pictures, so that they do not look
like thumbnails; nano sees them resized, as it sees a visitor's files. Icons are Noto's (Apache License 2.0), so this
needs the file that `world/icons.py` writes. Of the scenes that suit an example card, the first one that nano answers
rightly is taken, to the letter or with a box that fits: the examples show what the page does, and nano's accuracy is
stated in its model card. `examples.json` holds each card's label, question, files and answer; tests check the answers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import PIL.Image

from qwen2vl_demo.engine import load_engine
from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.nano.dialogue.clip_questions import event_sentence
from qwen2vl_demo.nano.dialogue.scene_questions import box_answer
from qwen2vl_demo.nano.dialogue.wording import count_sentence
from qwen2vl_demo.nano.evaluation.studies import answer_iou
from qwen2vl_demo.nano.training.validation import HELD_OUT_SEED
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.clips import DIRECTIONS, DrawnClip, draw_clip, random_clip
from qwen2vl_demo.nano.world.documents import Bar, Document, draw_document, random_document
from qwen2vl_demo.nano.world.drawing import draw_scene, text_box
from qwen2vl_demo.nano.world.layout import random_scene
from qwen2vl_demo.nano.world.scene import Scene, Sign, Thing
from qwen2vl_demo.processing.messages import Image, Message, Text, Video

SCALE = 4  # a file's side relative to the picture that nano sees
ICON_SCALE = 2.5  # ... for scenes with icons, whose drawings have icons.SIDE px
SIZE = (168, 224)  # (height, width) that nano sees: 6x8 merged tokens
CLIP_SIZE = (140, 168)
MIN_IOU = 0.75  # of the true box and nano's, to count as right
CLIP_FPS, CLIP_SECONDS = 12, 3  # at two sampled frames a second nano sees six of them


def generator(index: int) -> np.random.Generator:
    return np.random.default_rng([HELD_OUT_SEED, 1, index])


def enlarge_thing(thing: Thing, scale: float) -> Thing:
    """The same thing on a larger canvas; an icon gets its original colours."""
    return replace(thing, x=thing.x * scale, y=thing.y * scale, radius=thing.radius * scale, tint=())


def enlarge_sign(sign: Sign, scale: float) -> Sign:
    size = round(sign.size * scale)
    x1, y1, x2, y2 = text_box(sign.font, size, sign.text)
    left, top = round(sign.box[0] * scale), round(sign.box[1] * scale)
    return replace(sign, size=size, box=(left, top, left + x2 - x1, top + y2 - y1))


def enlarge(scene: Scene) -> Scene:
    """The same scene on a larger canvas."""
    scale = SCALE if scene.noun == "shape" else ICON_SCALE
    return replace(
        scene,
        height=round(scene.height * scale),
        width=round(scene.width * scale),
        things=tuple(enlarge_thing(thing, scale) for thing in scene.things),
        signs=tuple(enlarge_sign(sign, scale) for sign in scene.signs),
    )


def enlarge_document(document: Document) -> Document:
    def bar(one: Bar) -> Bar:
        x1, y1, x2, y2 = (side * SCALE for side in one.box)
        return replace(one, box=(x1, y1, x2, y2), signs=tuple(enlarge_sign(sign, SCALE) for sign in one.signs))

    return replace(
        document,
        height=document.height * SCALE,
        width=document.width * SCALE,
        bars=tuple(bar(one) for one in document.bars),
        line_signs=tuple(
            (enlarge_sign(word, SCALE), enlarge_sign(amount, SCALE)) for word, amount in document.line_signs
        ),
    )


def write_picture(drawn: Scene | Document, path: Path) -> str:
    if isinstance(drawn, Document):
        pixels, _ = draw_document(enlarge_document(drawn), generator(0))
    else:
        pixels, _ = draw_scene(enlarge(drawn), generator(0))
    PIL.Image.fromarray(pixels).save(path, "PNG", optimize=True)
    return path.name


def smooth(clip: DrawnClip, frames: int) -> DrawnClip:
    """The same clip with interpolated frames: positions and sizes change smoothly, appearances and colours abruptly."""
    count = clip.frames
    tracks = []
    for track in clip.tracks:
        longer: list[Thing | None] = []
        for i in range(frames):
            at = i * (count - 1) / (frames - 1)
            before, after = track[int(at)], track[min(int(at) + 1, count - 1)]
            if before is None or after is None or before.colour != after.colour:
                longer.append(track[round(at)])
                continue
            part = at - int(at)
            x, y, radius = (
                getattr(before, name) * (1 - part) + getattr(after, name) * part for name in ("x", "y", "radius")
            )
            longer.append(replace(before, x=x, y=y, radius=radius))
        tracks.append(tuple(longer))
    return replace(clip, frames=frames, tracks=tuple(tracks))


def write_clip(clip: DrawnClip, path: Path) -> str:
    """Write the enlarged clip as an H.264 file; its name."""
    longer = smooth(clip, CLIP_FPS * CLIP_SECONDS)
    large = replace(
        longer,
        height=clip.height * SCALE // 2,
        width=clip.width * SCALE // 2,
        tracks=tuple(tuple(t and enlarge_thing(t, SCALE / 2) for t in track) for track in longer.tracks),
    )
    frames, _ = draw_clip(large, generator(0))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = large.height, large.width, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path.name


def is_plain(item: Scene | DrawnClip | Document) -> bool:
    """Whether the background is light and there is neither noise, which would make large files, nor JPEG artefacts."""
    compressed = not isinstance(item, DrawnClip) and item.jpeg
    return not item.background.dark and not item.background.noise and not compressed


def shapes_of(scene: Scene) -> set[str]:
    return {thing.shape for thing in scene.things}


Files = list[str]
# Writes the files of a random scene, and returns their names and the right answer; None if the scene does not suit.
Candidate = Callable[[np.random.Generator, Path], tuple[Files, str] | None]


def counting_example(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
    scene = random_scene(rng, SIZE)
    varied = len(scene.things) == len(shapes_of(scene)) and is_plain(scene)
    if not varied or scene.shapes or not 4 <= len(scene.things) <= 6:
        return None
    return [write_picture(scene, folder / "things.png")], count_sentence(len(scene.things), "thing")


def comparison_example(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
    first, second = random_scene(rng, SIZE, max_things=3), random_scene(rng, SIZE, max_things=3)
    if not (is_plain(first) and is_plain(second)) or "star" in shapes_of(first) or "star" not in shapes_of(second):
        return None
    files = [write_picture(first, folder / "first.png"), write_picture(second, folder / "second.png")]
    return files, "The second picture has a star."


def box_example(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
    scene = random_scene(rng, SIZE)
    cats = [thing for thing in scene.things if thing.shape == "cat"]
    if len(cats) != 1 or not 3 <= len(scene.things) <= 6 or not is_plain(scene):
        return None
    return [write_picture(scene, folder / "cat.png")], box_answer(scene, cats[0], "cat")


def receipt_example(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
    document = random_document(rng, SIZE)
    if not is_plain(document) or document.kind != "receipt" or len(document.lines) != 4:
        return None
    return [write_picture(document, folder / "receipt.png")], f"The total is {document.lines[-1][1]}."


def chart_example(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
    document = random_document(rng, SIZE)
    if (
        not is_plain(document)
        or document.kind != "bars"
        or len(document.bars) < 4
        or len({b.colour for b in document.bars}) < 4
    ):
        return None
    highest = max(document.bars, key=lambda bar: bar.value)
    return [write_picture(document, folder / "chart.png")], f"{highest.letter} is the highest."


def motion_example(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
    clip = random_clip(rng, CLIP_SIZE, 6)
    if clip.action not in DIRECTIONS or len(clip.tracks) > 1 or not is_plain(clip):
        return None
    return [write_clip(clip, folder / "clip.mp4")], event_sentence(clip)


CARDS: tuple[tuple[str, str, Candidate], ...] = (
    ("A picture", "How many things are there?", counting_example),
    ("Two pictures", "Which picture has a star?", comparison_example),
    ("A clip", "What happens in this clip?", motion_example),
    ("A receipt", "What is the total?", receipt_example),
    ("A chart", "Which bar is the highest?", chart_example),
    ("A box", "Draw a box around the cat.", box_example),
)


def write_examples(folder: Path, engine: Engine) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for label, text, candidate in CARDS:
        for index in range(10_000):
            found = candidate(generator(index), folder)
            if found is None:
                continue
            files, truth = found
            answer = greedy_answer(engine, [folder / name for name in files], text)
            if answer == truth or answer_iou(answer, truth) >= MIN_IOU:
                records.append({"label": label, "text": text, "files": files, "answer": answer})
                break
    (folder / "examples.json").write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")


def greedy_answer(engine: Engine, files: list[Path], text: str) -> str:
    """The engine's greedy answer to a question about files."""
    parts = [Video(file) if file.suffix == ".mp4" else Image(file) for file in files]
    chunks = engine.stream([Message("user", [*parts, Text(text)])], GenerationOptions(max_new_tokens=64))
    return "".join(chunk.text for chunk in chunks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    with icons.using_sets("noto"):
        write_examples(parser.parse_args().folder, load_engine("nano"))


if __name__ == "__main__":
    main()
