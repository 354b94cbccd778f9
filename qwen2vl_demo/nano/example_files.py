"""Draw the example files of the first page: `python -m qwen2vl_demo.nano.example_files assets/examples`.

All come from held-out seeds, and print from held-out typefaces. Scenes are larger than nano's usual training pictures,
so that they do not look like thumbnails. Icons are Noto's (Apache License 2.0), so this needs the files that
`world/icons.py` and `world/fonts.py` write. Of the pictures that suit an example card, the first one that nano answers
rightly is taken, to the letter or with a box that fits: the examples show what the page does, and nano's accuracy is
stated in its model card. One of them is read at nano's full token budget and not at `COARSE_TOKENS`. `examples.json`
holds each card's label, question, files and answer; tests check the answers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import PIL.Image

from qwen2vl_demo.engine import load_engine
from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.geometry import FACTOR, Size
from qwen2vl_demo.nano.dialogue.clip_questions import event_sentence
from qwen2vl_demo.nano.dialogue.scene_questions import box_answer
from qwen2vl_demo.nano.dialogue.wording import join_list
from qwen2vl_demo.nano.evaluation.studies import answer_iou
from qwen2vl_demo.nano.training.validation import HELD_OUT_SEED
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.clips import DIRECTIONS, DrawnClip, draw_clip, random_clip
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.layout import random_scene
from qwen2vl_demo.nano.world.papers import random_paper
from qwen2vl_demo.nano.world.scene import Background, Scene, Thing
from qwen2vl_demo.nano.world.sheets import Paper, Parts
from qwen2vl_demo.nano.world.typesetting import draw_page
from qwen2vl_demo.processing.messages import Image, MediaOptions, Message, Text, Video

SIZE, SCALE = (168, 224), 2.5  # (height, width) of a scene as it is laid out, and how many times as large its file is
CLIP_SIZE, CLIP_SCALE = (140, 168), 2
RECEIPT_SIZE, SCREEN_SIZE = (784, 560), (420, 560)  # a chart has the size of a screen
COARSE_TOKENS = 64
SMALL_PRINT = range(13, 19)  # px
TRIES = 10_000  # for each card
MIN_IOU = 0.75  # of the true box and nano's, to count as right
CLIP_FPS, CLIP_SECONDS = 12, 3  # at two sampled frames a second nano sees six of them


def generator(index: int) -> np.random.Generator:
    return np.random.default_rng([HELD_OUT_SEED, 1, index])


def enlarge_thing(thing: Thing, scale: float) -> Thing:
    """The same thing on a larger canvas; an icon gets its original colours."""
    return replace(thing, x=thing.x * scale, y=thing.y * scale, radius=thing.radius * scale, tint=())


def enlarge(scene: Scene) -> Scene:
    """The same scene, which has no signs, on a larger canvas."""
    return replace(
        scene,
        height=round(scene.height * SCALE),
        width=round(scene.width * SCALE),
        things=tuple(enlarge_thing(thing, SCALE) for thing in scene.things),
    )


def write_picture(drawn: Scene | Paper, path: Path) -> str:
    if isinstance(drawn, Paper):
        pixels, _ = draw_page(drawn.page, generator(0))
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
        height=clip.height * CLIP_SCALE,
        width=clip.width * CLIP_SCALE,
        tracks=tuple(tuple(t and enlarge_thing(t, CLIP_SCALE) for t in track) for track in longer.tracks),
    )
    frames, _ = draw_clip(large, generator(0))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = large.height, large.width, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path.name


def is_plain(background: Background) -> bool:
    """Whether it is light and has no noise, which would make large files."""
    return not background.dark and not background.noise and min(background.first) > 190


def is_tidy(paper: Paper) -> bool:
    """Whether a paper is plain, straight and sharp, and its print fills most of the picture."""
    page = paper.page
    left, right = min(run.x for run in page.runs), max(run.x + run.width for run in page.runs)
    top, bottom = min(run.y - run.size for run in page.runs), max(run.y for run in page.runs)
    fills = right - left > 0.6 * page.width * page.zoom and bottom - top > 0.6 * page.height * page.zoom
    return fills and is_plain(page.background) and not (page.angle or page.blur or page.jpeg)


def shapes_of(scene: Scene) -> set[str]:
    return {thing.shape for thing in scene.things}


Files = list[str]
# Writes the files of a random scene, and returns their names and the right answer; None if the scene does not suit.
Candidate = Callable[[np.random.Generator, Path], tuple[Files, str] | None]


def comparison_example(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
    first, second = random_scene(rng, SIZE, max_things=3), random_scene(rng, SIZE, max_things=3)
    plain = is_plain(first.background) and is_plain(second.background)
    if not plain or first.jpeg or second.jpeg or "star" in shapes_of(first) or "star" not in shapes_of(second):
        return None
    files = [write_picture(first, folder / "first.png"), write_picture(second, folder / "second.png")]
    return files, "The second picture has a star."


def box_example(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
    scene = random_scene(rng, SIZE)
    cats = [thing for thing in scene.things if thing.shape == "cat"]
    if len(cats) != 1 or not 3 <= len(scene.things) <= 6 or scene.jpeg or not is_plain(scene.background):
        return None
    return [write_picture(scene, folder / "cat.png")], box_answer(scene, cats[0], "cat")


def paper_example(kind: str, size: Size, answer_of: Callable[[Paper], str | None]) -> Candidate:
    """The candidate for a tidy paper of a kind (see `papers.KINDS`); `answer_of` is None for one that does not suit."""

    def candidate(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
        paper = random_paper(rng, size, "held_out", kind)
        answer = answer_of(paper) if is_tidy(paper) else None
        return ([write_picture(paper, folder / f"{kind}.png")], answer) if answer else None

    return candidate


def receipt_answer(paper: Paper) -> str | None:
    """The total of one in small print."""
    total = next((pair.value.text for pair in paper.parts.pairs if pair.said == "total"), None)
    sizes = {round(run.size / paper.page.zoom) for run in paper.page.runs}
    small = min(sizes) in SMALL_PRINT
    return f"The total is {total}." if total and small and len(paper.parts.items) >= 5 else None


def screen_answer(paper: Paper) -> str | None:
    parts: Parts = paper.parts
    buttons = [f'"{run.text}"' for run in parts.buttons]
    return f"The buttons are {join_list(buttons)}." if len(buttons) > 1 and len(parts.pairs) > 1 else None


def chart_answer(paper: Paper) -> str | None:
    bars = sorted(paper.parts.bars, key=lambda bar: bar.value, reverse=True)
    if len(bars) < 4 or bars[0].value < 1.1 * bars[1].value or not paper.parts.title:
        return None
    return f"{bars[0].label.text} is the highest."


def motion_example(rng: np.random.Generator, folder: Path) -> tuple[Files, str] | None:
    clip = random_clip(rng, CLIP_SIZE, 6)
    if clip.action not in DIRECTIONS or len(clip.tracks) > 1 or not is_plain(clip.background):
        return None
    return [write_clip(clip, folder / "clip.mp4")], event_sentence(clip)


@dataclass(frozen=True)
class Card:
    label: str
    text: str
    candidate: Candidate
    fine: bool = False  # it cannot be answered with `COARSE_TOKENS`


CARDS = (
    Card("A receipt", "What is the total?", paper_example("receipt", RECEIPT_SIZE, receipt_answer), fine=True),
    Card("A screen", "Which buttons are there?", paper_example("screen", SCREEN_SIZE, screen_answer)),
    Card("A chart", "Which bar is the highest?", paper_example("chart", SCREEN_SIZE, chart_answer)),
    Card("A picture", "Draw a box around the cat.", box_example),
    Card("Two pictures", "Which picture has a star?", comparison_example),
    Card("A clip", "What happens in this clip?", motion_example),
)


def write_examples(folder: Path, engine: Engine) -> None:
    """Writes the files of all cards and `examples.json`; a card for which nothing suits is left out, and named."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [record for card in CARDS if (record := write_example(card, folder, engine))]
    (folder / "examples.json").write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")


