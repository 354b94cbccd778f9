"""temp"""

from __future__ import annotations

from html import escape

from qwen2vl_demo.trace import MEDIA_NOUN, MediaTrace, PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation, count

TIMES_SHOWN = 24  # time stamps of a clip before "and so on"

EMPTY = (
    '<div class="panel-empty"><p>Nothing yet. Send a picture or a clip, and this shows what became of it: its resized '
    "pixels, its patches and its tokens, and how much of the model's context the whole prompt takes.</p></div>"
)
UNKNOWN = '<div class="panel-empty"><p>This will be known again after the next question.</p></div>'


def panel_html(conversation: Conversation, trace: PromptTrace | None) -> str:
    """What the latest prompt of the conversation became."""
    if trace is None:
        return UNKNOWN if conversation.turns else EMPTY
    media = sum(m.merged_tokens for m in trace.media)
    rows = "".join(_medium(number, m) for number, m in enumerate(trace.media, 1))
    note = "" if trace.media else '<p class="panel-note">No pictures or clips in this prompt: words only.</p>'
    return f'<div class="panel">{_context(trace, media)}{note}<ol class="media-list">{rows}</ol></div>'


def _context(trace: PromptTrace, media: int) -> str:
    total, room = len(trace), trace.context_length
    text = total - media
    share = 100 * total / room
    return (
        '<section class="context"><h3>The prompt</h3>'
        f'<p class="big"><b>{total:,}</b> of {room:,} tokens '
        f'<span class="muted">({share:.1f} % of the context)</span></p>'
        f'<div class="bar" role="img" aria-label="{media:,} tokens of pictures and clips, {text:,} of text, '
        f'out of {room:,}"><i class="seen" style="width:{_percent(media, room)}"></i>'
        f'<i class="said" style="width:{_percent(text, room)}"></i></div>'
        f'<p class="legend"><span class="seen">{media:,} of pictures and clips</span>'
        f'<span class="said">{text:,} of text and markers</span></p></section>'
    )


def _medium(number: int, m: MediaTrace) -> str:
    (h, w), (rh, rw) = m.original_size, m.resized_size
    (t, ph, pw), (mt, mh, mw) = m.grid_thw, m.merged_grid
    time = f"{t} x " if m.kind == "video" else ""
    merged = f"{mt} x " if m.kind == "video" else ""
    facts = [
        ("Pixels", f"{w}x{h} → {rw}x{rh} px" if (h, w) != (rh, rw) else f"{w}x{h} px, as it came"),
        ("Patches", f"{time}{pw}x{ph} of 14x14 px"),
        ("Merged tokens", f"{merged}{mw}x{mh} = <b>{m.merged_tokens:,}</b>"),
        ("In the prompt", f"tokens {m.span[0]:,} to {m.span[1] - 1:,}"),
    ]
    if m.kind == "video":
        facts.append(("Frames", f"{len(m.frame_indices)} of {m.total_frames:,}, in pairs: {count(t, 'step')} of time"))
        facts.append(("Taken at", _times(m.timestamps)))
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    name = m.name or f"{MEDIA_NOUN[m.kind]} {number}"
    return f"<li><h3>{escape(name)}</h3><dl>{rows}</dl></li>"


def _times(times: tuple[float, ...]) -> str:
    shown = ", ".join(f"{t:.1f}" for t in times[:TIMES_SHOWN])
    return f"{shown} … {times[-1]:.1f} s" if len(times) > TIMES_SHOWN else f"{shown} s"


def _percent(part: int, whole: int) -> str:
    return f"{min(100.0, 100 * part / whole):.3f}%"
