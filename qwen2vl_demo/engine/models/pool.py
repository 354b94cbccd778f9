"""Which models are loaded. Each visitor has chosen one; a model stays as long as somebody has, and a while longer.

The first one, with which every visitor begins, always stays. One model is loaded at a time, and only where the memory
suffices without those that others use. Whoever chooses one goes on with the old one until the new one is there. Where
only one of the two fits, the old one is let go first, and loaded again if the new one turns out to be broken.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes

if TYPE_CHECKING:
    from qwen2vl_demo.engine.models.offers import Offer

log = logging.getLogger(__name__)

FIRST = ""  # the key of the model with which every visitor begins
GRACE = 60.0  # seconds that a model nobody uses stays: a page may be loading again
LOADING = "Another model is being loaded; try again when that is done."
GONE = "This model is not offered any more; choose another one."


class AnotherIsLoading(UserError):
    """One model is loaded at a time."""

    def __init__(self) -> None:
        super().__init__(LOADING)


Say = Callable[[str, float | None], None]  # what is done, and which share of it is done already, where that is known
T = TypeVar("T")


class Loader(Protocol):
    """What a pool of models needs to know of loading."""

    def offers(self) -> Sequence[Offer]:
        """All that may be loaded now."""
        ...

    def need(self, offer: Offer) -> int | None:
        """Bytes that it would take in `free`'s memory; None where that is not known yet, 0 for one that runs elsewhere.

        Raises UserError for one that cannot be read.
        """
        ...

    def free(self) -> int | None:
        """Bytes that a model may take now; None where the device does not tell."""
        ...

    def check(self, offer: Offer) -> None:
        """Raises UserError for one that is incomplete, as far as is known without reading its weights."""
        ...

    def load(self, offer: Offer, say: Say) -> Engine:
        """Raises UserError."""
        ...

    def collect(self) -> None:
        """Gives the memory of a model back to which nothing refers any more."""
        ...


@dataclass
class _Loaded(Generic[T]):
    made: T
    offer: Offer
    need: int  # bytes, as they were predicted
    used: float  # when somebody was last seen to use it, by the clock of `time.monotonic`


class ModelPool(Generic[T]):
    """What was made of each loaded model. Safe for several threads."""

    def __init__(
        self, first: T, loader: Loader, make: Callable[[Engine], T], in_use: Callable[[], Sequence[str]]
    ) -> None:
        """`in_use` gives the key of the model of each visitor, `make` what is kept of an engine."""
        self._first, self._loader, self._make, self._in_use = first, loader, make, in_use
        self._loaded: dict[str, _Loaded[T]] = {}
        self._borrowed: Counter[str] = Counter()
        self._lock = threading.RLock()  # of `_loaded`, and of who uses what
        self._busy = threading.Lock()  # held while a model is loaded

    def get(self, key: str) -> T | None:
        """What was made of a model; None if it is not loaded."""
        with self._lock:
            loaded = self._loaded.get(key)
            return self._first if key == FIRST else loaded.made if loaded else None

    def take(self, key: str, assign: Callable[[], None]) -> bool:
        """Calls `assign`, which makes a visitor use a model, if that is loaded; whether it is."""
        with self._lock:
            if self.get(key) is None:
                return False
            assign()
            return True

    def loaded(self) -> Mapping[str, T]:
        with self._lock:
            return {FIRST: self._first} | {key: loaded.made for key, loaded in self._loaded.items()}

    def load(self, key: str, mine: str, assign: Callable[[], None], say: Say) -> None:
        """Calls `assign` once the model is there. `mine` is the key of the one that this visitor uses until then.

        Raises UserError, with everything as it was, for a model that cannot be loaded or does not fit, and
        AnotherIsLoading.
        """
        if self.take(key, assign):
            return
        offer = next((offer for offer in self._loader.offers() if offer.key == key), None)
        if offer is None:
            raise UserError(GONE)
        if not self._busy.acquire(blocking=False):
            raise AnotherIsLoading
        try:
            self._load(offer, mine, assign, say)
        finally:
            self._busy.release()

    def borrow(self, key: str, say: Say) -> T:
        """What was made of a model that is to answer beside those that visitors have chosen. It counts as used until
        `give_back`, once for each call. Only models that nobody uses make room for it. Raises UserError as `load`."""
        self.load(key, FIRST, lambda: self._borrowed.update([key]), say)
        made = self.get(key)
        assert made is not None  # it counts as used
        return made

    def give_back(self, key: str) -> None:
        with self._lock:
            self._borrowed[key] -= 1

    def tidy(self) -> None:
        """Lets those go that nobody has used for a while."""
        with self._lock:
            now, used = time.monotonic(), set(self._users())
            for key in used & self._loaded.keys():
                self._loaded[key].used = now
            unused = [k for k, loaded in self._loaded.items() if k not in used and now - loaded.used > GRACE]
            for key in unused:
                del self._loaded[key]
        if unused:
            self._loader.collect()

    def _load(self, offer: Offer, mine: str, assign: Callable[[], None], say: Say) -> None:
        self._loader.check(offer)
        need = self._loader.need(offer) or 0
        left = self._make_room(offer, need, mine)
        try:
            made = self._make(self._loader.load(offer, say))
        except Exception:
            if left is not None:
                self._bring_back(left, say)
            raise
        with self._lock:
            self._loaded[offer.key] = _Loaded(made, offer, need, time.monotonic())
            assign()

    def _make_room(self, offer: Offer, need: int, mine: str) -> Offer | None:
        """Lets as many models go as are in the way: those that nobody uses, and at last the visitor's own if no other
        visitor has it, which is returned. Raises UserError, and lets none go, where that would not suffice."""
        free = self._loader.free()
        if free is None or need <= free:
            return None
        with self._lock:
            users = self._users()
            order = sorted(self._loaded, key=lambda key: (key == mine, self._loaded[key].used))
            may_go = [key for key in order if users[key] <= (key == mine)]
            going: list[str] = []
            for key in may_go:
                if need <= free + sum(self._loaded[key].need for key in going):
                    break
                going.append(key)
            if need > free + sum(self._loaded[key].need for key in going):
                raise UserError(self._refusal(offer, need, free, set(self._loaded) - set(may_go)))
            left = self._loaded[mine].offer if mine in going else None
            for key in going:
                del self._loaded[key]
        self._loader.collect()
        return left

    def _users(self) -> Counter[str]:
        """How many use each model."""
        return Counter(self._in_use()) + self._borrowed

    def _refusal(self, offer: Offer, need: int, free: int, others: set[str]) -> str:
        sentence = f"{offer.name} takes {format_bytes(need)} of memory, and {format_bytes(free)} are free."
        if others:
            taken = format_bytes(sum(self._loaded[key].need for key in others))
            sentence += f" Models that are in use take {taken}; try again later, or choose a smaller one."
        else:
            sentence += " Choose a smaller one."
        return sentence

    def _bring_back(self, offer: Offer, say: Say) -> None:
        """Loads the visitor's own model again, which had to make room; if that fails too, the first one takes over."""
        say(f"Loading {offer.name} again", None)
        try:
            made = self._make(self._loader.load(offer, say))
        except Exception as problem:
            log.warning("%s could not be loaded again: %s", offer.source, type(problem).__name__)
            return
        with self._lock:
            need = self._loader.need(offer) or 0
            self._loaded[offer.key] = _Loaded(made, offer, need, time.monotonic())
