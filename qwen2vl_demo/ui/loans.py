"""A model that answers beside those that visitors have chosen, for as long as a comparison or a program needs it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Generic, Protocol, TypeVar

from qwen2vl_demo.engine.models.pool import AnotherIsLoading, ModelPool
from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.page_update import FAILED, report
from qwen2vl_demo.ui.chat.prompts import Prompts
from qwen2vl_demo.ui.sessions import Session
from qwen2vl_demo.ui.settings_form import SettingsForm

T_co = TypeVar("T_co", covariant=True)


class Loan(Generic[T_co]):
    """One model, lent once. `take` runs in a thread, while others read how far it is."""

    def __init__(self, pool: ModelPool[T_co], key: str) -> None:
        self._pool, self._key = pool, key
        self._lock = threading.Lock()
        self._over = False
        self.lent: T_co | None = None  # once it is there
        self.refusal = ""  # why it is not there, in the end
        self.may_try_again = False  # it is refused only as long as another model is being loaded
        self.says = "Loading"  # what is done
        self.share: float | None = None  # of it, done already; None: not known

    def take(self) -> None:
        """Loads the model unless it is there, and says in `lent` or `refusal` what became of it. Raises nothing."""
        try:
            lent = self._pool.borrow(self._key, self._say)
        except UserError as problem:
            self.refusal, self.may_try_again = str(problem), isinstance(problem, AnotherIsLoading)
        except Exception as problem:
            report(problem, "loading a model beside the chosen ones")
            self.refusal, self.may_try_again = FAILED.format("the model"), False
        else:
            with self._lock:
                if not self._over:
                    self.lent = lent
                    return
            self._pool.give_back(self._key)  # nobody waits for it any more

    def end(self) -> None:
        """Gives it back; also while it is being loaded."""
        with self._lock:
            self._over, lent, self.lent = True, self.lent, None
        if lent is not None:
            self._pool.give_back(self._key)

    @property
    def status(self) -> str:
        return self.says if self.share is None else f"{self.says}, {100 * self.share:.0f} %"

    def _say(self, says: str, share: float | None) -> None:
        self.says, self.share = says, share


class Answering(Protocol):
    """What a column of a comparison needs of the model that answers there."""

    @property
    def engine(self) -> Engine: ...

    @property
    def prompts(self) -> Prompts: ...

    @property
    def form(self) -> SettingsForm: ...


class Lender(Protocol):
    """The models that visitors may choose from, as columns of a comparison."""

    def of(self, session: Session) -> Answering:
        """The model that a session has chosen."""
        ...

    def names(self) -> Mapping[str, str]:
        """What visitors call each that can answer, by key. Reads folders."""
        ...

    def needs(self, keys: Collection[str]) -> str:
        """What those models would take that are not loaded, in sentences."""
        ...

    def lend(self, key: str) -> Loan[Answering]: ...
