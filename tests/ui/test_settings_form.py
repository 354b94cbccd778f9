"""The settings as options, and which are refused."""

import pytest

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.answer_settings import FIELDS, read_choices

LIMITS = (4 * 784, 1280 * 784)
USUAL = {
    "system": "",
    "max_new_tokens": 512,
    "temperature": 0,
    "top_p": 1,
    "top_k": 0,
    "repetition_penalty": 1,
    "seed": None,
    "min_tokens": 4,
    "max_tokens": 1280,
    "fps": 2,
    "max_frames": 768,
    "add_vision_id": False,
}


def values(**changes: object) -> list[object]:
    return [{**USUAL, **changes}[name] for name in FIELDS]


def test_untouched_settings_are_the_defaults() -> None:
    assert read_choices(values(), GenerationOptions(), LIMITS).options == GenerationOptions()


def test_tokens_become_pixels() -> None:
    """100 tokens stand for 100 x 28 x 28 = 78,400 pixels."""
    media = read_choices(values(max_tokens=100, min_tokens=16), GenerationOptions(), LIMITS).options.media
    assert (media.min_pixels, media.max_pixels) == (12_544, 78_400)


def test_a_retry_is_warmer_and_has_another_seed() -> None:
    cold = read_choices(values(seed=7), GenerationOptions(), LIMITS)
    assert cold.seeded().options.seed == 7
    again = cold.for_retry().options
    assert again.temperature == 0.8 and again.seed not in (None, 7)
    assert read_choices(values(temperature=1.2), GenerationOptions(), LIMITS).for_retry().options.temperature == 1.2


def test_sampling_gets_a_seed_that_can_be_shown() -> None:
    assert read_choices(values(temperature=0.5), GenerationOptions(), LIMITS).seeded().options.seed is not None
    assert read_choices(values(), GenerationOptions(), LIMITS).seeded().options.seed is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 9),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_p", 0),
        ("top_k", 1.5),
        ("top_k", -1),
        ("repetition_penalty", 0),
        ("max_new_tokens", 0),
        ("seed", -1),
        ("seed", 2**70),
        ("min_tokens", 2000),
        ("fps", 0),
        ("max_frames", 1),
        ("system", "x" * 300_000),
        ("system", ["x"]),
    ],
)
def test_what_cannot_be_is_a_sentence(name: str, value: object) -> None:
    with pytest.raises(UserError):
        read_choices(values(**{name: value}), GenerationOptions(), LIMITS)
