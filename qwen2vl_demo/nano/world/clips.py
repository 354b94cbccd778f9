"""Short random clips: one thing that acts, sometimes two, or a second one that stays still.

A `DrawnClip` is the complete ground truth of T frames (T even). `draw_clip` draws them and gives one `CellTruth` per
pair of frames, because a merged token covers two frames.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np

from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.drawing import (
    CellTruth,
    Region,
    bounding_box,
    cell_coverage,
    draw_background,
    draw_thing,
    label_cells,
)
from qwen2vl_demo.nano.world.icon_variants import as_icon
from qwen2vl_demo.nano.world.layout import random_background
from qwen2vl_demo.nano.world.scene import COLOURS, SHAPES, Background, Thing, choose, random_rgb

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
ACTIONS = (
    *DIRECTIONS,
    *("appears", "disappears", "turns", "grows", "shrinks", "still"),
    *("back", "blinks", "appear in turn", "disappear in turn"),
)
LONG_ACTIONS = ACTIONS[10:]  # these need at least three pairs of frames
LARGE_SHARE = 0.3  # share of the clips in which the radius may be up to a quarter of the frame's side
MOMENTS = ("near the start", "in the middle", "near the end")


@dataclass(frozen=True)
class DrawnClip:
    """`tracks[i][t]` is thing i in frame t, or None while it is absent; the first track is that of the acting thing."""

    height: int
    width: int
    frames: int
    background: Background
    action: str
    tracks: tuple[tuple[Thing | None, ...], ...]
    direction: str = ""  # in which the acting thing moves first, for the action "back"

    @property
    def actor(self) -> Thing:
        """The acting thing when it is first seen."""
        return next(thing for thing in self.tracks[0] if thing is not None)

    @property
    def last(self) -> Thing:
        """The acting thing when it is last seen."""
        return next(thing for thing in reversed(self.tracks[0]) if thing is not None)

    @property
    def second(self) -> Thing | None:
        """The other thing, which acts after the first one or stays still."""
        return next((t for t in self.tracks[1] if t is not None), None) if len(self.tracks) > 1 else None

    @property
    def bystander(self) -> Thing | None:
        """The second thing if it stays still."""
        return None if self.action.endswith("in turn") else self.second

    @property
    def moment(self) -> str:
        """When the acting thing appears, disappears or changes its colour, one of `MOMENTS`."""
        seen = [thing is not None and thing.name for thing in self.tracks[0]]
        change = next(i for i in range(1, self.frames) if seen[i] != seen[0]) / self.frames
        return MOMENTS[0 if change < 0.4 else 1 if change < 0.6 else 2]

    @property
    def blinks(self) -> int:
        """How often the acting thing disappears."""
        return sum(a is not None and b is None for a, b in itertools.pairwise(self.tracks[0]))


def random_clip(rng: np.random.Generator, size: tuple[int, int], frames: int) -> DrawnClip:
    """A clip of a given size and even number of frames. 40 % move one way; the other actions are equally likely."""
    height, width = size
    background = random_background(rng, dark_share=0.05, cloudy_share=0.0)
    colours = [c for c in COLOURS if not (background.dark and c == "black")]
    others = ACTIONS[4:] if frames >= 6 else ACTIONS[4 : -len(LONG_ACTIONS)]
    action = choose(rng, tuple(DIRECTIONS)) if rng.random() < 0.4 else choose(rng, others)
    direction = choose(rng, tuple(DIRECTIONS)) if action == "back" else action
    shape, colour = choose(rng, SHAPES), choose(rng, colours)
    if icons.nouns() and action != "turns" and rng.random() < 0.4:
        shape, colour = choose(rng, icons.nouns()), ""
    large = rng.random() < LARGE_SHARE
    radius = float(rng.uniform(18, max(20, 0.25 * min(height, width))) if large else rng.uniform(13, 18))
    steps = np.linspace(0, 1, frames)
    if direction in DIRECTIONS:
        dx, dy = DIRECTIONS[direction]
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
    # A change falls between two pairs of frames (merged tokens), never within one.
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
        return DrawnClip(height, width, frames, background, action, tuple(tracks[1:]))
    # If nothing happens, a second thing would make it ambiguous which of the two is meant.
    if action != "still" and rng.random() < 0.35:
        still = _bystander(rng, height, width, colours, [t for t in track if t is not None])
        if still is not None:
            tracks.append((still,) * frames)
    return DrawnClip(height, width, frames, background, action, tuple(tracks), direction if action == "back" else "")


def _bystander(
    rng: np.random.Generator, height: int, width: int, colours: list[str], actor: list[Thing]
) -> Thing | None:
    """A thing of another shape and colour that the acting one never touches, or None if there is no room."""
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


def draw_clip(clip: DrawnClip, rng: np.random.Generator) -> tuple[np.ndarray, tuple[CellTruth, ...]]:
    """The frames (T, H, W, 3) uint8, and the ground truth of each pair of frames.

    The generator only provides the noise, which is the same in every frame.
    """
    background = draw_background(clip.background, clip.height, clip.width, rng)
    grid = (clip.height // FACTOR, clip.width // FACTOR)
    frames: list[np.ndarray] = []
    cells: list[CellTruth] = []
    regions: list[Region] = []
    for index in range(clip.frames):
        image = background.copy()
        for track in clip.tracks:
            thing = track[index]
            if thing is not None:
                regions.append(Region(thing.label, cell_coverage(draw_thing(image, thing)), bounding_box(thing)))
        frames.append(np.array(image))
        if index % 2:
            cells.append(label_cells(regions, grid))
            regions = []
    return np.stack(frames), tuple(cells)