def write_example(card: Card, folder: Path, engine: Engine) -> dict[str, object] | None:
    """Writes the files of the first candidate that is answered rightly; the card's record.

    That of a fine card has "coarse_answer" too, the wrong one that `COARSE_TOKENS` give.
    """
    for index in range(TRIES):
        found = card.candidate(generator(index), folder)
        if found is None:
            continue
        names, truth = found
        files = [folder / name for name in names]
        answer = greedy_answer(engine, files, card.text)
        if answer != truth and answer_iou(answer, truth) < MIN_IOU:
            continue
        record: dict[str, object] = {"label": card.label, "text": card.text, "files": names, "answer": answer}
        if card.fine:
            coarse = greedy_answer(engine, files, card.text, MediaOptions(max_pixels=COARSE_TOKENS * FACTOR**2))
            if coarse == truth:
                continue
            record["coarse_answer"] = coarse
        return record
    print(f"nothing suits the card {card.label!r}")
    return None


def greedy_answer(engine: Engine, files: list[Path], text: str, media: MediaOptions | None = None) -> str:
    """The engine's greedy answer to a question about files."""
    parts = [Video(file) if file.suffix == ".mp4" else Image(file) for file in files]
    options = GenerationOptions(max_new_tokens=64, media=media or MediaOptions())
    return "".join(chunk.text for chunk in engine.stream([Message("user", [*parts, Text(text)])], options))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    with icons.using_sets("noto"):
        write_examples(parser.parse_args().folder, load_engine("nano"))


if __name__ == "__main__":
    main()
