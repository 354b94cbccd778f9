"""The JSON body of an OpenAI-compatible chat completion.

Pictures and clips are sent as resized for the trace, so that the server has nothing left to resize and its token
counts equal ours, as long as its own pixel limits are not narrower. Every setting of the page is sent, also one that
stands at its neutral value: servers fill what is missing from the checkpoint's generation_config.json, whose `top_k: 1`
would make each answer the greedy one.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeGuard

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.media_parts import MediaParts
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.geometry import FACTOR, MAX_PIXELS
from qwen2vl_demo.processing.image import VisionInput
from qwen2vl_demo.processing.messages import Image, Message, Part, Region, Text

ALL_TOKENS = -1  # as top_k; vLLM and SGLang of all versions take it, some refuse 0
PIXEL_LIMITS = {"min_pixels": FACTOR * FACTOR, "max_pixels": MAX_PIXELS}  # within which every size on the page is

# Servers tokenize the rendered chat template, in which a typed special token would become a real one.
_TYPED = re.compile(r"<\|(?=\w+\|>)")
_TYPED_IN_ANSWER = re.compile(r"<\|(?=(?!box_|quad_|object_ref_)\w+\|>)")  # an answer may hold boxes


def request_body(
    model: str,
    messages: Sequence[Message],
    media: Mapping[tuple[int, int], VisionInput],
    options: GenerationOptions,
    parts: MediaParts,
    *,
    max_tokens: int | None = None,
    written: str = "",
    software: str = "",
    own_limits: bool = False,
) -> dict[str, Any]:
    """The body of `POST /chat/completions`, streaming.

    `messages` are those of the prompt, without typed special tokens (`plain_messages`). `media` holds each picture and
    clip by (index of the message, index of the part). `max_tokens` is the most that the answer may have; without it the
    server allows what its context has left. Behind `written` the answer goes on. `own_limits`: some medium is smaller
    or larger than the checkpoint's pixel limits, which the server is to let pass.
    """
    named = software == "vLLM"
    body: dict[str, Any] = {
        "model": model,
        "messages": _conversation(messages, media, options.add_vision_id, parts, named, options.cache_salt),
        "stream": True,
        "stream_options": {"include_usage": True},
        **sampling_fields(options, max_tokens, software),
    }
    if software != "transformers":  # refuses what is not OpenAI's
        body["skip_special_tokens"] = False  # boxes are written with special tokens
    if written:
        body["messages"].append({"role": "assistant", "content": written})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if own_limits and software == "vLLM":
        body["mm_processor_kwargs"] = PIXEL_LIMITS
    if options.cache_salt and software != "transformers":
        # The server's prefix cache must not tell one visitor what others ask.
        body["cache_salt"] = options.cache_salt
    return body


def plain_messages(messages: Sequence[Message]) -> list[Message]:
    """The messages with a zero-width space in each typed special token, so that it is none; a region stays one.

    The prompt is prepared from these, so that the page shows what the server gets. Raises UserError for a picture or
    clip that is not the user's, which servers do not take.
    """
    plain = []
    for message in messages:
        if message.role != "user" and not all(isinstance(part, Text) for part in message.parts):
            raise UserError(f"A server takes media from the user only, but a message of the {message.role} holds one.")
        typed = _TYPED_IN_ANSWER if message.role == "assistant" else _TYPED
        parts = [Text(typed.sub("<\u200b|", part.text)) if _is_plain(part) else part for part in _joined(message.parts)]
        plain.append(Message(message.role, parts))
    return plain


def sampling_fields(options: GenerationOptions, max_tokens: int | None, software: str) -> dict[str, Any]:
    """The fields of a body that say how the answer is to be generated."""
    length = {} if max_tokens is None else {"max_tokens": max_tokens}
    fields: dict[str, Any] = {**length, "temperature": options.temperature, "top_p": options.top_p}
    if options.seed is not None:
        fields["seed"] = options.seed
    if software == "transformers":  # knows no other field, and samples only if this says so
        sampling = {"temperature": options.temperature, "top_p": options.top_p} if options.temperature else {}
        own = {
            "max_new_tokens": max_tokens or options.max_new_tokens,
            "do_sample": options.temperature > 0,
            "top_k": options.top_k,
            "repetition_penalty": options.repetition_penalty,
            **sampling,
        }
        return {**fields, "generation_config": json.dumps(own)}
    fields |= {"top_k": options.top_k or ALL_TOKENS, "min_p": 0.0, "repetition_penalty": options.repetition_penalty}
    if software not in ("vLLM", "SGLang"):
        fields["repeat_penalty"] = options.repetition_penalty
    return fields


def _conversation(
    messages: Sequence[Message],
    media: Mapping[tuple[int, int], VisionInput],
    add_vision_id: bool,
    parts: MediaParts,
    named: bool,
    salt: str,
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    count: Counter[str] = Counter()
    for at, message in enumerate(messages):
        if message.role != "user":
            sent.append({"role": message.role, "content": message.text})
            continue
        content: list[dict[str, Any]] = []
        for index, part in enumerate(message.parts):
            if isinstance(part, Text):
                if content and content[-1]["type"] == "text":  # some servers would break the line between two
                    content[-1]["text"] += part.text
                else:
                    content.append({"type": "text", "text": part.text})
                continue
            kind = "Picture" if isinstance(part, Image) else "Video"
            count[kind] += 1
            if add_vision_id:  # as the chat template writes it
                content.append({"type": "text", "text": f"{kind} {count[kind]}: "})
            content.append(parts.part(media[at, index], named=named, salt=salt))
        sent.append({"role": "user", "content": content})
    return sent


def _joined(parts: Sequence[Part]) -> Iterator[Part]:
    """The parts with adjacent texts made one, so that no special token is in two pieces."""
    for is_plain, run in groupby(parts, key=_is_plain):
        if is_plain:
            yield Text("".join(part.text for part in run if isinstance(part, Text)))
        else:
            yield from run


def _is_plain(part: Part) -> TypeGuard[Text]:
    """Whether it is a text that somebody wrote."""
    return isinstance(part, Text) and not isinstance(part, Region)
