"""Predicting how long a server takes from what its answers took."""

import pytest

from qwen2vl_demo.engine.remote.answer_times import AnswerTimes
from tests.engine.remote.fake_server import ASK, GREEDY, FakeServer, result_of


def observed(*answers: tuple[int, float]) -> AnswerTimes:
    """After answers of 10 tokens at 0.02 s each to prompts of (tokens, seconds to the first token)."""
    times = AnswerTimes()
    for prompt_tokens, first in answers:
        times.observe(prompt_tokens, 10, {"first_token": first, "decode": 0.2, "total": first + 0.2})
    return times


def test_nothing_is_predicted_before_the_first_answer() -> None:
    assert AnswerTimes().predict(100) is None


def test_one_answer_predicts_its_like() -> None:
    """And half of its time is taken to be proportional to the prompt: 1 s for 100 tokens, 2 s for 300."""
    times = observed((100, 1.0))
    alike, longer = times.predict(100), times.predict(300)
    assert alike is not None and longer is not None
    assert alike.first_token.about == pytest.approx(1.0) and longer.first_token.about == pytest.approx(2.0)
    assert alike.token.about == pytest.approx(0.02)
    assert alike.first_token.low < 0.7 and alike.first_token.high > 1.4
    assert times.basis == "the last answer of this server"


def test_answers_to_prompts_of_several_lengths_give_constant_and_slope() -> None:
    """0.5 s and 1 ms a token: 2,000 tokens take 2.5 s."""
    times = observed(*((n, 0.5 + 0.001 * n) for n in (100, 500, 1000, 100, 500, 1000)))
    predicted = times.predict(2000)
    assert predicted is not None and predicted.first_token.about == pytest.approx(2.5, rel=0.01)
    assert times.basis == "the last 6 answers of this server"


def test_the_range_narrows_with_steady_answers_and_follows_a_server_that_became_slower() -> None:
    one, many = observed((100, 1.0)).predict(100), observed(*[(100, 1.0)] * 12).predict(100)
    assert one is not None and many is not None and many.first_token.high < one.first_token.high
    slower = observed(*[(100, 1.0)] * 8, *[(100, 4.0)] * 8).predict(100)
    assert slower is not None and slower.first_token.about > 3


@pytest.mark.parametrize("answers", [[(100, 2.0), (1000, 1.0)], [(10, 0.1), (1000, 100.0)], [(1, 1e-9)] * 3])
def test_odd_answers_give_no_negative_times(answers: list[tuple[int, float]]) -> None:
    for tokens in (1, 100, 100_000):
        predicted = observed(*answers).predict(tokens)
        assert predicted is not None and 0 <= predicted.first_token.low <= predicted.first_token.about
        assert predicted.first_token.about <= predicted.first_token.high


def test_answers_without_times_teach_nothing() -> None:
    times = AnswerTimes()
    times.observe(100, 5, {})
    times.observe(0, 5, {"first_token": 1.0, "decode": 1.0})
    times.observe(100, 1, {"first_token": 1.0, "decode": 0.0})  # one token: no time between tokens
    assert times.predict(100) is None


def test_the_time_until_a_server_was_up_is_not_counted() -> None:
    times = AnswerTimes()
    times.observe(100, 10, {"first_token": 31.0, "wait": 30.0, "decode": 0.2})
    predicted = times.predict(100)
    assert predicted is not None and predicted.first_token.about == pytest.approx(1.0)


def test_an_engine_learns_from_its_answers() -> None:
    with FakeServer.running() as server:
        engine = server.engine()
        trace = engine.prepare(ASK, GREEDY)
        before = engine.estimate(trace, GREEDY)
        assert before.times is None and before.memory is None and "learned from its answers" in before.basis
        result = result_of(engine)
        after = engine.estimate(trace, GREEDY)
        assert after.times is not None and after.place == "on the server"
        # The server counted 321 tokens; predictions are for what it would count of this prompt.
        assert 0 < after.times.first_token.about <= 1.01 * result.timings["first_token"]
        assert after.basis == "the last answer of this server"
