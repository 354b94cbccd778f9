"""What a server takes of a request: known for some software, learnt from the refusals of any.

A server that does not know a field either refuses the request, which is then asked again without the field, or ignores
it in silence. Either way the setting behind the field does not act, and the page says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

# The fields without which a request is still one, and the setting of the page that each carries, if any. A setting
# acts as long as one of its fields is taken.
SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "repetition_penalty": "the repetition penalty",  # vLLM, SGLang
    "repeat_penalty": "the repetition penalty",  # llama.cpp, LM Studio
    "seed": "the seed",
    "max_tokens": "the answer length",
    "max_completion_tokens": "the answer length",  # OpenAI's newer name
    "generation_config": "",  # transformers; repeats the others
    "min_p": "",
    "stream_options": "",
    "skip_special_tokens": "",
    "mm_processor_kwargs": "",
    "cache_salt": "",
}

# Fields that are ignored without a word, by software.
IGNORED = {
    "Ollama": frozenset({"top_k", "repetition_penalty", "repeat_penalty", "min_p"}),
}

_TOO_LONG = re.compile(r"context|max_model_len|too long|maximum length|longer than", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """What one server takes for one model."""

    refused: frozenset[str] = frozenset()  # fields that it refuses
    ignored: frozenset[str] = frozenset()  # fields that it takes and does not obey
    video: bool = True  # False: it takes pictures only, so that a clip is sent as its frames

    @classmethod
    def of(cls, software: str) -> Dialect:
        """What is known of a server before it is asked anything."""
        # transformers serve always takes 32 frames of a file, however many it has.
        return cls(ignored=IGNORED.get(software, frozenset()), video=software != "transformers")

    def without(self, fields: frozenset[str]) -> Dialect:
        return replace(self, refused=self.refused | fields)

    def without_video(self) -> Dialect:
        return replace(self, video=False)

    def spoken(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body without what the server refuses. `max_tokens` then goes by its newer name."""
        said = {name: value for name, value in body.items() if name not in self.refused}
        if "max_tokens" in self.refused and "max_completion_tokens" not in self.refused and "max_tokens" in body:
            said["max_completion_tokens"] = body["max_tokens"]
        return said

    def inactive(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """The settings in a body of `request_body` that do not act, in the order of SETTINGS."""
        lost = self.refused | self.ignored
        taken = {SETTINGS.get(name, "") for name in self.spoken(body) if name not in lost}
        wanted = dict.fromkeys(SETTINGS[name] for name in SETTINGS if name in body and name in lost)
        return tuple(setting for setting in wanted if setting and setting not in taken)


def refused_fields(body: Mapping[str, Any], reason: str) -> frozenset[str]:
    """The fields of a body that a server's reason for a refusal names. Empty if it is about something else."""
    if _TOO_LONG.search(reason):
        return frozenset()
    words = set(re.findall(r"\w+", reason))
    return frozenset(name for name in SETTINGS if name in body and name in words)
