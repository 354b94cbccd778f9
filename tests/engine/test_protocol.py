"""The options of an answer as keys of a cache."""

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.processing.messages import MediaOptions


def test_options_are_hashable_and_equal_ones_are_one_key():
    """Prompts are cached by their options."""
    one, other = (GenerationOptions(media=MediaOptions(max_pixels=5000)) for _ in range(2))
    assert {one: "a prompt"}[other] == "a prompt"
    assert hash(GenerationOptions(add_vision_id=True)) != hash(GenerationOptions())
    assert hash(GenerationOptions(media=MediaOptions(fps=1))) != hash(GenerationOptions())
