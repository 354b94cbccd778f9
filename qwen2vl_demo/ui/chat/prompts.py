"""The prompt of a conversation, prepared once: what the preview draws is what is streamed, explained and kept.

Preparing opens the media, cuts them into patches and computes the positions. Everything on the page that needs the
prompt of a question asks here, so that one question is prepared once, however many parts of the page show it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.lru_cache import LRUCache
from qwen2vl_demo.processing.messages import Message
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.chat.conversation import Conversation, to_messages
from qwen2vl_demo.ui.media_store import MediaStore

if TYPE_CHECKING:
    from qwen2vl_demo.engine.protocol import Prompt

CACHE_BYTES = 64 * 2**20  # pixels and positions of the prompts that are kept; the processor shares the pixels


@dataclass(frozen=True, eq=False)
class PreparedPrompt:
    """What goes into the engine for one question: the messages, and what the engine made of them."""

    messages: tuple[Message, ...]
    prompt: Prompt

    @property
    def trace(self) -> PromptTrace:
        return self.prompt.trace


class Prompts:
    """Prepares prompts and keeps the latest ones. Safe for several threads.

    What is kept of a conversation, here and in the engine, is found under its `cache_salt` only; with `share_cache`
    conversations share what they have in common.
    """

    def __init__(
        self, engine: Engine, store: MediaStore, max_bytes: int = CACHE_BYTES, *, share_cache: bool = False
    ) -> None:
        self._engine, self._store, self._share_cache = engine, store, share_cache
        self._prepared: LRUCache[tuple[object, ...], PreparedPrompt] = LRUCache(max_bytes, _size)

    def forget(self, salt: str) -> None:
        """Frees what is kept of a conversation, here and in the engine."""
        self._prepared.remove(lambda key: key[0] == salt)
        self._engine.forget(salt)

    def prepare(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event | None = None
    ) -> PreparedPrompt:
        """The prompt that asks for an answer to the last turn, whether or not it was answered already.

        Raises UserError for a conversation that cannot become a prompt, an empty one included, and Cancelled once
        `cancel` is set.
        """
        question, key = self._key(conversation, options)
        salt = key[0]
        if (prepared := self._prepared.get(key)) is not None:
            return prepared
        messages = to_messages(question, self._store.path)
        prompt = self._engine.prompt(messages, replace(options, cache_salt=salt), cancel)
        prepared = PreparedPrompt(tuple(messages), prompt)
        self._prepared.put(key, prepared)
        return prepared

    def drop(self, conversation: Conversation, options: GenerationOptions) -> None:
        """The engine has prepared this prompt otherwise: a server turned out not to take clips, for instance."""
        self._prepared.pop(self._key(conversation, options)[1])

    def _key(
        self, conversation: Conversation, options: GenerationOptions
    ) -> tuple[Conversation, tuple[str, Conversation, object, bool, object]]:
        """The conversation without its last answer, and the key of its prompt."""
        question = conversation.answered(None) if conversation.turns else conversation
        salt = "" if self._share_cache else conversation.cache_salt
        # How the answer is sampled does not change the prompt.
        return question, (salt, question, options.media, options.add_vision_id, options.positions)


def _size(prepared: PreparedPrompt) -> int:
    """Bytes of the arrays that a prompt holds."""
    trace = prepared.trace
    pixels = sum(
        m.frames.nbytes + (m.thumbnail.nbytes if m.thumbnail is not None else 0) for m in prepared.prompt.media
    )
    return pixels + trace.input_ids.nbytes + trace.position_ids.nbytes
