"""Encodes messages as one sequence of ids, with the checkpoint's own chat template.

The text of messages never passes through the template. Each text is replaced by a sentinel that cannot be guessed, and
the rendered prompt is split at the special tokens that the template wrote; what lies between two of them, text of the
template and of messages together, is encoded in one go. So ordinary text gets the same ids as from the reference,
which encodes the whole rendered string, while a typed `<|im_end|>` or `{{ }}` stays plain text. In assistant messages
the grounding tokens become special again, because the model wrote them, and so do the two of a `Region`, which is made
from four numbers.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.json_values import read_json_object, read_text
from qwen2vl_demo.processing import template_worker
from qwen2vl_demo.processing.messages import Message, Region, Text, Video
from qwen2vl_demo.processing.template_process import TemplateProcess
from qwen2vl_demo.processing.tokenizer import GROUNDING_TOKENS, IMAGE_PAD, VIDEO_PAD, SpecialRun, Tokenizer

# The template of Qwen2-VL, for checkpoints without one, and for nano. It writes no newlines but those in its strings.
BUILT_IN_TEMPLATE = r"""
{%- set pictures = namespace(count=0) -%}
{%- set clips = namespace(count=0) -%}
{%- for message in messages -%}
    {%- if loop.first and message['role'] != 'system' -%}
        {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}
    {%- endif -%}
    {{- '<|im_start|>' + message['role'] + '\n' -}}
    {%- if message['content'] is string -%}
        {{- message['content'] -}}
    {%- else -%}
        {%- for part in message['content'] -%}
            {%- if part['type'] == 'image' or 'image' in part or 'image_url' in part -%}
                {%- set pictures.count = pictures.count + 1 -%}
                {%- if add_vision_id -%}{{- 'Picture ' ~ pictures.count ~ ': ' -}}{%- endif -%}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
            {%- elif part['type'] == 'video' or 'video' in part -%}
                {%- set clips.count = clips.count + 1 -%}
                {%- if add_vision_id -%}{{- 'Video ' ~ clips.count ~ ': ' -}}{%- endif -%}
                {{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
            {%- elif 'text' in part -%}
                {{- part['text'] -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
MAX_TEMPLATE = 256 * 1024  # characters
# Rendered in this process, since they are known to end; others in one of their own.
_KNOWN_TEMPLATES = frozenset(
    {
        hashlib.sha256(BUILT_IN_TEMPLATE.encode()).hexdigest(),
        "a0bc6f6fc7a29a80017a433e8f03a1cc1236e838a944a2d034295a60c4f2fddb",  # that of the released checkpoints
        "f6c6a03eb79f0ec5366185431bea54dd1422b6c16f50acf4a853b59fea2c6970",  # the one with which nano was trained
    }
)


@dataclass(frozen=True)
class MediaSpan:
    """The place of a picture or clip in the conversation, and of its placeholders in the prompt."""

    kind: Literal["image", "video"]
    message: int  # index of its message
    part: int  # index of the part in that message
    start: int  # index of its first placeholder in input_ids
    count: int  # placeholders = merged tokens


@dataclass(frozen=True, eq=False)
class EncodedChat:
    """The ids of a conversation, with placeholders expanded."""

    input_ids: np.ndarray  # (L,) int64
    media: tuple[MediaSpan, ...]  # in the order of the prompt


class ChatTemplate:
    """A compiled template. Rendering is thread-safe."""

    def __init__(self, source: str, origin: str = "the chat template") -> None:
        """Compiles Jinja source, with the settings of transformers. Raises UserError.

        A template other than the known ones runs in a process of its own, with limits of time and memory.
        """
        self.source = source
        self.origin = origin  # the name of the file, for error messages
        if len(source) > MAX_TEMPLATE:
            raise UserError(f"{origin} holds a template of {len(source):,} characters; take it again from its source.")
        self._template, self._process = None, None
        if _digest(source) in _KNOWN_TEMPLATES:
            self._template, opened = template_worker.opening(source)
        else:
            self._process = TemplateProcess(source)
            opened = self._process.open()
        if "text" not in opened:
            reason = opened.get("invalid") or opened["broken"]
            raise UserError(f"{origin} is not a valid Jinja template ({reason}); take it again from its source.")

    @classmethod
    def from_directory(cls, path: str | Path) -> ChatTemplate:
        """Reads chat_template.jinja, chat_template.json or tokenizer_config.json, the first that supports pictures.

        Without any of them it is Qwen2-VL's own template. Raises UserError for a broken file.
        """
        directory = Path(path)
        for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
            file = directory / name
            if file.exists() and (source := _template_of(file)) and IMAGE_PAD in source:
                return cls(source, name)
        return cls(BUILT_IN_TEMPLATE, "the built-in chat template")

    def render(
        self, messages: Sequence[dict[str, Any]], *, add_vision_id: bool = False, add_generation_prompt: bool = True
    ) -> str:
        """The prompt as text. `messages` are dicts of a role, and of content as a string or a list of parts.

        Raises UserError, with the template's message, where it refuses the conversation.
        """
        request = {
            "messages": list(messages),
            "add_vision_id": add_vision_id,
            "add_generation_prompt": add_generation_prompt,
        }
        if self._process is not None:
            answer = self._process.render(request)
        else:
            assert self._template is not None
            answer = template_worker.reply(self._template, request)
        if "refused" in answer:
            raise UserError(f"{self.origin} refuses this conversation: {answer['refused']}.")
        if "text" not in answer:
            raise UserError(
                f"{self.origin} cannot lay out this conversation ({answer.get('broken') or answer['invalid']})."
            )
        return answer["text"]


def encode_chat(
    messages: Sequence[Message],
    template: ChatTemplate,
    tokenizer: Tokenizer,
    *,
    placeholders: Sequence[int],
    add_vision_id: bool = False,
    add_generation_prompt: bool = True,
) -> EncodedChat:
    """The ids of a conversation. `placeholders` are the merged tokens of each picture and clip, in their order."""
    texts = _Sentinels()
    conversation = [
        {"role": message.role, "content": _content(message, texts, restore=message.role == "assistant")}
        for message in messages
    ]
    places: list[tuple[Literal["image", "video"], int, int]] = [
        ("video" if isinstance(part, Video) else "image", m, p)
        for m, message in enumerate(messages)
        for p, part in enumerate(message.parts)
        if not isinstance(part, Text)
    ]
    if len(places) != len(placeholders):
        raise ValueError(f"{len(placeholders)} placeholder counts for {len(places)} pictures and clips")
    rendered = template.render(conversation, add_vision_id=add_vision_id, add_generation_prompt=add_generation_prompt)
    pieces, seen = _split(rendered, texts, tokenizer, placeholders)
    if [kind for kind, _ in seen] != [kind for kind, _, _ in places]:
        raise UserError(
            f"{template.origin} writes {len(seen)} pictures and clips where the conversation holds {len(places)}, "
            "or in another order; use the checkpoint's own chat template."
        )
    if texts.unused:
        raise UserError(f"{template.origin} leaves out a part of this conversation; use the checkpoint's own template.")
    ids, starts = tokenizer.encode_pieces(pieces)
    media = tuple(
        MediaSpan(kind, m, p, start=starts[piece], count=count)
        for (kind, m, p), (_, piece), count in zip(places, seen, placeholders, strict=True)
    )
    return EncodedChat(ids, media)


_SENTINEL = "x([0-9a-f]{32})n([0-9]+)x"  # the nonce of the conversation, the number of the text


class _Sentinels:
    """Stand-ins for texts: letters and digits, which templates do not change, with a random part against guessing."""

    def __init__(self) -> None:
        self._nonce = secrets.token_hex(16)
        self._texts: list[tuple[str, bool]] = []
        self.unused: set[int] = set()

    def hide(self, text: str, restore: bool) -> str:
        """The stand-in of a text. With `restore`, grounding tokens in the text become special."""
        self._texts.append((text, restore))
        self.unused.add(len(self._texts) - 1)
        return f"x{self._nonce}n{len(self._texts) - 1}x"

    def take(self, nonce: str, index: int) -> tuple[str, bool] | None:
        """The text of a stand-in; None if it is not of this conversation."""
        if nonce != self._nonce:
            return None
        self.unused.discard(index)
        return self._texts[index]


def _content(message: Message, texts: _Sentinels, restore: bool) -> str | list[dict[str, str]]:
    """The content of a message for the template: a string if it is text only, which every template accepts."""

    def hidden(part: Text) -> str:
        return texts.hide(part.text, restore or isinstance(part, Region))

    written = [part for part in message.parts if isinstance(part, Text)]
    if len(written) == len(message.parts):
        regions = any(isinstance(part, Region) for part in written)
        return "".join(map(hidden, written)) if regions else texts.hide(message.text, restore)
    return [
        {"type": "text", "text": hidden(part)}
        if isinstance(part, Text)
        else {"type": "video" if isinstance(part, Video) else "image"}
        for part in message.parts
    ]


def _split(
    rendered: str, texts: _Sentinels, tokenizer: Tokenizer, placeholders: Sequence[int]
) -> tuple[list[str | SpecialRun], list[tuple[str, int]]]:
    """Splits the rendered prompt into texts and special tokens, and lists the placeholders as (kind, piece index)."""
    pieces: list[str | SpecialRun] = []
    run: list[str] = []
    seen: list[tuple[str, int]] = []

    def put(special: SpecialRun) -> None:
        if text := "".join(run):
            pieces.append(text)
        run.clear()
        pieces.append(special)

    at = 0
    for found in re.finditer("|".join([_SENTINEL, *tokenizer.special_patterns]), rendered):
        run.append(rendered[at : found.start()])
        at = found.end()
        if found[1] is not None:
            text, restore = texts.take(found[1], int(found[2])) or (found[0], False)
            for piece in _grounded(text, tokenizer) if restore else [text]:
                if isinstance(piece, SpecialRun):
                    put(piece)
                else:
                    run.append(piece)
        elif found[0] in (IMAGE_PAD, VIDEO_PAD):
            count = placeholders[len(seen)] if len(seen) < len(placeholders) else 1
            put(SpecialRun(found[0], count))
            seen.append(("image" if found[0] == IMAGE_PAD else "video", len(pieces) - 1))
        else:
            put(SpecialRun(found[0]))
    run.append(rendered[at:])
    if text := "".join(run):
        pieces.append(text)
    return pieces, seen


def answer_ids(text: str, tokenizer: Tokenizer) -> np.ndarray:
    """The ids (A,) int64 of an answer that follows its prompt: grounding tokens are special, all else is text."""
    return tokenizer.encode_pieces(_grounded(text, tokenizer))[0]


def _grounded(text: str, tokenizer: Tokenizer) -> list[str | SpecialRun]:
    """The text of an answer, split at its grounding tokens."""
    tokens = "|".join(re.escape(token) for token in GROUNDING_TOKENS if tokenizer.has_special(token))
    pieces = re.split(f"({tokens})", text) if tokens else [text]
    return [SpecialRun(piece) if i % 2 else piece for i, piece in enumerate(pieces)]


def _template_of(file: Path) -> str | None:
    """The Jinja source in one of the files that may contain it; None if it does not. Raises UserError."""
    if file.suffix == ".jinja":
        return read_text(file)
    source = read_json_object(file).get("chat_template")
    if isinstance(source, list):  # several named templates
        source = next((t.get("template") for t in source if isinstance(t, dict) and t.get("name") == "default"), None)
    return source if isinstance(source, str) else None


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
