"""The laboratory of a local engine: forced passes over a finished answer, from the caches of its conversation.

Nothing here changes the model, the conversation's caches or the chat.

Axes: L tokens of the prompt, A tokens of the answer, M merged tokens of a medium, V vocabulary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from qwen2vl_demo.attention_trace import Word
from qwen2vl_demo.engine.answer_tokens import words_of
from qwen2vl_demo.engine.attention import extend_prompt
from qwen2vl_demo.engine.hiding import answer_log_probabilities, forced_pass, greyed
from qwen2vl_demo.engine.laboratory import TOP, Candidate, Choice, Choices, Likelihood, Way
from qwen2vl_demo.engine.layer_states import hidden_states, layer_logits
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.request_queue import Ticket
from qwen2vl_demo.engine.sampling import Sampler
from qwen2vl_demo.engine.vision_cache import encode_medium
from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.model.kv_cache import KVCache
from qwen2vl_demo.model.qwen2vl import Qwen2VL
from qwen2vl_demo.processing.processor import Processor, Prompt
from qwen2vl_demo.trace import PromptTrace

MAX_CONTINUED = 64  # tokens behind another choice


class LookedInto(Protocol):
    """What of a local engine is needed here; `local.LocalEngine` says what each does."""

    model: Qwen2VL
    processor: Processor
    end_tokens: frozenset[int]

    @property
    def never_sampled(self) -> tuple[int, ...]: ...
    def answer_ids(self, trace: PromptTrace, answer: str) -> tuple[np.ndarray, bool]: ...
    def chosen_word(self, ids: np.ndarray, word: int) -> Word: ...
    def running(
        self, cancel: threading.Event | None, ticket: Ticket | None = None
    ) -> AbstractContextManager[Callable[[], None]]: ...
    def cache_before(
        self, prompt: Prompt, answer: np.ndarray, length: int, check_cancelled: Callable[[], None]
    ) -> tuple[KVCache, int]: ...
    def encoded(self, prompt: Prompt, check_cancelled: Callable[[], None]) -> list[Tensor]: ...
    def continue_from(
        self, prompt: Prompt, given: np.ndarray, options: GenerationOptions, check_cancelled: Callable[[], None]
    ) -> str: ...
    def text_of(self, ids: np.ndarray) -> str: ...
    def remember(self, trace: PromptTrace, answer: str, ids: np.ndarray) -> None: ...


class LocalLaboratory:
    """Implements `protocol.Laboratory` with the model and the caches of an engine."""

    def __init__(self, engine: LookedInto) -> None:
        self._engine = engine

    def likelihood(
        self,
        prompt: Prompt,
        answer: str,
        watched: Collection[int] = (),
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> Likelihood | None:
        engine = self._engine
        ids, exact = engine.answer_ids(prompt.trace, answer)
        try:
            with engine.running(cancel, ticket) as check_cancelled:
                logits, shares = self._forced(prompt, ids, range(len(ids)), check_cancelled, watched)
        except Cancelled:
            return None
        likely = logits.float().log_softmax(-1)[torch.arange(len(ids)), torch.from_numpy(ids)]
        return Likelihood(words_of(ids, engine.processor.tokenizer), likely.cpu().numpy(), shares, exact)

    def likelihood_without(
        self,
        prompt: Prompt,
        answer: str,
        hidden: Collection[int],
        way: Way,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> np.ndarray | None:
        engine = self._engine
        ids, _ = engine.answer_ids(prompt.trace, answer)
        try:
            with engine.running(cancel, ticket) as check_cancelled:
                before, _ = engine.cache_before(prompt, ids[:-1], len(prompt.trace) - 1, check_cancelled)
                vision = engine.encoded(prompt, check_cancelled)
                unchanged = min(hidden, default=len(prompt.trace) - 1)
                if way == "grey":
                    for index, cells in self._cells(prompt, hidden):
                        medium, image = prompt.media[index], engine.processor.image
                        covered = replace(medium, frames=greyed(medium.frames, cells, image))
                        vision[index] = encode_medium(engine.model, covered, image, check_cancelled)
                        unchanged = min(unchanged, prompt.trace.media[index].span[0])
                return answer_log_probabilities(
                    engine.model,
                    prompt,
                    ids,
                    torch.cat(vision) if vision else None,
                    check_cancelled,
                    hidden=hidden if way == "left_out" else (),
                    before=before,
                    unchanged=unchanged,
                )
        except Cancelled:
            return None

    def choices(
        self,
        prompt: Prompt,
        answer: str,
        word: int,
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> Choices | None:
        engine = self._engine
        ids, exact = engine.answer_ids(prompt.trace, answer)
        chosen = engine.chosen_word(ids, word)
        try:
            with engine.running(cancel, ticket) as check_cancelled:
                places = range(chosen.start, chosen.end)
                logits, _ = self._forced(prompt, ids, places, check_cancelled)
        except Cancelled:
            return None
        found = []
        for place, row in zip(places, logits, strict=True):
            seen = np.concatenate([prompt.trace.input_ids, ids[:place]])
            sampler = Sampler(options, torch.from_numpy(seen).to(row.device), engine.never_sampled)
            probabilities, tokens = sampler.distribution(row)
            at = (tokens == int(ids[place])).nonzero()
            share = float(probabilities[at[0, 0]]) if len(at) else 0.0
            found.append(
                Choice(
                    place,
                    self._candidate(int(ids[place]), share),
                    self._candidates(probabilities[:TOP], tokens[:TOP]),
                    int((probabilities > 0).sum()),
                )
            )
        return Choices(chosen, tuple(found), exact)

    def continued(
        self,
        prompt: Prompt,
        answer: str,
        place: int,
        token: int,
        options: GenerationOptions,
        cancel: threading.Event | None = None,
        *,
        ticket: Ticket | None = None,
    ) -> str | None:
        engine = self._engine
        ids, exact = engine.answer_ids(prompt.trace, answer)
        if not 0 <= place < len(ids) or not 0 <= token < engine.model.config.text.vocab_size:
            raise UserError("There is no such token; choose one of those that are shown.")
        if token in engine.never_sampled:
            raise UserError("The model is never let to write this token; choose another one.")
        given = np.concatenate([ids[:place], np.array([token], dtype=np.int64)])
        if token in engine.end_tokens:
            return engine.text_of(ids[:place])
        greedy = replace(options, temperature=0.0, max_new_tokens=MAX_CONTINUED)
        try:
            with engine.running(cancel, ticket) as check_cancelled:
                text = engine.continue_from(prompt, given, greedy, check_cancelled)
        except Cancelled:
            return None
        finally:
            if exact:  # the same text may come of other tokens
                engine.remember(prompt.trace, answer, ids)
        return text

    def layer_words(
        self, prompt: Prompt, token: int, cancel: threading.Event | None = None, *, ticket: Ticket | None = None
    ) -> tuple[tuple[Candidate, ...], ...] | None:
        engine, trace = self._engine, prompt.trace
        if not 0 <= token < len(trace):
            raise UserError("There is no such token in the prompt; choose one of the picture.")
        try:
            with engine.running(cancel, ticket) as check_cancelled:
                cache, _ = engine.cache_before(prompt, trace.input_ids[:0], token, check_cancelled)
                vision = None
                for tokens, medium in zip(engine.encoded(prompt, check_cancelled), trace.media, strict=True):
                    start, end = medium.span
                    if start <= token < end:
                        vision = tokens[token - start : token - start + 1]
                states = hidden_states(engine.model, prompt, token, vision, cache, check_cancelled)
                logits = layer_logits(engine.model, states)  # (layers + 1, V)
                values, found = logits.softmax(-1).topk(min(TOP, logits.shape[1]), dim=-1)
        except Cancelled:
            return None
        return tuple(self._candidates(*row) for row in zip(values.cpu(), found.cpu(), strict=True))

    def _forced(
        self,
        prompt: Prompt,
        ids: np.ndarray,
        places: range,
        check_cancelled: Callable[[], None],
        watched: Collection[int] = (),
    ) -> tuple[Tensor, np.ndarray]:
        """The logits (n, V) from which the tokens of an answer at these places are chosen, and `shares` of them."""
        length = len(prompt.trace)
        queries = range(length - 1 + places.start, length - 1 + places.stop)
        cache, _ = self._engine.cache_before(prompt, ids[:-1], queries.start, check_cancelled)
        sequence = extend_prompt(prompt, ids[:-1])
        return forced_pass(self._engine.model, sequence, queries, cache, watched, check_cancelled)

    def _cells(self, prompt: Prompt, hidden: Collection[int]) -> list[tuple[int, np.ndarray]]:
        """Of each medium that has some of these tokens: its index, and a mask (t, rows, columns) of them."""
        found = []
        for index, medium in enumerate(prompt.trace.media):
            start, end = medium.span
            inside = [token - start for token in hidden if start <= token < end]
            if inside:
                cells = np.zeros(medium.merged_grid, dtype=bool)
                cells.reshape(-1)[inside] = True
                found.append((index, cells))
        return found

    def _candidates(self, probabilities: Tensor, tokens: Tensor) -> tuple[Candidate, ...]:
        return tuple(map(self._candidate, tokens.tolist(), probabilities.tolist()))

    def _candidate(self, token: int, probability: float) -> Candidate:
        return Candidate(token, self._engine.processor.tokenizer.token_text(token), probability)
