"""How the next token is chosen, each rule against probabilities worked by hand."""

from collections import Counter

import pytest
import torch

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.sampling import Sampler
from qwen2vl_demo.errors import UserError

LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))  # four tokens and their probabilities
NO_PROMPT = torch.empty(0, dtype=torch.int64)


def draws(count=2000, prompt=NO_PROMPT, never=(), **options):
    sampler = Sampler(GenerationOptions(seed=0, **options), prompt, never)
    return Counter(sampler.choose(LOGITS) for _ in range(count))


def test_temperature_zero_always_takes_the_likeliest():
    assert draws(5, temperature=0) == {0: 5}


def test_temperature_one_draws_with_the_models_probabilities():
    """2000 draws: one standard deviation is 22 for the first token; four of them are allowed."""
    drawn = draws(temperature=1)
    for token, share in enumerate([0.5, 0.3, 0.15, 0.05]):
        assert abs(drawn[token] - 2000 * share) < 90


def test_a_low_temperature_sharpens():
    """At 0.5 probabilities are squared: 0.25 of 0.25 + 0.09 + 0.0225 + 0.0025 is 68 %."""
    assert abs(draws(temperature=0.5)[0] - 2000 * 0.25 / 0.365) < 90


def test_top_k_keeps_that_many():
    assert set(draws(temperature=1, top_k=2)) == {0, 1}


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.4, {0}), (0.5, {0}), (0.6, {0, 1}), (0.85, {0, 1, 2}), (1.0, {0, 1, 2, 3})]
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p, kept):
    assert set(draws(temperature=1, top_p=top_p)) == kept


def test_the_same_seed_draws_the_same_and_another_does_not():
    def run(seed):
        sampler = Sampler(GenerationOptions(temperature=1, seed=seed), NO_PROMPT)
        return [sampler.choose(LOGITS) for _ in range(40)]

    assert run(7) == run(7)
    assert run(7) != run(8)
    assert run(None) != run(None)


def test_repetition_penalty_lowers_what_was_seen_in_prompt_and_answer():
    """Positive logits are divided, negative ones multiplied: 2.0 / 4 = 0.5 falls behind 1.0, then 1.0 / 4 behind it."""
    logits = torch.tensor([2.0, 1.0, -1.0])
    sampler = Sampler(GenerationOptions(repetition_penalty=4.0), torch.tensor([0, 0]))
    assert sampler.choose(logits) == 1
    assert sampler.choose(logits) == 0  # 0.5 against 0.25


def test_placeholders_are_never_drawn():
    assert set(draws(temperature=1, never=[0, 2])) == {1, 3}


@pytest.mark.parametrize(
    "wrong",
    [{"max_new_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"top_k": -1}, {"repetition_penalty": 0}],
)
def test_impossible_options_are_refused_in_words(wrong):
    with pytest.raises(UserError):
        GenerationOptions(**wrong)
