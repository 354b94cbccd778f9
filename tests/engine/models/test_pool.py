"""Which models are loaded: shared, let go when nobody uses them, never taken from another visitor."""

from __future__ import annotations

import threading

import pytest

from qwen2vl_demo.engine.models import pool as pool_module
from qwen2vl_demo.engine.models.pool import FIRST, ModelPool
from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.errors import UserError
from tests.fake_models import FakeLoader


class Visitors:
    """A pool of engines' names, and who uses which."""

    def __init__(self, loader: FakeLoader, *names: str) -> None:
        self.loader = loader
        self.use = dict.fromkeys(names, FIRST)
        self.said: list[tuple[str, float | None]] = []
        self.pool: ModelPool[str] = ModelPool("first", loader, self._name, lambda: list(self.use.values()))
        collect = loader.collect

        def freed() -> None:  # what the pool has dropped is free from now on
            collect()
            kept = self.pool.loaded()
            loader.taken = {name: size for name, size in loader.taken.items() if name in kept}

        loader.collect = freed  # type: ignore[method-assign]

    @staticmethod
    def _name(engine: Engine) -> str:
        return engine.name

    def choose(self, visitor: str, key: str) -> None:
        def assign() -> None:
            self.use[visitor] = key

        self.pool.load(key, self.use[visitor], assign, lambda *said: self.said.append(said))

    @property
    def loaded(self) -> set[str]:
        return set(self.pool.loaded()) - {FIRST}


def test_a_model_is_loaded_once_for_all_who_choose_it() -> None:
    visitors = Visitors(FakeLoader({"a": 4}), "anna", "ben")
    for visitor in ("anna", "ben"):
        visitors.choose(visitor, "a")
    assert visitors.loader.loads == ["a"] and visitors.use == {"anna": "a", "ben": "a"}
    assert visitors.pool.get("a") == "a" and visitors.pool.get(FIRST) == "first"
    assert visitors.said == [("Loading", 0.25)]


def test_a_model_that_nobody_uses_makes_room_and_one_that_another_uses_never_does() -> None:
    """10 bytes: a (4) and b (4) fit beside each other, and c (5) takes the place of one that is left."""
    visitors = Visitors(FakeLoader({"a": 4, "b": 4, "c": 5, "d": 7}), "anna", "ben")
    visitors.choose("anna", "a")
    visitors.choose("ben", "b")
    visitors.choose("ben", FIRST)
    visitors.choose("ben", "c")
    assert visitors.loaded == {"a", "c"} and visitors.use == {"anna": "a", "ben": "c"}
    # d (7) would fit if c (5), which is ben's alone, made room, but for a (4).
    with pytest.raises(UserError) as refused:
        visitors.choose("ben", "d")
    assert str(refused.value) == (
        "d takes 7 bytes of memory, and 1 bytes are free. Models that are in use take 4 bytes; try again later, "
        "or choose a smaller one."
    )
    assert visitors.loaded == {"a", "c"} and visitors.use == {"anna": "a", "ben": "c"}


def test_one_that_is_larger_than_the_memory_says_so() -> None:
    visitors = Visitors(FakeLoader({"a": 11}), "anna")
    with pytest.raises(UserError, match=r"a takes 11 bytes of memory, and 10 bytes are free\. Choose a smaller one"):
        visitors.choose("anna", "a")
    assert visitors.loader.loads == [] and visitors.use == {"anna": FIRST}


def test_where_only_one_fits_the_own_one_makes_room_and_comes_back_if_the_new_one_is_broken() -> None:
    visitors = Visitors(FakeLoader({"a": 8, "b": 9}), "anna")
    visitors.choose("anna", "a")
    visitors.loader.failing.add("b")
    with pytest.raises(UserError, match="b is damaged"):
        visitors.choose("anna", "b")
    assert visitors.loader.loads == ["a", "b", "a"]
    assert visitors.pool.get(visitors.use["anna"]) == "a"
    visitors.loader.failing.clear()
    visitors.choose("anna", "b")
    assert visitors.loaded == {"b"} and visitors.use == {"anna": "b"}


def test_one_that_is_seen_to_be_broken_costs_nobody_anything() -> None:
    visitors = Visitors(FakeLoader({"a": 8, "b": 9}), "anna")
    visitors.choose("anna", "a")
    visitors.loader.broken.add("b")
    with pytest.raises(UserError, match=r"b lacks config\.json"):
        visitors.choose("anna", "b")
    assert visitors.loader.loads == ["a"] and visitors.loaded == {"a"}


@pytest.mark.parametrize("key", ["b", "../a", "/secret/place/a", "x" * 10_000])
def test_what_is_not_on_the_list_is_not_loaded(key: str) -> None:
    visitors = Visitors(FakeLoader({"a": 1}), "anna")
    with pytest.raises(UserError, match="not offered any more"):
        visitors.choose("anna", key)
    assert visitors.loader.loads == []


def test_a_second_load_meanwhile_is_refused_at_once() -> None:
    visitors = Visitors(FakeLoader({"a": 1, "b": 1}), "anna", "ben")
    visitors.loader.step.clear()
    first = threading.Thread(target=visitors.choose, args=("anna", "a"))
    first.start()
    while not visitors.said:
        pass
    with pytest.raises(UserError, match="Another model is being loaded"):
        visitors.choose("ben", "b")
    visitors.loader.step.set()
    first.join()
    assert visitors.use == {"anna": "a", "ben": FIRST}


def test_a_model_goes_when_nobody_has_used_it_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    visitors = Visitors(FakeLoader({"a": 1, "b": 1}), "anna", "ben")
    visitors.choose("anna", "a")
    visitors.choose("ben", "b")
    visitors.choose("ben", FIRST)
    visitors.pool.tidy()
    assert visitors.loaded == {"a", "b"}  # the page may be loading again
    monkeypatch.setattr(pool_module, "GRACE", -1.0)
    visitors.pool.tidy()
    assert visitors.loaded == {"a"} and visitors.loader.taken == {"a": 1}
