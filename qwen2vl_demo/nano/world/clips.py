"""Short clips of nano's world: one thing that does something, sometimes two, or a second one that stays still.

Contract: a `Clip` is the whole truth about T frames (T even); `draw_clip` gives (T, H, W, 3) uint8 frames and the
truth of the merged tokens, one `Cells` for two frames, because a merged token covers two. Questions live in
clip_questions.py.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.drawing import Cells, Mark, box_of, cell_share, draw_background, draw_thing, label_cells
from qwen2vl_demo.nano.world.icon_variants import as_icon
from qwen2vl_demo.nano.world.layout import random_background
from qwen2vl_demo.nano.world.scene import CELL, COLOURS, SHAPES, Background, Thing, choose, random_rgb

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
ACTIONS = (
    *DIRECTIONS,
    *("appears", "disappears", "turns", "grows", "shrinks", "still"),
    *("back", "blinks", "appear in turn", "disappear in turn"),
)
LONG = ACTIONS[10:]  # what takes three pairs of frames at least
LARGE = 0.3  # share of the clips whose thing may be as large as a quarter of the frame
MOMENTS = ("near the start", "in the middle", "near the end")


@dataclass(frozen=True)
class Clip:
    """`tracks[i][t]` is thing i at frame t, or None while it is not there; the first track is the one that acts."""

    height: int
    width: int
    frames: int
    background: Background
    action: str
    tracks: tuple[tuple[Thing | None, ...], ...]
    way: str = ""  # the direction of a thing that moves there and back

    @property
    def actor(self) -> Thing:
        """The acting thing as it is when it is first seen."""
        return next(thing for thing in self.tracks[0] if thing is not None)

    @property
    def last(self) -> Thing:
        """The acting thing as it is when it is last seen."""
        return next(thing for thing in reversed(self.tracks[0]) if thing is not None)

    @property
    def second(self) -> Thing | None:
        """The other thing, which acts after the first one or stays still."""
        return next((t for t in self.tracks[1] if t is not None), None) if len(self.tracks) > 1 else None

    @property
    def bystander(self) -> Thing | None:
        return None if self.action.endswith("in turn") else self.second

    @property
    def moment(self) -> str:
        """When the acting thing comes, goes or turns."""
        seen = [thing is not None and thing.name for thing in self.tracks[0]]
        change = next(i for i in range(1, self.frames) if seen[i] != seen[0]) / self.frames
        return MOMENTS[0 if change < 0.4 else 1 if change < 0.6 else 2]

    @property
    def blinks(self) -> int:
        """How often the acting thing goes and comes back."""
        return sum(a is not None and b is None for a, b in itertools.pairwise(self.tracks[0]))


def random_clip(rng: np.random.Generator, size: tuple[int, int], frames: int) -> Clip:
    """A clip of the given size and even number of frames, every action equally likely but moving, which gets 0.4."""
    height, width = size
    background = random_background(rng, dark_share=0.05, cloudy_share=0.0)
    colours = [c for c in COLOURS if not (background.dark and c == "black")]
    others = ACTIONS[4:] if frames >= 6 else ACTIONS[4 : -len(LONG)]
    action = choose(rng, tuple(DIRECTIONS)) if rng.random() < 0.4 else choose(rng, others)
    way = choose(rng, tuple(DIRECTIONS)) if action == "back" else action
    shape, colour = choose(rng, SHAPES), choose(rng, colours)
    if icons.nouns() and action != "turns" and rng.random() < 0.4:
        shape, colour = choose(rng, icons.nouns()), ""
    large = rng.random() < LARGE
    radius = float(rng.uniform(18, max(20, 0.25 * min(height, width))) if large else rng.uniform(13, 18))
    steps = np.linspace(0, 1, frames)
    if way in DIRECTIONS:
        dx, dy = DIRECTIONS[way]
        if action == "back":
            steps = 1 - np.abs(2 * steps - 1)
        reach = radius * 1.1 + 1
        room = (width if dx else height) - 2 * reach
        travel = float(rng.uniform(0.6, 1.0)) * room
        start = (room - travel) * float(rng.random())
        across = float(rng.uniform(reach, (height if dx else width) - reach))
        line = reach + start + travel * (steps if dx + dy > 0 else 1 - steps)
        centres = [(float(p), across) if dx else (across, float(p)) for p in line]
    else:
        if action in ("grows", "shrinks"):
            radius = float(rng.uniform(24, min(34, 0.36 * min(height, width))))
        reach = radius * 1.1 + 1
        centres = [(float(rng.uniform(reach, width - reach)), float(rng.uniform(reach, height - reach)))] * frames
    rgb = random_rgb(rng, colour)
    made = Thing(shape, colour, rgb, 0, 0, radius)
    if not colour:
        made = as_icon(rng, made)
    track: list[Thing | None] = [replace(made, x=x, y=y) for x, y in centres]
    # A change falls between two merged tokens' frames, and neither on the first nor on the last pair.
    turn = 2 * int(rng.integers(1, frames // 2))
    first = track[0]
    assert first is not None
    if action == "appears":
        track[:turn] = [None] * turn
    elif action == "disappears":
        track[turn:] = [None] * (frames - turn)
    elif action == "turns":
        other = choose(rng, [c for c in colours if c != colour])
        track[turn:] = [replace(first, colour=other, rgb=random_rgb(rng, other))] * (frames - turn)
    elif action in ("grows", "shrinks"):
        scales = 0.45 + 0.55 * (steps if action == "grows" else 1 - steps)
        track = [replace(first, radius=radius * float(s)) for s in scales]
    elif action == "blinks":
        times = int(rng.integers(1, (frames // 2 - 1) // 2 + 1))
        for pair in range(1, 2 * times, 2):
            track[2 * pair : 2 * pair + 2] = [None, None]
    tracks = [tuple(track)]
    if action.endswith("in turn"):
        other_thing = _bystander(rng, height, width, colours, [first])
        if other_thing is None:
            return random_clip(rng, size, frames)
        early, late = sorted(2 * int(i) for i in rng.choice(np.arange(1, frames // 2), 2, replace=False))
        comes = action.startswith("appear")
        for thing, at in ((first, early), (other_thing, late)):
            here, gone = [thing] * (frames - at if comes else at), [None] * (at if comes else frames - at)
            tracks.append(tuple([*gone, *here] if comes else [*here, *gone]))
        return Clip(height, width, frames, background, action, tuple(tracks[1:]))
    # Where nothing happens a second thing would leave open which of the two is meant.
    if action != "still" and rng.random() < 0.35:
        still = _bystander(rng, height, width, colours, [t for t in track if t is not None])
        if still is not None:
            tracks.append((still,) * frames)
    return Clip(height, width, frames, background, action, tuple(tracks), way if action == "back" else "")


def _bystander(
    rng: np.random.Generator, height: int, width: int, colours: list[str], actor: list[Thing]
) -> Thing | None:
    """A thing of another shape and colour that the actor never touches, or None where there is no room."""
    used = {thing.colour for thing in actor}
    shape = choose(rng, [s for s in SHAPES if s != actor[0].shape])
    colour = choose(rng, [c for c in colours if c not in used])
    for _ in range(20):
        radius = float(rng.uniform(13, 17))
        reach = radius * 1.1 + 1
        x, y = float(rng.uniform(reach, width - reach)), float(rng.uniform(reach, height - reach))
        if all(np.hypot(x - t.x, y - t.y) > (radius + t.radius) * 1.1 + 2 for t in actor):
            return Thing(shape, colour, random_rgb(rng, colour), x, y, radius)
    return None


def draw_clip(clip: Clip, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Cells, ...]]:
    """The frames and the truth of their cells; the generator only makes the noise, the same in every frame."""
    backdrop = draw_background(clip.background, clip.height, clip.width, rng)
    grid = (clip.height // CELL, clip.width // CELL)
    frames: list[np.ndarray] = []
    cells: list[Cells] = []
    marks: list[Mark] = []
    for index in range(clip.frames):
        image = backdrop.copy()
        for track in clip.tracks:
            thing = track[index]
            if thing is not None:
                marks.append(Mark(thing.label, cell_share(draw_thing(image, thing)), box_of(thing)))
        frames.append(np.array(image))
        if index % 2:
            cells.append(label_cells(marks, grid))
            marks = []
    return np.stack(frames), tuple(cells)
