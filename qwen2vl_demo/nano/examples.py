"""Draws the examples of the first page into a folder: `python -m qwen2vl_demo.nano.examples assets/examples`.

The scenes come from seeds that training never uses, four times as large as nano's own pictures, so that they look
like pictures and not like thumbnails; nano sees them resized, as it sees a visitor's. `examples.json` holds the
card, the question, the files and the true answer, which the tests hold nano to.
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

from qwen2vl_demo.nano.clip_questions import happening
from qwen2vl_demo.nano.clips import Clip, draw_clip, random_clip
from qwen2vl_demo.nano.draw import draw_scene, random_text_scene, text_box
from qwen2vl_demo.nano.evaluate import HELD_OUT_SEED
from qwen2vl_demo.nano.scene import Scene, Sign, Thing, random_scene
from qwen2vl_demo.nano.words import count_sentence

SCALE = 4  # a drawn picture's side against that of the picture that nano sees
SIZE = (168, 224)  # (height, width) that nano sees: 6x8 merged tokens
CLIP_SIZE = (140, 168)
CLIP_FPS, CLIP_SECONDS = 12, 3  # at two sampled frames a second nano sees six of them


def generator(index: int) -> np.random.Generator:
    return np.random.default_rng([HELD_OUT_SEED, 1, index])


def first_scene(make: Callable[[np.random.Generator], Scene], wanted: Callable[[Scene], bool]) -> Scene:
    """The first held-out scene of the kind that a card is about: no picking by how well nano does."""
    return next(scene for i in range(10_000) if wanted(scene := make(generator(i))))


def enlarge_thing(thing: Thing, scale: float) -> Thing:
    return replace(thing, x=thing.x * scale, y=thing.y * scale, radius=thing.radius * scale)


def enlarge_sign(sign: Sign, scale: int) -> Sign:
    size = sign.size * scale
    x1, y1, x2, y2 = text_box(sign.font, size, sign.text)
    left, top = sign.box[0] * scale, sign.box[1] * scale
    return replace(sign, size=size, box=(left, top, left + x2 - x1, top + y2 - y1))


def enlarge(scene: Scene, scale: int = SCALE) -> Scene:
    """The same scene on a larger canvas."""
    return replace(
        scene,
        height=scene.height * scale,
        width=scene.width * scale,
        things=tuple(enlarge_thing(thing, scale) for thing in scene.things),
        signs=tuple(enlarge_sign(sign, scale) for sign in scene.signs),
    )


def write_picture(scene: Scene, path: Path) -> str:
    pixels, _ = draw_scene(enlarge(scene), generator(0))
    PIL.Image.fromarray(pixels).save(path, "PNG", optimize=True)
    return path.name


def smooth(clip: Clip, frames: int) -> Clip:
    """The same clip with more frames in between: things glide, and what appears appears at its time."""
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


def write_clip(clip: Clip, path: Path) -> str:
    """An H.264 file of the clip, enlarged."""
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


def plain(item: Scene | Clip) -> bool:
    """Light, and without noise, which would make large files."""
    return not item.background.dark and not item.background.noise


def shapes_of(scene: Scene) -> set[str]:
    return {thing.shape for thing in scene.things}


def write_examples(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    several = first_scene(
        lambda rng: random_scene(rng, SIZE),
        lambda s: plain(s) and len(s.things) == len(shapes_of(s)) == len({t.colour for t in s.things}) == 4,
    )
    first = first_scene(
        lambda rng: random_scene(rng, SIZE, most=3),
        lambda s: plain(s) and len(s.things) == 2 and "star" not in shapes_of(s),
    )
    star = first_scene(
        lambda rng: random_scene(rng, SIZE, most=3),
        lambda s: plain(s) and len(s.things) == 2 and "star" in shapes_of(s) and not shapes_of(s) & shapes_of(first),
    )
    sign = first_scene(
        lambda rng: random_text_scene(rng, SIZE),
        lambda s: (
            plain(s)
            and len(s.signs) == 1
            and not s.things
            and s.signs[0].text == "OPEN"
            and s.signs[0].plate is not None
        ),
    )
    clip = next(
        c
        for i in range(10_000)
        if (c := random_clip(generator(i), CLIP_SIZE, 6)).action == "right" and len(c.tracks) == 1 and plain(c)
    )
    files = {
        "picture": write_picture(several, folder / "shapes.png"),
        "first": write_picture(first, folder / "first.png"),
        "second": write_picture(star, folder / "second.png"),
        "sign": write_picture(sign, folder / "sign.png"),
        "clip": write_clip(clip, folder / "clip.mp4"),
    }
    cards = [
        ("A picture", "How many shapes are there?", ["picture"], count_sentence(len(several.things), "shape")),
        ("Two pictures", "Which picture has a star?", ["first", "second"], "The second picture has a star."),
        ("A clip", "What happens in this clip?", ["clip"], happening(clip)),
        ("Text in a picture", "What does the sign say?", ["sign"], f'It says "{sign.signs[0].text}".'),
    ]
    records = [
        {"label": label, "text": text, "files": [files[name] for name in names], "answer": answer}
        for label, text, names, answer in cards
    ]
    (folder / "examples.json").write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write_examples(parser.parse_args().folder)


if __name__ == "__main__":
    main()
