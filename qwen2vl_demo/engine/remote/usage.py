"""Compares the prompt tokens that a server counted with those of the trace, and says why they may differ.

The panel draws the trace. Where the server counted otherwise, it read something else, and the page must say so.
"""

from __future__ import annotations

from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.trace import PromptTrace

# With another tokenizer than the server's, its tokens of text are this many of ours: nano's vocabulary is small.
TEXT_RATIO = (0.2, 1.3)
SPECIAL_SLACK = 4

_PIXELS = 'vLLM: --mm-processor-kwargs \'{"min_pixels": 3136, "max_pixels": 12845056}\'; other servers: docs/servers.md'


def difference(trace: PromptTrace, counted: int | None, server: Server, *, exact_text: bool) -> str:
    """What to tell about a prompt that the server counts otherwise than the trace; "" if they agree.

    `counted` is `prompt_tokens` of the server's usage, None if it sent none. Without `exact_text` the tokens of text
    are estimates, and only what pictures and clips cannot explain is told.
    """
    if counted is None or not len(trace):
        return ""
    media = sum(medium.merged_tokens for medium in trace.media)
    text = len(trace) - media
    if exact_text:
        low = high = len(trace)
    else:
        low = media + int(TEXT_RATIO[0] * text) - SPECIAL_SLACK
        high = media + int(TEXT_RATIO[1] * text) + SPECIAL_SLACK
    if low <= counted <= high:
        return ""
    of_media = f", {media:,} of them of pictures and clips" if media else ""
    return (
        f"The server counted {counted:,} prompt tokens and this page {len(trace):,}{of_media}: the model read "
        f"something else than is shown here. {_reason(trace, counted, low, media, server)}"
    )


def _reason(trace: PromptTrace, counted: int, low: int, media: int, server: Server) -> str:
    clips = any(medium.kind == "video" for medium in trace.media)
    if not media:
        return (
            "Most likely it has another tokenizer, chat template or system prompt. Start this page with --model and "
            "the checkpoint that the server runs."
        )
    if counted < low:
        if server.software == "Ollama":
            return "Ollama resizes pictures itself and does not count what it still knows from the turn before."
        if server.software == "llama.cpp":
            return "Most likely it has a limit of its own for pictures. Start it with --image-max-tokens 16384."
        if clips:
            return (
                "Most likely it keeps fewer frames of a clip, or shrinks frames. Start it without a limit of frames "
                f'(vLLM: --media-io-kwargs \'{{"video": {{"num_frames": -1}}}}\') and of pixels ({_PIXELS}).'
            )
        return (
            f"Most likely its own max_pixels is lower and it shrinks pictures. Start it with this page's ({_PIXELS})."
        )
    return (
        "Most likely its own min_pixels is higher and it enlarges pictures, or its chat template writes more. Start it "
        f"with this page's limits ({_PIXELS})."
    )
