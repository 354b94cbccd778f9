"""HTML of the tab "Cost": what an answer takes, predicted and measured, here and with the released checkpoints.

All numbers come from an Estimate or from counting. Seconds are given with "about" and a range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwen2vl_demo.engine.cost import flops as cost
from qwen2vl_demo.engine.cost.estimate import Estimate, TimeRange, Times
from qwen2vl_demo.engine.protocol import Outcome
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.released import RELEASED, RELEASED_ITEMSIZE
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import count, duration
from qwen2vl_demo.ui.markup import render

ANSWER_TOKENS = 100  # length of the answer whose total time is given


@dataclass(frozen=True)
class Part:
    """One part of a bar."""

    key: str  # the style sheet colours .cost-KEY
    value: float
    label: str  # in the legend


@dataclass(frozen=True)
class Comparison:
    """A predicted time beside the measured one."""

    span: TimeRange
    seconds: float

    @property
    def within(self) -> bool:
        return self.span.low <= self.seconds <= self.span.high


@dataclass(frozen=True)
class OutcomeRow:
    """One answer in the table of predictions."""

    outcome: Outcome
    comparisons: tuple[Comparison, ...]  # the first word and, if there was more than one token, each token


def estimate_html(estimate: Estimate | None, *, draft: bool) -> str:
    """Tokens, time and memory of the next answer (`draft`) or of the last one; without one, what to do first."""
    if estimate is None:
        return render("cost_empty.html")
    values = _token_values(estimate)
    if estimate.times is not None:
        values |= _time_values(estimate, estimate.times)
    if estimate.memory is not None:
        memory = estimate.memory
        parts = [
            Part("weights", memory.weights, f"weights {format_bytes(memory.weights)}"),
            Part("kv", memory.kv_cache, f"KV cache {format_bytes(memory.kv_cache)}"),
            Part("inside", memory.activations, f"inside a layer, at most {format_bytes(memory.activations)}"),
        ]
        values |= {"memory": parts, "beside_weights": format_bytes(memory.kv_cache + memory.activations)}
        values |= {
            "total_memory": format_bytes(memory.total),
            "free_memory": "" if memory.free is None else format_bytes(memory.free),
        }
    return render("cost_estimate.html", estimate=estimate, draft=draft, answer_tokens=ANSWER_TOKENS, **values)


def outcomes_html(outcomes: Sequence[Outcome]) -> str:
    """Predictions beside measurements, newest first; "" before the first answer that was predicted."""
    rows = [row for outcome in reversed(outcomes) if (row := _outcome_row(outcome)) is not None]
    if not rows:
        return ""
    comparisons = [comparison for row in rows for comparison in row.comparisons]
    within = sum(comparison.within for comparison in comparisons)
    return render("cost_outcomes.html", rows=rows, predictions=len(comparisons), within=within)


def released_html(trace: PromptTrace | None) -> str:
    """What this prompt would take with the released checkpoints: arithmetic only, the same on every device."""
    if trace is None:
        return ""
    grids = [m.grid_thw for m in trace.media]
    rows = {
        name: (
            format_bytes(cost.parameters(config).total * RELEASED_ITEMSIZE),
            format_bytes(cost.kv_bytes(config.text, len(trace), RELEASED_ITEMSIZE)),
            operations(cost.vision_flops(config.vision, grids).total) if grids else "-",
            operations(cost.prefill_flops(config.text, len(trace)).total),
            format_bytes(cost.decode_bytes(config, len(trace), RELEASED_ITEMSIZE)),
        )
        for name, config in RELEASED.items()
    }
    return render("cost_released.html", tokens=len(trace), rows=rows)


def _token_values(estimate: Estimate) -> dict[str, object]:
    media, text = estimate.media_tokens, estimate.prompt_tokens - estimate.media_tokens
    parts = [
        Part("pictures", media, f"{media:,} of pictures and clips"),
        Part("text", text, f"{text:,} of text and markers"),
    ]
    label = f"{media:,} tokens of pictures and clips, {text:,} of text and markers"
    if estimate.room is not None:
        parts.append(Part("rest", estimate.room, f"{estimate.room:,} free"))
        label += f", of {estimate.context_length:,}"
    return {"tokens": parts, "tokens_label": label}


def _time_values(estimate: Estimate, times: Times) -> dict[str, object]:
    names = {
        "prepare": ("get ready", times.prepare),
        "encode": ("pictures", times.encode),
        "prefill": ("read the prompt", times.prefill),
    }
    parts = [
        Part(key, span.about, f"{name} {duration(span.about)}") for key, (name, span) in names.items() if span.about
    ]
    label = ", ".join(f"{name} about {duration(span.about)}" for name, span in names.values() if span.about)
    not_charged = []
    if estimate.reused_tokens:
        verb = "is" if estimate.reused_tokens == 1 else "are"
        not_charged.append(f"{count(estimate.reused_tokens, 'token')} that {verb} still known")
    if estimate.reused_media:
        which = "all" if estimate.reused_media == estimate.media else f"{estimate.reused_media} of {estimate.media}"
        not_charged.append(f"the encoding of {which} pictures and clips")
    return {
        "times": parts,
        "times_label": label,
        "answer": times.first_token + times.token * ANSWER_TOKENS,
        "tokens_per_second": 1 / times.token.about if times.token.about else 0.0,
        "not_charged": not_charged,
    }


def _outcome_row(outcome: Outcome) -> OutcomeRow | None:
    """None if nothing was predicted or nothing came."""
    times, measured = outcome.estimate.times, outcome.timings
    if times is None or "first_token" not in measured:
        return None
    comparisons = [Comparison(times.first_token, measured["first_token"] - measured.get("wait", 0.0))]
    if outcome.new_tokens > 1 and "decode" in measured:
        comparisons.append(Comparison(times.token, measured["decode"] / outcome.new_tokens))
    return OutcomeRow(outcome, tuple(comparisons))


def operations(value: float) -> str:
    """Floating-point operations: "12.4 TFLOP", "310 GFLOP"."""
    for unit, name in ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g} {name}"
    return f"{value / 1e6:.3g} MFLOP"
