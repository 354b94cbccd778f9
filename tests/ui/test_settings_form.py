"""The settings as options, and which are refused."""

import json

import pytest

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.media import FIRST_PAGES, PageChoice
from qwen2vl_demo.ui.settings_form import AnswerSettings, SettingsForm

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


def read(**changes: object) -> AnswerSettings:
    return SettingsForm(GenerationOptions(), LIMITS).read({**USUAL, **changes})


def test_untouched_settings_are_the_defaults() -> None:
    assert read().options == GenerationOptions()


def test_tokens_become_pixels() -> None:
    """100 tokens stand for 100 x 28 x 28 = 78,400 pixels."""
    media = read(max_tokens=100, min_tokens=16).options.media
    assert (media.min_pixels, media.max_pixels) == (12_544, 78_400)


def test_pages_are_chosen_as_they_are_typed() -> None:
    assert read().pages == read(pages=" ").pages == FIRST_PAGES
    assert read(pages="1-3, 7").pages == PageChoice(((1, 3), (7, 7)))


def test_a_retry_is_warmer_and_has_another_seed() -> None:
    cold = read(seed=7)
    assert cold.seeded().options.seed == 7
    again = cold.for_retry().options
    assert again.temperature == 0.8 and again.seed not in (None, 7)
    assert read(temperature=1.2).for_retry().options.temperature == 1.2


def test_sampling_gets_a_seed_that_can_be_shown() -> None:
    assert read(temperature=0.5).seeded().options.seed is not None
    assert read().seeded().options.seed is None


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
        ("pages", "three"),
        ("pages", "0"),
        ("pages", 7),
    ],
)
def test_what_cannot_be_is_a_sentence(name: str, value: object) -> None:
    with pytest.raises(UserError):
        read(**{name: value})


def test_settings_that_a_browser_kept_come_back() -> None:
    """Those that are sent with the next question; a limit may only fit once the other one has changed."""
    form = SettingsForm(GenerationOptions(), LIMITS)
    kept = {"temperature": 0.5, "max_tokens": 3, "min_tokens": 2, "system": "Be brief.", "seed": 7}
    shown = form.restored(json.dumps({**kept, "pages": "7"}))  # of another document
    assert shown == {**form.shown_at_first(), **kept}
    assert form.read(shown).options.temperature == 0.5
    assert form.read(form.shown_at_first()) == form.read({})


NO_SETTINGS = (
    *("", "no JSON", "[" * 100_000, "[1]", '"x"', "{}", '{"nothing": 1}', '{"system": 3}', '{"pages": "x"}'),
    *('{"temperature": 99}', '{"temperature": "hot"}', '{"temperature": NaN}', '{"temperature": true}'),
    *('{"seed": {}}', '{"max_frames": 2.5}', '{"max_frames": 1e999}'),
)


@pytest.mark.parametrize("kept", NO_SETTINGS)
def test_what_is_no_setting_is_as_if_it_had_not_been_kept(kept: str) -> None:
    form = SettingsForm(GenerationOptions(), LIMITS)
    assert form.restored(kept) == form.shown_at_first()
