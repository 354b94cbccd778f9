"""Short clips of nano's world: one thing that does something, and sometimes a second one that stays still.

Contract: a `Clip` is the whole truth about T frames (T even); `draw_clip` gives (T, H, W, 3) uint8 frames and one label
for every merged token, (T/2, H/28, W/28), because a merged token covers two frames. Questions live in questions.py.
"""

from dataclasses import dataclass, replace

import numpy as np

from qwen2vl_demo.nano.draw import cell_share, draw_background, draw_thing, label_cells
from qwen2vl_demo.nano.scene import CELL, COLOURS, SHAPES, Background, Thing, choose, random_background, random_rgb

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
ACTIONS = (*DIRECTIONS, "appears", "disappears", "turns", "grows", "shrinks", "still")


@dataclass(frozen=True)
class Clip:
    """`tracks[i][t]` is thing i at frame t, or None while it is not there; the first track is the one that acts."""

    height: int
    width: int
    frames: int
    background: Background
    action: str
    tracks: tuple[tuple[Thing | None, ...], ...]

    @property
    def actor(self) -> Thing:
        """The acting thing as it is when it is first seen."""
        return next(thing for thing in self.tracks[0] if thing is not None)

    @property
    def last(self) -> Thing:
        """The acting thing as it is when it is last seen."""
        return next(thing for thing in reversed(self.tracks[0]) if thing is not None)

    @property
    def bystander(self) -> Thing | None:
        return self.tracks[1][0] if len(self.tracks) > 1 else None


def random_clip(rng: np.random.Generator, size: tuple[int, int], frames: int) -> Clip:
    """A clip of the given size and even number of frames, every action equally likely but moving, which gets half."""
    height, width = size
    background = random_background(rng, dark_share=0.05)
    colours = [c for c in COLOURS if not (background.dark and c == "black")]
    action = choose(rng, tuple(DIRECTIONS)) if rng.random() < 0.5 else choose(rng, ACTIONS[4:])
    shape, colour = choose(rng, SHAPES), choose(rng, colours)
    radius = float(rng.uniform(13, 18))
    steps = np.linspace(0, 1, frames)
    if action in DIRECTIONS:
        dx, dy = DIRECTIONS[action]
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
    track: list[Thing | None] = [Thing(shape, colour, rgb, x, y, radius) for x, y in centres]
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
    tracks = [tuple(track)]
    # Where nothing happens a second thing would leave open which of the two is meant.
    if action != "still" and rng.random() < 0.4:
        still = _bystander(rng, height, width, colours, [t for t in track if t is not None])
        if still is not None:
            tracks.append((still,) * frames)
    return Clip(height, width, frames, background, action, tuple(tracks))


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


def draw_clip(clip: Clip, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The frames and their cell labels; the generator only makes the background's noise, the same in every frame."""
    backdrop = draw_background(clip.background, clip.height, clip.width, rng)
    grid = (clip.height // CELL, clip.width // CELL)
    frames, labels, shares = [], [], []
    for index in range(clip.frames):
        image = backdrop.copy()
        for track in clip.tracks:
            thing = track[index]
            if thing is not None:
                shares.append((thing.label, cell_share(draw_thing(image, thing))))
        frames.append(np.array(image))
        if index % 2:
            labels.append(label_cells(shares, grid))
            shares = []
    return np.stack(frames), np.stack(labels)
