"""Which model answers whom. A tab has one that its visitor chose; without `--models` all have the same.

The parts that depend on an engine exist once for each loaded model (`Parts.of_engine`), so prompts, caches, settings
and maps of one never meet those of another. The rest of the page asks `of` for those of a session.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar, cast

from qwen2vl_demo.engine.models.pool import FIRST, Loader, ModelPool
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.memory import format_bytes
from qwen2vl_demo.ui.chat.answers import BUSY, LOADING
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.loans import Loan
from qwen2vl_demo.ui.panel.eyes_switch import short_name
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.settings_form import KEPT_FIELDS

MAX_KEY = 200  # characters of what a browser may name
AGAIN = 0.5  # seconds until a program that has to wait for another model's loading tries again
MAX_NAMED = 20  # models in one sentence
LOST = "{} is no longer loaded here, and {} would answer now. Send it again, or choose a model above."

T = TypeVar("T")


@dataclass
class Progress:
    """How far the loading of a model is. Written by one thread, read by another."""

    key: str
    says: str = "Loading"
    share: float | None = None  # of the whole; None: not known
    refusal: str = ""  # why it is not there, in the end
    ended: threading.Event = field(default_factory=threading.Event)

    def say(self, says: str, share: float | None) -> None:
        self.says, self.share = says, share


@dataclass(frozen=True)
class Row:
    """One model of the menu."""

    key: str
    name: str
    facts: str = ""  # "takes 4.42 GB", "runs on a server"
    loaded: bool = False
    problem: str = ""  # why it cannot be chosen


class Models:
    """The models of one page."""

    def __init__(self, first: Parts, loader: Loader | None = None) -> None:
        """`first` are the parts of the model with which every visitor begins. Without a `loader` there is no other."""
        self.first, self._loader = first, loader
        self._pool: ModelPool[Parts] | None = None
        if loader is not None:
            self._pool = ModelPool(first, loader, self._made, first.sessions.models)

    @property
    def offered(self) -> bool:
        """Whether visitors may choose."""
        return self._pool is not None

    def of(self, session: Session) -> Parts:
        """The parts of the model that a session has chosen."""
        found = self._pool.get(session.model) if self._pool is not None else None
        return found or self.first

    def part(self, pick: Callable[[Parts], T]) -> T:
        """Stands for a part whose methods take a session first: each is called on that of the session's model."""
        return cast(T, _OfSession(self.of, pick, pick(self.first)))

    def tidy(self) -> None:
        if self._pool is not None:
            self._pool.tidy()

    def begin(self, session: Session, key: str) -> Progress:
        """Reserves the session for another model; `load` it, unless this ended already with a refusal."""
        progress = Progress(key)
        with session.lock:
            if session.run is not None:
                progress.refusal = BUSY
            elif session.loading:
                progress.refusal = LOADING
            else:
                session.loading = True
                session.cancel_side_task()
                return progress
        progress.ended.set()
        return progress

    def load(self, session: Session, progress: Progress) -> None:
        """Gives the session the model that was begun. Runs in a thread; says in `progress` what became of it."""
        assert self._pool is not None
        try:
            self._pool.load(progress.key, session.model, lambda: self._assign(session, progress.key), progress.say)
        except UserError as problem:
            progress.refusal = str(problem)
        except Exception as problem:
            report(problem, "loading a model")
            progress.refusal = FAILED.format("the model")
        finally:
            if self._pool.get(session.model) is None:  # it had to make room, and did not come back
                self._assign(session, FIRST)
            with session.lock:
                session.loading = False
            progress.ended.set()

    @asynccontextmanager
    async def lent(self, name: str) -> AsyncIterator[Parts]:
        """The parts of the model that a program names as the menu does ("": the first one). It is loaded before that,
        where need be, and stays loaded while this is open. Raises UserError."""
        key = await self.first.threads.run(self._key_of, name)
        if self._pool is None or key == FIRST:
            yield self.first
            return
        loan = self.lend(key)
        try:
            await self.first.threads.run(loan.take)
            while loan.lent is None:
                if not loan.may_try_again:
                    raise UserError(loan.refusal)
                await asyncio.sleep(AGAIN)
                await self.first.threads.run(loan.take)
            yield loan.lent
        finally:
            loan.end()

    def take(self, session: Session, key: str) -> str:
        """Gives a session the model that its page shows, which it had before it was lost: the page was loaded again, or
        the app was. Returns a sentence if that one is not loaded, else ""."""
        with session.lock:
            told, session.model_told = session.model_told, True
        if self._pool is None or told or session.model == key:
            return ""
        if self._pool.take(key, lambda: self._assign(session, key)):
            return ""
        return LOST.format(key[:MAX_KEY], self.name(session))

    def name(self, session: Session) -> str:
        return session.model or short_name(self.first.engine.name)

    def names(self) -> dict[str, str]:
        """What visitors call each model that can answer, by key. Reads folders."""
        offers = self._loader.offers() if self._loader is not None else ()
        first = self.first.engine
        named = {FIRST: short_name(first.name)} if first.abilities.answers else {}
        return named | {offer.key: offer.name for offer in offers}

    def lend(self, key: str) -> Loan[Parts]:
        """A model that is to answer beside the one that a visitor has chosen. Take it in a thread, and end it."""
        assert self._pool is not None
        return Loan(self._pool, key)

    def needs(self, keys: Collection[str]) -> str:
        """What those models would take that are not loaded, and what is free; or what is wrong with them. Reads the
        small files of checkpoints."""
        assert self._pool is not None and self._loader is not None
        free = self._loader.free()
        said: list[str] = []
        takes: list[str] = []
        missing = set(keys) - self._pool.loaded().keys()
        for offer in (offer for offer in self._loader.offers() if offer.key in missing):
            try:
                need = self._loader.need(offer)
            except UserError as broken:
                said.append(str(broken))
                continue
            if need:
                takes.append(f"{offer.name} takes {format_bytes(need)}")
            elif offer.kind == "server":
                said.append(f"{offer.name} runs on a server.")
            else:
                said.append(f"{offer.name} is downloaded first.")
        if takes:
            said.append(", ".join(takes) + ("." if free is None else f"; {format_bytes(free)} of memory are free."))
        return " ".join(said)

    def rows(self) -> list[Row]:
        """What the menu offers. Reads the small files of checkpoints."""
        assert self._pool is not None and self._loader is not None
        loaded, free = self._pool.loaded(), self._loader.free()
        rows = [Row(FIRST, short_name(self.first.engine.name), "always loaded", True)]
        for offer in self._loader.offers():
            facts, problem = "runs on a server" if offer.kind == "server" else "size not known before it is here", ""
            try:
                need = self._loader.need(offer)
                if need:
                    facts = f"takes {format_bytes(need)}"
                    if offer.key not in loaded and free is not None and need > free:
                        facts += ", more than is free"
            except UserError as broken:
                facts, problem = "", str(broken)
            rows.append(Row(offer.key, offer.name, facts, offer.key in loaded, problem))
        return rows

    def state(self, session: Session, progress: Progress | None = None, *, note: str = "", rows: bool = False) -> str:
        """JSON for static/models.js. With `rows` the menu is drawn anew."""
        parts = self.of(session)
        at_first = parts.form.shown_at_first()
        state: dict[str, Any] = {
            "yours": session.model,
            "name": self.name(session),
            "note": note,
            "loading": None,
            "defaults": {key: at_first[key] for key in KEPT_FIELDS},
        }
        if progress is not None and not progress.ended.is_set():
            state["loading"] = {"key": progress.key, "says": progress.says, "share": progress.share}
        if rows and self._loader is not None:
            free = self._loader.free()
            state["memory"] = "" if free is None else f"{format_bytes(free)} of memory are free."
            state["rows"] = [asdict(row) for row in self.rows()]
        return json.dumps(state, ensure_ascii=False)

    def _key_of(self, name: str) -> str:
        """The key of the model that goes by this name in the menu. Raises UserError."""
        names = [offer.name for offer in self._loader.offers()] if self._loader is not None else []
        if not name:
            return FIRST
        if name in names:
            return name
        first = short_name(self.first.engine.name)
        if name in (first, self.first.engine.name):
            return FIRST
        more = len(names) - MAX_NAMED
        listed = ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
        others = f" Others are: {listed}." if names else ""
        raise UserError(f"There is no model {name[:MAX_KEY]} here. Leave model empty for {first}.{others}")

    def _made(self, engine: Any) -> Parts:
        engine.warm_up()
        return self.first.of_engine(engine)

    def _assign(self, session: Session, key: str) -> None:
        """The pool may call this under its lock, so nothing may ask the pool under a session's."""
        session.use_model(key)


class _OfSession(Generic[T]):
    """See `Models.part`. What is no method is taken from the part of the first model."""

    def __init__(self, of: Callable[[Session], Parts], pick: Callable[[Parts], T], first: T) -> None:
        self._of, self._pick, self._first = of, pick, first

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._first, name)
        if not callable(own):
            return own

        @functools.wraps(own)
        def call(session: Session, *arguments: Any, **named: Any) -> Any:
            return getattr(self._pick(self._of(session)), name)(session, *arguments, **named)

        return call
