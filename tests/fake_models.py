"""Models to choose from that take no time: engines of the tests, and a memory of a few bytes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NoReturn

from qwen2vl_demo.engine.models.offers import Offer
from qwen2vl_demo.engine.models.pool import Say
from qwen2vl_demo.engine.protocol import Abilities
from qwen2vl_demo.errors import UserError
from tests.fake_engine import FakeEngine


class NamedEngine(FakeEngine):
    """Says its name in its answers' numbers, and nowhere else."""

    def __init__(self, name: str) -> None:
        super().__init__(step=0.0, encode=0.0)
        self.name = name  # type: ignore[misc]


class PlainEngine(NamedEngine):
    """Answers, and can do nothing else; what it was trained for is little."""

    abilities = Abilities(attention=False, positions=False, resumes=False, regions=False)
    pixel_limits = (4 * 28 * 28, 64 * 28 * 28)
    max_frames = 8

    def laboratory(self) -> NoReturn:  # type: ignore[override]
        raise UserError("Nobody can look into this model.")


class FakeLoader:
    """Implements `pool.Loader`. Loads NamedEngines of these sizes, by name, into `memory` bytes; "plain" is one that
    can do less."""

    def __init__(self, sizes: dict[str, int], memory: int = 10) -> None:
        self.sizes, self.memory = sizes, memory
        self.broken: set[str] = set()  # cannot be read, as is seen before
        self.failing: set[str] = set()  # fail while they are loaded
        self.taken: dict[str, int] = {}  # bytes, by name
        self.loads: list[str] = []
        self.collected = 0
        self.step = threading.Event()  # loading goes on when it is set
        self.step.set()

    def offers(self) -> Sequence[Offer]:
        return [Offer(name, "directory", f"/secret/place/{name}") for name in self.sizes]

    def need(self, offer: Offer) -> int | None:
        if offer.key in self.broken:
            raise UserError(f"{offer.name} lacks config.json; take it again.")
        return self.sizes[offer.key]

    def free(self) -> int | None:
        return self.memory - sum(self.taken.values())

    def check(self, offer: Offer) -> None:
        self.need(offer)

    def load(self, offer: Offer, say: Say) -> NamedEngine:
        self.loads.append(offer.key)
        say("Loading", 0.25)
        assert self.step.wait(60)
        if offer.key in self.failing:
            raise UserError(f"{offer.name} is damaged; take it again.")
        self.taken[offer.key] = self.sizes[offer.key]
        return PlainEngine(offer.key) if offer.key == "plain" else NamedEngine(offer.key)

    def collect(self) -> None:
        self.collected += 1
