"""Random layouts: things stay inside the picture and overlap little."""

import numpy as np

from qwen2vl_demo.nano.world.drawing import bounding_box
from tests.nano.scenes import random_scenes


def test_things_stay_inside_and_rarely_overlap_and_only_a_little() -> None:
    touching, all_of_them = 0, random_scenes(120)
    for scene in all_of_them:
        assert 1 <= len(scene.things) <= 9
        for i, one in enumerate(scene.things):
            x1, y1, x2, y2 = one.half_extents()
            assert one.x + x1 >= 0 and one.y + y1 >= 0 and one.x + x2 <= scene.width and one.y + y2 <= scene.height
            assert min(x2 - x1, y2 - y1) >= 17 and max(x2 - x1, y2 - y1) >= 22
            for other in scene.things[:i]:
                apart = np.hypot(one.x - other.x, one.y - other.y) / (one.radius + other.radius)
                assert apart > 0.75
                touching += apart < 1
    assert 0 < touching < 0.2 * len(all_of_them)


def test_things_may_fill_a_picture_and_never_leave_it() -> None:
    shares = []
    for scene in random_scenes(300):
        for one in scene.things:
            x1, y1, x2, y2 = bounding_box(one)
            assert min(x1, y1) > -1 and x2 < scene.width + 1 and y2 < scene.height + 1
            shares.append(max(x2 - x1, y2 - y1) / min(scene.height, scene.width))
    assert max(shares) > 0.9 and min(shares) < 0.15
