"""Clips: what moves, appears or changes in the frames agrees with the action."""

from collections import Counter

import numpy as np

from qwen2vl_demo.nano.dialogue.clip_questions import event_sentence
from qwen2vl_demo.nano.world.clips import ACTIONS, draw_clip, random_clip
from qwen2vl_demo.nano.world.drawing import bounding_box
from qwen2vl_demo.nano.world.scene import (
    CELL_LABELS,
)


def test_things_in_clips_are_of_many_sizes_and_never_leave_the_frame() -> None:
    """From 26 px, hardly a merged token, to half of the frame's shorter side, which is twice the radius."""
    rng = np.random.default_rng(0)
    radii = []
    for clip in (random_clip(rng, (168, 196), 6) for _ in range(150)):
        for one in (one for track in clip.tracks for one in track if one is not None):
            x1, y1, x2, y2 = bounding_box(one)
            assert min(x1, y1) > -1 and x2 < clip.width + 1 and y2 < clip.height + 1
        if clip.action not in ("grows", "shrinks"):
            radii.append(clip.actor.radius)
    assert 13 <= min(radii) < 15 and 0.2 * 168 < max(radii) <= 0.25 * 168
    assert 0.2 < sum(radius > 18 for radius in radii) / len(radii) < 0.4


def test_clips_move_the_way_the_answer_says() -> None:
    """The centre of the pixels that differ between first and last frame's labels goes left, right, up or down."""
    rng = np.random.default_rng(0)
    seen = Counter[str]()
    for _ in range(120):
        clip = random_clip(rng, (112, 140), 6)
        frames, truth = draw_clip(clip, rng)
        cells = np.stack([pair.labels for pair in truth])
        assert frames.shape == (6, 112, 140, 3) and cells.shape == (3, 4, 5)
        seen[clip.action] += 1
        first, last = frames[0].astype(int), frames[-1].astype(int)
        changed = np.abs(first - last).sum(2) > 40
        if clip.action in ("still", "back", "blinks"):
            assert not changed.any()  # what went came back
            assert (frames != frames[0]).any() == (clip.action != "still")
            continue
        assert changed.any()
        label = CELL_LABELS.index(clip.actor.name)
        assert clip.action in ("appears", "appear in turn") or (cells[0] == label).any()
        if clip.action in ("left", "right", "up", "down"):
            start, end = (np.argwhere(cells[t] == label).mean(0) for t in (0, -1))
            axis = 1 if clip.action in ("left", "right") else 0
            assert (end[axis] > start[axis]) == (clip.action in ("right", "down"))
            assert clip.action in event_sentence(clip)
    assert set(seen) == set(ACTIONS)
