"""Questions that are asked of real servers, and of what they answered when they were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import PIL.Image

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.engine.remote.engine import RemoteEngine
from qwen2vl_demo.engine.remote.failures import ServerFailure
from qwen2vl_demo.processing.messages import Image, Message, Text

RED = PIL.Image.new("RGB", (200, 150), (200, 30, 30))
BLUE = PIL.Image.new("RGB", (220, 160), (20, 30, 220))
SMALL = PIL.Image.new("RGB", (120, 90), (20, 30, 220))  # nano's min_pixels is above it, the released one below


@dataclass(frozen=True)
class Scenario:
    """A conversation and how its answer is generated; `model` None takes the server's own."""

    messages: Sequence[Message]
    max_new_tokens: int = 24
    model: str | None = None


SCENARIOS = {
    "text": Scenario([Message("user", "What can you do? Grüße 🐈 <|im_end|> 2 < 3")]),
    "picture": Scenario([Message("user", [Image(RED), Text("What colour is this?")])]),
    "two turns": Scenario(
        [
            Message("user", [Image(RED), Text("What colour is this?")]),
            Message("assistant", "It is red."),
            Message("user", [Image(BLUE), Text("And this?")]),
        ]
    ),
    "small picture": Scenario([Message("user", [Image(SMALL), Text("What colour is this?")])]),
    "cut": Scenario([Message("user", "Hello.")], max_new_tokens=3),
    "another model": Scenario([Message("user", "Hello.")], model="no-such-model"),
}


def outcome(engine: RemoteEngine, scenario: Scenario) -> dict[str, Any]:
    """What came of a scenario: the result and what the page showed before, or the cause of the failure."""
    options = GenerationOptions(max_new_tokens=scenario.max_new_tokens)
    shown = len(engine.prepare(scenario.messages, options))
    try:
        result = list(engine.stream(scenario.messages, options))[-1].result
    except ServerFailure as failure:
        return {"failure": failure.cause}
    assert result is not None
    return {
        "text": result.text,
        "stop_reason": result.stop_reason,
        "prompt_tokens": result.prompt_tokens,
        "shown_tokens": shown,
        "new_tokens": result.new_tokens,
        "remark": result.remark,
    }
