"""Out-of-domain pictures and clips, and their main colours."""

import numpy as np

from qwen2vl_demo.nano.world.out_of_domain import main_colour, random_out_of_domain, random_out_of_domain_clip


def test_out_of_domain_pictures_have_a_main_colour_only_if_it_is_clear() -> None:
    flat = np.full((84, 84, 3), (30, 120, 220), np.uint8)
    assert main_colour(flat) == ("blue", 1)
    flat[:56] = (240, 240, 240)  # 14 of the 21 rows that are sampled
    assert main_colour(flat) == ("white", 14 / 21)
    rng = np.random.default_rng(0)
    named = []
    for _ in range(120):
        pixels, colour = random_out_of_domain(rng, 112, 112)
        word, share = main_colour(pixels)
        assert colour == (word if share >= 0.65 else None)
        assert colour or share <= 0.45
        named.append(colour)
    assert 0.4 < sum(n is not None for n in named) / len(named) < 0.95
    assert len(set(named)) >= 9


def test_out_of_domain_clips_pan_over_one_picture() -> None:
    """Neighbouring frames are the same picture, some pixels further: they agree where they overlap."""
    rng = np.random.default_rng(1)
    moved = 0
    for _ in range(12):
        clip, colour = random_out_of_domain_clip(rng, 6, 84, 112)
        assert clip.shape == (6, 84, 112, 3) and clip.dtype == np.uint8
        assert colour in (None, main_colour(clip.reshape(-1, 112, 3))[0])
        first, second = clip[0].astype(int), clip[1].astype(int)
        found = [
            (down, right)
            for down in range(-10, 11)
            for right in range(-12, 13)
            if (
                first[max(0, down) : 84 + min(0, down), max(0, right) : 112 + min(0, right)]
                == second[max(0, -down) : 84 + min(0, -down), max(0, -right) : 112 + min(0, -right)]
            ).all()
        ]
        assert found
        moved += (0, 0) not in found
    assert moved > 6
