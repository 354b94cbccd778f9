"""Loading what `--models` lists: nano, and a second checkpoint that is made here."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path

import pytest

from qwen2vl_demo.engine.models.loader import ListedModels
from qwen2vl_demo.engine.models.offers import Offer
from qwen2vl_demo.engine.models.pool import FIRST, ModelPool
from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.resources import NANO
from qwen2vl_demo.settings import Settings
from tests.engine.broken_checkpoints import copy_of_nano
from tests.fake_engine import FakeEngine

CONTEXT = 1000  # positions of the second checkpoint


def second(directory: Path) -> Path:
    """nano with a shorter context."""
    path = copy_of_nano(directory) / "config.json"
    config = json.loads(path.read_text())
    config["max_position_embeddings"] = CONTEXT
    path.write_text(json.dumps(config))
    return directory


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with a whole checkpoint, one without weights and one whose weights are cut off."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    second(folder / "second")
    (copy_of_nano(folder / "weightless") / "model.safetensors").unlink()
    cut = copy_of_nano(folder / "cut") / "model.safetensors"
    weights = cut.read_bytes()
    cut.unlink()
    cut.write_bytes(weights[:1000])
    return folder


def listed(models: object, **settings: str) -> ListedModels:
    return ListedModels(Settings(models=str(models), device="cpu", dtype="float32", **settings))  # type: ignore[arg-type]


def offer(loader: ListedModels, key: str) -> Offer:
    return next(offer for offer in loader.offers() if offer.key == key)


def test_the_model_that_is_loaded_anyhow_is_not_offered_twice(shelf: Path) -> None:
    assert [o.key for o in listed(f"nano,{shelf}").offers()] == ["cut", "second", "weightless"]
    assert [o.key for o in listed(f"nano,{shelf / 'second'}", model=str(shelf / "second")).offers()] == ["nano"]
    assert [o.key for o in listed(NANO).offers()] == ["nano"]  # by its directory it is another one


def test_a_checkpoint_is_loaded_under_its_name_with_progress_and_freed_when_nobody_uses_it(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader, used, said = listed(shelf), [FIRST], []
    assert loader.need(offer(loader, "second")) == loader.need(Offer("nano", "shipped", "nano"))
    pool: ModelPool[Engine] = ModelPool(FakeEngine(), loader, lambda engine: engine, lambda: used)
    pool.load("second", FIRST, lambda: used.__setitem__(0, "second"), lambda *what: said.append(what))
    engine = pool.get("second")
    assert engine is not None and engine.name == "second" and engine.config is not None
    assert engine.config.text.max_position_embeddings == CONTEXT
    shares = [share for says, share in said if says == "Loading" and share is not None]
    assert shares == sorted(shares) and len(shares) > 10 and shares[-1] == pytest.approx(1.0)
    there = weakref.ref(engine)
    del engine
    used[0] = FIRST
    monkeypatch.setattr("qwen2vl_demo.engine.models.pool.GRACE", -1.0)
    pool.tidy()
    gc.collect()
    assert there() is None


@pytest.mark.parametrize(("key", "word"), [("weightless", "holds no model.safetensors"), ("cut", "damaged")])
def test_a_broken_directory_is_refused_before_anything_makes_room_and_its_place_stays_unsaid(
    shelf: Path, key: str, word: str
) -> None:
    loader = listed(shelf)
    with pytest.raises(UserError) as refused:
        loader.check(offer(loader, key))
    assert word in str(refused.value) and key in str(refused.value)
    assert str(shelf) not in str(refused.value)


def test_a_server_that_does_not_answer_is_refused_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen2vl_demo.engine.models.loader.CONNECT_SECONDS", 0.1)
    loader = listed("http://127.0.0.1:9/v1#seven")
    assert loader.need(offer(loader, "seven")) == 0
    with pytest.raises(UserError) as refused:
        loader.load(offer(loader, "seven"), lambda *said: None)
    assert str(refused.value) == "The server of seven does not answer; choose another model."
