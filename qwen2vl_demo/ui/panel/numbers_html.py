"""HTML of the tab "Numbers": a PromptTrace in words and one bar. Sizes are shown as width x height."""

from __future__ import annotations

from qwen2vl_demo.trace import MEDIA_NOUN, PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.markup import render

MAX_TIMES = 24  # time stamps of a clip that are listed


def numbers_html(conversation: Conversation, trace: PromptTrace | None) -> str:
    """What the latest prompt of the conversation became; a sentence if there is none, or if it is no longer known."""
    if trace is None:
        return render("numbers_empty.html", known_later=bool(conversation.turns))
    media_tokens = sum(m.merged_tokens for m in trace.media)
    answer = conversation.last.answer if conversation.last else None
    return render(
        "numbers.html",
        remark=answer.numbers.remark if answer and answer.numbers else "",
        total=len(trace),
        room=trace.context_length,
        media_tokens=media_tokens,
        text_tokens=len(trace) - media_tokens,
        media=[
            (m.name or f"{MEDIA_NOUN[m.kind]} {number}", m, _times(m.timestamps))
            for number, m in enumerate(trace.media, 1)
        ],
    )


def _times(timestamps: tuple[float, ...]) -> str:
    listed = ", ".join(f"{t:.1f}" for t in timestamps[:MAX_TIMES])
    return f"{listed} … {timestamps[-1]:.1f} s" if len(timestamps) > MAX_TIMES else f"{listed} s"
