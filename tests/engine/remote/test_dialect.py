"""What is learnt from refusals, in the words of real servers, and which settings then do not act."""

import pytest

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.dialect import Dialect, refused_fields
from qwen2vl_demo.engine.remote.request import sampling_fields

SAMPLED = GenerationOptions(temperature=0.7, seed=3)


def body(software: str = "") -> dict[str, object]:
    fields = sampling_fields(SAMPLED, 64, software)
    return {"model": "qwen", "stream": True, "stream_options": {}, "skip_special_tokens": False, **fields}


@pytest.mark.parametrize(
    ("reason", "names"),
    [
        # OpenAI
        ("Unrecognized request argument supplied: top_k", {"top_k"}),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            {"max_tokens"},
        ),
        ("Unsupported value: 'temperature' does not support 0.7 with this model.", {"temperature"}),
        # Gemini
        (
            'Invalid JSON payload received. Unknown name "repetition_penalty": Cannot find field.',
            {"repetition_penalty"},
        ),
        # Mistral, FastAPI
        ("body seed: Extra inputs are not permitted", {"seed"}),
        # transformers serve 5.23
        ("Unexpected fields in the request: {'top_k', 'skip_special_tokens'}", {"top_k", "skip_special_tokens"}),
        # vLLM 0.32
        ("top_k must be -1 (disable), or at least 1, got 0. (parameter=top_k)", {"top_k"}),
        ("This model's maximum context length is 4096 tokens. However, max_tokens is 5000.", set()),
        ("max_tokens=8000 cannot be greater than max_model_len=4096.", set()),
        ("Cache miss for image at index 0 but data is not provided.", set()),
        ("The seeds of tomatoes were stopped", set()),
        ("mm_processor_kwargs are disabled by default", set()),  # not in this body
    ],
)
def test_the_fields_that_a_refusal_names(reason: str, names: set[str]) -> None:
    assert refused_fields(body(), reason) == names


def test_what_is_refused_is_left_out_and_the_answer_length_goes_by_its_newer_name() -> None:
    dialect = Dialect().without(frozenset({"top_k", "max_tokens"}))
    said = dialect.spoken(body())
    assert "top_k" not in said and "max_tokens" not in said and said["max_completion_tokens"] == 64
    assert "max_completion_tokens" not in dialect.without(frozenset({"max_completion_tokens"})).spoken(body())


def test_a_setting_acts_as_long_as_one_of_its_fields_is_taken() -> None:
    dialect = Dialect()
    assert dialect.inactive(body()) == ()
    dialect = dialect.without(frozenset({"repetition_penalty", "max_tokens", "stream_options", "min_p"}))
    assert dialect.inactive(body()) == ()
    dialect = dialect.without(frozenset({"repeat_penalty", "seed"}))
    assert dialect.inactive(body()) == ("the repetition penalty", "the seed")


def test_ollama_takes_top_k_and_the_repetition_penalty_and_does_not_obey_them() -> None:
    assert Dialect.of("Ollama").inactive(body("Ollama")) == ("top_k", "the repetition penalty")


def test_transformers_gets_its_own_field_for_what_openai_has_no_name_for() -> None:
    """`transformers serve` refuses every field that OpenAI does not have, and samples only if it is told to."""
    fields = sampling_fields(SAMPLED, 64, "transformers")
    assert set(fields) == {"max_tokens", "temperature", "top_p", "seed", "generation_config"}
    assert Dialect.of("transformers").inactive(fields) == ()


def test_transformers_gets_the_frames_of_a_clip_as_pictures() -> None:
    """It takes 32 frames of every file, so a clip of 8 would be another prompt."""
    assert not Dialect.of("transformers").video and Dialect.of("vLLM").video and Dialect.of("").video
