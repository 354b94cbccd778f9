"""What an answer costs, as HTML for the tab "Cost": predicted, measured, and for the released checkpoints.

Numbers come from an Estimate and from counting; nothing here is measured or guessed. Seconds are always said with
"about" and a range. Every word that comes from outside is escaped. Knows no gradio.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qwen2vl_demo.engine.cost import flops as cost
from qwen2vl_demo.engine.cost.estimate import Estimate, TimeRange
from qwen2vl_demo.engine.protocol import Outcome
from qwen2vl_demo.released import RELEASED, RELEASED_ITEMSIZE
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import count, duration

ANSWER = 100  # tokens of the answer that a whole time is said for


def now_html(estimate: Estimate | None, *, draft: bool) -> str:
    """The tokens, the memory and the time of the next answer, or of the last one if nothing is attached."""
    if estimate is None:
        return (
            '<div class="lens"><p class="lens-nothing">Attach a picture or a clip, or ask something, and this '
            "shows what it will cost before it is sent: tokens, memory and time on this device.</p></div>"
        )
    parts = [_tokens(estimate, draft)]
    if estimate.times is not None:
        parts.append(_time(estimate))
    if estimate.memory is not None:
        parts.append(_memory(estimate))
    if estimate.times is None and estimate.basis:
        parts.append(f'<p class="lens-hint">{escape(estimate.basis)}</p>')
    return f'<div class="lens cost">{"".join(parts)}</div>'


def past_html(outcomes: Sequence[Outcome]) -> str:
    """Predicted beside measured, newest first; "" before there is an answer that was predicted."""
    timed = [o for o in outcomes if o.estimate.times is not None and "first_token" in o.timings]
    if not timed:
        return ""
    rows, inside, said = "", 0, 0
    for outcome in reversed(timed):
        times = outcome.estimate.times
        assert times is not None
        pairs = [(times.first_token, outcome.timings["first_token"] - outcome.timings.get("wait", 0.0))]
        if outcome.new_tokens > 1 and "decode" in outcome.timings:
            pairs.append((times.token, outcome.timings["decode"] / outcome.new_tokens))
        inside += sum(span.low <= seconds <= span.high for span, seconds in pairs)
        said += len(pairs)
        reused = f" ({outcome.reused_tokens:,} reused)" if outcome.reused_tokens else ""
        cells = "".join(_pair(span, seconds) for span, seconds in pairs) + "<td>-</td><td>-</td>" * (2 - len(pairs))
        rows += f"<tr><td>{outcome.prompt_tokens:,}{reused}</td>{cells}</tr>"
    return (
        '<div class="lens cost"><h4>Predicted and measured</h4>'
        f'<p class="lens-says">Of {count(said, "prediction")} for {_last(len(timed))} of this tab, '
        f"{inside} held within {'their' if said != 1 else 'its'} range. What answers took corrects the next ones.</p>"
        '<div class="cost-scroll"><table class="cost-table"><thead><tr><th rowspan="2">Prompt tokens</th>'
        '<th colspan="2">First word</th><th colspan="2">Each token</th></tr>'
        "<tr><th>predicted</th><th>measured</th><th>predicted</th><th>measured</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def released_html(trace: PromptTrace | None) -> str:
    """What this prompt would take with the released checkpoints: pure arithmetic, the same on every device."""
    if trace is None:
        return ""
    grids = [m.grid_thw for m in trace.media]
    rows = ""
    for name, config in RELEASED.items():
        weights = cost.parameters(config).total * RELEASED_ITEMSIZE
        vision = cost.vision_flops(config.vision, grids).total if grids else 0.0
        prefill = cost.prefill_flops(config.text, len(trace)).total
        cells = [
            size(weights),
            size(cost.kv_bytes(config.text, len(trace), RELEASED_ITEMSIZE)),
            operations(vision) if grids else "-",
            operations(prefill),
            size(cost.decode_bytes(config, len(trace), RELEASED_ITEMSIZE)),
        ]
        rows += f"<tr><th>Qwen2-VL-{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    return (
        '<div class="lens cost"><h4>The same prompt with the released checkpoints</h4>'
        f'<p class="lens-says">Counted, not measured: {count(len(trace), "token")} in bfloat16, everything read anew. '
        "Reading the prompt is bound by operations, writing by the bytes read for each token.</p>"
        '<div class="cost-scroll"><table class="cost-table"><thead><tr><th></th><th>Weights</th><th>KV cache</th>'
        "<th>Pictures</th><th>Prompt</th><th>Read a token</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def _tokens(estimate: Estimate, draft: bool) -> str:
    total, room = estimate.prompt_tokens, estimate.context_length
    turn, before = estimate.turn_tokens, estimate.prompt_tokens - estimate.turn_tokens
    what = "This turn will take" if draft else "The last turn took"
    bar = _bar(
        [("before", before), ("turn", turn), ("rest", max(0, room - total))],
        f"{before:,} tokens of what stood before, {turn:,} of this turn, of {room:,}",
    )
    over = " That is more than the context has room for." if total >= room else ""
    return (
        f'<h4>Tokens</h4><p class="lens-says">{what} <b>{count(turn, "token")}</b>, and the whole chat has '
        f"<b>{total:,}</b> of {room:,}, {100 * total / room:.1f} % of the context; {estimate.media_tokens:,} of them "
        f"are pictures and clips.{over}</p>{bar}"
        + _legend(
            [
                ("before", f"{before:,} before"),
                ("turn", f"{turn:,} in this turn"),
                ("rest", f"{max(0, room - total):,} free"),
            ]
        )
    )


def _time(estimate: Estimate) -> str:
    times = estimate.times
    assert times is not None
    answer = times.first_token + times.token * ANSWER
    rate = 1 / times.token.about if times.token.about else 0.0
    parts = [("prepare", times.prepare), ("encode", times.encode), ("prefill", times.prefill)]
    parts = [(key, span) for key, span in parts if span.about]
    names = {"prepare": "get ready", "encode": "pictures", "prefill": "read the prompt"}
    spared = []
    if estimate.reused_tokens:
        spared.append(f"{count(estimate.reused_tokens, 'token')} that {_are(estimate.reused_tokens)} still known")
    if estimate.reused_media:
        which = "all" if estimate.reused_media == estimate.media else f"{estimate.reused_media} of {estimate.media}"
        spared.append(f"the encoding of {which} pictures and clips")
    reuse = f' <span class="lens-hint">Not charged: {" and ".join(spared)}.</span>' if spared else ""
    bar = _bar(
        [(key, span.about) for key, span in parts],
        ", ".join(f"{names[key]} about {duration(span.about)}" for key, span in parts),
    )
    return (
        f'<h4>Time on this device</h4><p class="lens-says">About <b>{duration(times.first_token.about)}</b> to the '
        f"first word ({_range(times.first_token)}), then about {duration(times.token.about)} a token ({rate:.3g} a "
        f"second): an answer of {ANSWER} tokens about {duration(answer.about)} ({_range(answer)}).{reuse}</p>{bar}"
        + _legend([(key, f"{names[key]} {duration(span.about)}") for key, span in parts])
        + f'<p class="lens-hint">The seconds rest on {escape(estimate.basis)}.</p>'
    )


def _memory(estimate: Estimate) -> str:
    memory = estimate.memory
    assert memory is not None
    parts = [("weights", memory.weights), ("kv", memory.kv_cache), ("inside", memory.activations)]
    names = {"weights": "weights", "kv": "KV cache", "inside": "inside a layer, at most"}
    free = ""
    if memory.free is not None:
        more = memory.kv_cache + memory.activations
        free = f" Beside the weights it takes {size(more)} of {size(memory.free)} that are free."
        free = (
            free
            if memory.fits
            else f" <b>That is {size(more)} beside the weights, but only {size(memory.free)} are free.</b>"
        )
    return (
        f'<h4>Memory</h4><p class="lens-says">About <b>{size(memory.total)}</b> while it answers.{free}</p>'
        + _bar(parts, ", ".join(f"{names[key]} {size(value)}" for key, value in parts))
        + _legend([(key, f"{names[key]} {size(value)}") for key, value in parts])
    )


def _pair(span: TimeRange, seconds: float) -> str:
    held = span.low <= seconds <= span.high
    mark = "" if held else ' class="missed"'
    words = "" if held else f"<span>{'slower' if seconds > span.high else 'faster'} than said</span>"
    return f"<td>{duration(span.about)}<span>{_range(span)}</span></td><td{mark}>{duration(seconds)}{words}</td>"


def _bar(parts: Sequence[tuple[str, float]], label: str) -> str:
    whole = sum(value for _, value in parts) or 1
    pieces = "".join(f'<i class="cost-{key}" style="width:{100 * value / whole:.3f}%"></i>' for key, value in parts)
    return f'<div class="cost-bar" role="img" aria-label="{escape(label, quote=True)}">{pieces}</div>'


def _legend(parts: Sequence[tuple[str, str]]) -> str:
    return '<p class="cost-legend">' + "".join(f'<span class="cost-{k}">{escape(w)}</span>' for k, w in parts) + "</p>"


def _range(span: TimeRange) -> str:
    return f"{duration(span.low)} to {duration(span.high)}"


def _last(answers: int) -> str:
    return "the last answer" if answers == 1 else f"the last {answers} answers"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def size(value: float) -> str:
    """Bytes as people say them, to three digits: "812 kB", "4.42 GB"."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.0f} bytes"


def operations(value: float) -> str:
    """Floating-point operations: "12.4 TFLOP", "310 GFLOP"."""
    for unit, name in ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g} {name}"
    return f"{value / 1e6:.3g} MFLOP"


def says(title: str, sentence: str, hint: str = "") -> str:
    """A heading, what is seen below it, and why it is so."""
    head = f"<h4>{escape(title)}</h4>" if title else ""
    why = f'<p class="lens-hint">{escape(hint)}</p>' if hint else ""
    return f'<div class="lens cost">{head}<p class="lens-says">{escape(sentence)}</p>{why}</div>'
