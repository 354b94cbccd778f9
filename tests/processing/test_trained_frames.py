"""A checkpoint that was trained for few frames gets no more of a clip unless asked to, and what that means is said."""

from pathlib import Path
from typing import Any

import pytest

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.nano.checkpoint import MAX_FRAMES, PREPROCESSOR
from qwen2vl_demo.nano.training.stream import random_frames
from qwen2vl_demo.processing.image import ImageConfig
from qwen2vl_demo.processing.messages import MediaOptions, Message, Video
from qwen2vl_demo.processing.processor import Processor
from qwen2vl_demo.resources import NANO
from qwen2vl_demo.trace import MediaTrace
from qwen2vl_demo.ui.settings_form import SettingsForm
from tests.ui.conftest import clip


@pytest.fixture(scope="module")
def nano() -> Processor:
    return Processor.from_directory(NANO)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 seconds, of which 2 frames a second are 20."""
    return clip(tmp_path_factory.mktemp("clips") / "long.mp4", 100)


def seen(processor: Processor, path: Path, **options: Any) -> MediaTrace:
    (medium,) = processor.process([Message("user", [Video(path)])], MediaOptions(**options)).trace.media
    return medium


def test_a_long_clip_gets_as_many_frames_as_the_model_was_trained_for(nano: Processor, long_clip: Path) -> None:
    """It got 20, and nano, which saw 12 at most, babbled."""
    medium = seen(nano, long_clip)
    assert len(medium.frame_indices) == 12
    assert medium.notices == ("12 frames are taken of it, as many as this model was trained for.",)


def test_more_can_be_asked_for_and_is_warned_of(nano: Processor, long_clip: Path) -> None:
    medium = seen(nano, long_clip, max_frames=768)
    assert len(medium.frame_indices) == 20
    assert medium.notices == ("These are 20 frames, and this model was trained for at most 12; it may babble.",)


def test_a_clip_that_fits_is_no_news(nano: Processor, long_clip: Path) -> None:
    assert seen(nano, long_clip, fps=1.0).notices == ()  # 10 frames
    assert seen(nano, long_clip, fps=1.2).notices == ()  # 12 frames, all that were asked for


def test_a_checkpoint_that_says_nothing_takes_what_the_released_ones_do() -> None:
    assert ImageConfig.from_dict({}).max_frames == 768
    for wrong in (1, 0, -4, "many", None, [12]):
        with pytest.raises(UserError, match="max_frames"):
            ImageConfig.from_dict({"max_frames": wrong})


def test_what_nano_says_is_what_its_training_draws() -> None:
    class Most:
        """Takes the last choice."""

        def choice(self, choices: list[int]) -> int:
            return choices[-1]

    assert random_frames(Most(), (112, 112)) == MAX_FRAMES == Processor.from_directory(NANO).image.max_frames  # type: ignore[arg-type]


def test_the_settings_start_with_it_and_say_it() -> None:
    form = SettingsForm(GenerationOptions(), (12544, 50176), max_frames=12)
    field = form._fields["max_frames"]
    assert field.default == 12 and field.info.endswith("This model was trained for at most 12.")
    assert form.read({}).options.media.max_frames is None  # the checkpoint's own
    assert form.read({"max_frames": 40}).options.media.max_frames == 40
    assert "trained" not in SettingsForm(GenerationOptions(), (12544, 50176))._fields["max_frames"].info


def test_a_checkpoint_says_whether_it_was_trained_on_questions_about_a_region() -> None:
    """The released ones say nothing, and were. nano says that it was not, and so does what its training writes."""
    assert ImageConfig.from_dict({}).region_questions
    assert not Processor.from_directory(NANO).image.region_questions
    assert not ImageConfig.from_dict(PREPROCESSOR).region_questions
