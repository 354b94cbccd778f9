"""What went wrong with a server, in two sentences: one for the visitor and one for whoever runs the program.

The visitor is told what they can do. The operator's sentence has the address, the server's own reason and the flag or
the server's setting to change; it goes to the log, and the command line prints it. Neither holds the key.
"""

from __future__ import annotations

import logging
from typing import Literal

import httpx

from qwen2vl_demo.engine.remote.reasons import for_visitors
from qwen2vl_demo.engine.remote.server import WRITE_SECONDS, Server, shown
from qwen2vl_demo.errors import UserError

# For whoever runs a page; the command line prints the same itself, and silences this.
log = logging.getLogger("qwen2vl_demo.server")


Cause = Literal[
    "not up", "loading", "no model", "key", "address", "busy", "silent", "broken", "failed", "memory", "no answer",
    "too long", "too large", "too many", "no pictures", "no video", "refused",
]  # fmt: skip

OPERATOR = "whoever runs this page finds the reason in its log"


class ServerFailure(UserError):
    """A failure of the server or of the way to it. Its text is for visitors."""

    def __init__(self, sentence: str, *, for_operator: str, cause: Cause) -> None:
        super().__init__(sentence, for_operator=for_operator)
        self.cause: Cause = cause


def tell_operator(sentence: str) -> None:
    """Tells whoever runs the page what its visitors cannot change."""
    log.warning("%s", sentence)


def not_up(server: Server, how: str, *, loading: bool = False) -> ServerFailure:
    """Nothing listens yet, or what listens says that the model is not ready."""
    doing = "is still loading the model" if loading else "does not answer at the moment"
    return failure(
        "loading" if loading else "not up",
        f"The model's server {doing}. Ask again in a minute.",
        f"No model is ready at {server.shown} ({how}); start the server, or correct --engine-url.",
    )


def broken(server: Server, how: str) -> ServerFailure:
    return failure(
        "broken",
        "The connection to the model's server broke before the answer was finished. Ask again.",
        f"The connection to {server.shown} broke before the answer was finished ({how}); if it happens again, look at "
        "the log of the server at --engine-url.",
    )


def no_completion(server: Server, sample: str) -> ServerFailure:
    """What came is not what an OpenAI-compatible server sends."""
    return wrong_address(server, f"it sent something that is no chat completion ({sample[:80]!r})")


def no_answer(server: Server, why: str, *, advice: str = "Ask again, or in other words.") -> ServerFailure:
    """The answer ended without a word. `why` continues a sentence, and may hold the server's words."""
    return failure(
        "no answer",
        f"The model's server ended its answer before the first word: {for_visitors(why)}. {advice}",
        f"{server.shown} ended its answer before the first word: {why}.",
    )


def too_much(server: Server, what: str) -> ServerFailure:
    """The server sent more than any answer has."""
    return failure(
        "broken",
        f"The model's server sent {what}, which no answer has. Ask again.",
        f"{server.shown} sent {what}, which no answer has; look at the log of that server, or correct --engine-url.",
    )


def unreachable(server: Server, error: Exception, seconds: float | None = None) -> ServerFailure:
    """The exception for an error of the HTTP client. `seconds` is how long it waited, where not `server.timeout`."""
    text = shown(str(error)) if "://" in str(error) else str(error)
    if isinstance(error, httpx.ConnectError) and _refused(error):
        return not_up(server, "connection refused")
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        reason = "no answer" if isinstance(error, httpx.ConnectTimeout) else text or "refused"
        return failure(
            "address",
            f"The model's server cannot be reached. Ask again later; {OPERATOR}.",
            f"No server answers at {server.shown} ({reason}); start it, or correct --engine-url.",
        )
    if isinstance(error, httpx.WriteTimeout):
        return broken(server, f"it took none of the request for {WRITE_SECONDS:g} seconds")
    if isinstance(error, httpx.TimeoutException):
        waited = server.timeout if seconds is None else seconds
        longer = "overloaded, or allow it more with --engine-timeout" if seconds is None else "overloaded or starting"
        return failure(
            "silent",
            f"The model's server said nothing for {waited:g} seconds. Ask again, with fewer or smaller "
            "pictures if it had many to read.",
            f"{server.shown} was silent for {waited:g} seconds; look whether it is {longer} (and check --engine-url).",
        )
    if isinstance(error, httpx.HTTPError):
        return broken(server, text or type(error).__name__)
    return wrong_address(server, f"it cannot be asked ({text or type(error).__name__}), perhaps because of a proxy")


def failure(cause: Cause, sentence: str, for_operator: str) -> ServerFailure:
    return ServerFailure(sentence, for_operator=for_operator, cause=cause)


def wrong_address(server: Server, why: str) -> ServerFailure:
    return failure(
        "address",
        f"The model's server does not understand this page. Only whoever runs the page can change that; {OPERATOR}.",
        f"{server.shown} is no OpenAI-compatible server: {why}; correct --engine-url.",
    )


def _refused(error: BaseException | None) -> bool:
    """Whether a connection was refused, which httpx tells only by the exceptions that led to its own."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        if isinstance(error, BaseExceptionGroup):  # a name with several addresses
            return all(_refused(each) for each in error.exceptions)
        error = error.__cause__ or error.__context__
    return False
