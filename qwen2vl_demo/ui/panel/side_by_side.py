"""A question asked in two or three ways side by side, perhaps of different models.

Models that are not loaded are loaded first, one after the other, so that no place in an engine's queue is held
meanwhile. Then all columns join the queues of their engines at once, and how many an engine writes at a time is its own
matter. Each model has the chat prepared by its own processor, and keeps what it computes under the chat's own salt.
What one column cannot do is said there, and the others go on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.chat.prompts import PreparedPrompt
from qwen2vl_demo.ui.chat.streaming import AnswerStream
from qwen2vl_demo.ui.loans import Answering, Lender, Loan
from qwen2vl_demo.ui.panel.columns import MAX_NEW_TOKENS, Variation
from qwen2vl_demo.ui.panel.trials import Trial, streamed
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.worker_threads import WorkerThreads

LOOK = 0.2  # seconds between two looks at how far loading is
NO_POSITIONS = "{} gives tokens their positions itself; only a model that is loaded here can be given other ones."


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Who asks what."""

    session: Session
    conversation: Conversation  # ends with the question
    values: Mapping[str, Any]  # the settings, for the model of the chat
    mine: Answering  # the model of the chat
    lender: Lender | None  # None: there is no other
    threads: WorkerThreads
    cancel: threading.Event

    async def run(self, variations: Sequence[Variation]) -> AsyncGenerator[tuple[Trial, ...], None]:
        """All trials so far, again and again; ends early when `cancel` is set."""
        trials = [Trial(variation, status="Waiting") for variation in variations]
        loans: dict[str, Loan[Answering]] = {}
        streams: list[tuple[int, AnswerStream]] = []
        try:
            for number, variation in enumerate(variations):
                if variation.model is None or self.lender is None:
                    continue
                loan = loans[variation.model] = self.lender.lend(variation.model)
                async for status in self._loading(loan):
                    trials[number] = replace(trials[number], status=status)
                    yield tuple(trials)
                if self.cancel.is_set():
                    return
                if loan.refusal:
                    trials[number] = trials[number].refused(loan.refusal)
            asked = []
            for number, variation in enumerate(variations):
                if trials[number].problem:
                    continue
                loan_of = loans.get(variation.model) if variation.model is not None else None
                answering = loan_of.lent if loan_of is not None and loan_of.lent is not None else self.mine
                try:
                    prepared, options = await self._prepared(variation, answering)
                except UserError as problem:
                    trials[number] = trials[number].refused(problem)
                    continue
                trials[number] = trials[number].of(prepared)
                asked.append((number, answering.engine, prepared, options))
                yield tuple(trials)
            for number, engine, prepared, options in asked:
                streams.append((number, AnswerStream(engine, prepared, options, self.cancel)))
            async for made in streamed(streams, trials, apart=True):
                yield made
            yield tuple(trials)
        finally:
            for _, stream in streams:
                if not stream.ended:
                    stream.close()
            for loan in loans.values():
                loan.end()

    async def _loading(self, loan: Loan[Answering]) -> AsyncGenerator[str, None]:
        """What is done, whenever that has changed, until the model is there, or is not; or `cancel` is set."""
        loading = asyncio.ensure_future(self.threads.run(loan.take))  # goes on when nobody waits for it any more
        said = ""
        while not loading.done() and not self.cancel.is_set():
            if loan.status != said:
                said = loan.status
                yield said
            await asyncio.wait([loading], timeout=LOOK)

    async def _prepared(self, variation: Variation, answering: Answering) -> tuple[PreparedPrompt, Any]:
        options = variation.options
        if variation.model is not None:  # another one has budgets of its own
            read = answering.form.read(answering.form.taken_from(self.mine.form, self.values)).options
            options = replace(options, media=read.media, max_new_tokens=min(read.max_new_tokens, MAX_NEW_TOKENS))
        if options.positions != "mrope" and not answering.engine.abilities.positions:
            raise UserError(NO_POSITIONS.format(answering.engine.name))
        prepared = await self.threads.run_for(
            self.session, answering.prompts.prepare, self.conversation, options, self.cancel
        )
        return prepared, options
