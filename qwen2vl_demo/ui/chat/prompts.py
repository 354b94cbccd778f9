"""The prompt of a conversation, prepared once: what the preview draws is what is streamed, explained and kept.

Preparing opens the media, cuts them into patches and computes the positions. Everything on the page that needs the
prompt of a question asks here, so that one question is prepared once, however many parts of the page show it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation, to_messages
from qwen2vl_demo.ui.media_store import MediaStore

if TYPE_CHECKING:
    from qwen2vl_demo.engine.protocol import Prompt

CACHE_BYTES = 128 * 2**20  # pixels and positions of the prompts that are kept; the processor shares the pixels


@dataclass(frozen=True, eq=False)
class PreparedPrompt:
    """What goes into the engine for one question: the messages, and what the engine made of them."""

    messages: tuple[Message, ...]
    prompt: Prompt

    @property
    def trace(self) -> PromptTrace:
        return self.prompt.trace


class Prompts:
    """Prepares prompts and keeps the latest ones. Safe for several threads."""

    def __init__(self, engine: Engine, store: MediaStore, max_bytes: int = CACHE_BYTES) -> None:
        self._engine, self._store = engine, store
        self._prepared: LRUCache[object, PreparedPrompt] = LRUCache(max_bytes, _size)

    def prepare(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event | None = None
    ) -> PreparedPrompt:
        """The prompt that asks for an answer to the last turn, whether or not it was answered already.

        Raises UserError for a conversation that cannot become a prompt, an empty one included, and Cancelled once
        `cancel` is set.
        """
        question, key = _key(conversation, options)
        if (prepared := self._prepared.get(key)) is not None:
            return prepared
        messages = to_messages(question, self._store.path)
        prepared = PreparedPrompt(tuple(messages), self._engine.prompt(messages, options, cancel))
        self._prepared.put(key, prepared)
        return prepared

    def forget(self, conversation: Conversation, options: GenerationOptions) -> None:
        """The engine has prepared this prompt otherwise: a server turned out not to take clips, for instance."""
        self._prepared.pop(_key(conversation, options)[1])


def _key(conversation: Conversation, options: GenerationOptions) -> tuple[Conversation, object]:
    """The conversation without its last answer, and the key of its prompt."""
    question = conversation.answered(None) if conversation.turns else conversation
    # How the answer is sampled does not change the prompt.
    return question, (question, options.media, options.add_vision_id, options.positions)


def _size(prepared: PreparedPrompt) -> int:
    """Bytes of the arrays that a prompt holds."""
    trace = prepared.trace
    pixels = sum(
        m.frames.nbytes + (m.thumbnail.nbytes if m.thumbnail is not None else 0) for m in prepared.prompt.media
    )
    return pixels + trace.input_ids.nbytes + trace.position_ids.nbytes
