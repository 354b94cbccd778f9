"""What is known of a server while it may be restarted, with another model or none: it is looked at again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from qwen2vl_demo.engine.protocol import Chunk
from qwen2vl_demo.engine.remote.completion import Completion
from qwen2vl_demo.engine.remote.discovery import AGAIN_SECONDS, LOOK_SECONDS, look
from qwen2vl_demo.engine.remote.failures import ServerFailure
from qwen2vl_demo.engine.remote.server import Server
from qwen2vl_demo.engine.remote.server_tokenizer import NotAvailable, server_processor
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.processor import Processor

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 60.0  # after which the server is asked again what it serves, before a question
RESTART_SECONDS = 120.0  # for which a question waits for a server that has gone away


class WatchedServer:
    """The server as it was last seen, and its own tokenizer where it offers one."""

    def __init__(
        self,
        server: Server,
        processor: Processor,
        *,
        exact_text: bool,
        wanted_model: str | None,
        changed: Callable[[Server], None],
    ) -> None:
        """`exact_text` and `wanted_model` are those of `RemoteEngine`. `changed` is told of a server that serves
        another model than before."""
        self.server = server
        self.counting: Processor | None = None  # with the server's own tokenizer, where it offers that
        self._processor, self._exact_text, self._changed = processor, exact_text, changed
        self._wanted = replace(server, model=wanted_model or "")
        self._looked = time.monotonic()

    @property
    def counts_exactly(self) -> bool:
        """Whether the ids of text are the server's, and not estimates with nano's tokenizer."""
        return self._exact_text or self.counting is not None

    def answered(self) -> None:
        """The server has just answered, so it is as it was."""
        self._looked = time.monotonic()

    def look_again(self, *, now: bool = False) -> bool:
        """Reads the server's model and context again if that is long ago, since it may have been restarted.

        Returns whether the server answered.
        """
        if not now and time.monotonic() - self._looked < LOOK_AGAIN_SECONDS:
            return True
        try:
            found = look(self._wanted, LOOK_SECONDS)
        except UserError as problem:  # the question itself will tell
            log.info("%s", problem.for_operator)
            return False
        self._looked = time.monotonic()
        before, self.server = self.server, found
        if before.model != found.model:
            log.warning("%s serves %s now, and not %s", found.shown, found.model, before.model)
            self._changed(found)
        if before.model != found.model or (self.counting is None and not self._exact_text):
            self.ask_for_tokenizer()
        return True

    def until_up(
        self, failure: ServerFailure, began: float, answer: Completion, cancel: threading.Event
    ) -> Iterator[Chunk]:
        """Waits until the server lists its models, and says so. Raises `failure` when that takes too long."""
        limit = self.server.timeout if failure.cause == "loading" else min(self.server.timeout, RESTART_SECONDS)
        while True:
            passed = time.monotonic() - began
            if passed + AGAIN_SECONDS > limit:
                raise failure
            doing = "is loading the model" if failure.cause == "loading" else "does not answer"
            yield Chunk(status=f"The server {doing}; waiting for it ({passed:.0f} s)")
            paused = time.monotonic()
            stopped = cancel.wait(AGAIN_SECONDS)
            up = not stopped and self.look_again(now=True)
            answer.waited(time.monotonic() - paused)
            if stopped or up:
                return

    def ask_for_tokenizer(self) -> None:
        """Takes the server's own tokenizer if it offers one and ours is not its."""
        self.counting = None
        if self._exact_text or self.server.software != "vLLM":
            return
        try:
            self.counting = server_processor(self.server, self._processor)
        except NotAvailable as problem:
            log.info("%s: %s", self.server.shown, problem)

    def lost_tokenizer(self, problem: NotAvailable) -> None:
        """The counts are estimates until the server is looked at again, which is due."""
        self.counting = None
        self._looked = 0.0
        log.warning("%s does not tokenize any more: %s", self.server.shown, problem)
