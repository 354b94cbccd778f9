"""What `--models` offers: a list that is looked up, whose names say nothing of where things are."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwen2vl_demo.engine.models.offers import MAX_OFFERS, Offer, offers_of
from qwen2vl_demo.errors import UserError


def checkpoint(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True)
    for name in files or ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


def test_each_kind_of_item_is_offered_under_a_name_without_its_place(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    one, two = checkpoint(shelf / "one"), checkpoint(shelf / "Qwen" / "two")
    checkpoint(shelf / "an-adapter", "config.json", "adapter_config.json")  # would bring a base of its own
    checkpoint(shelf / ".hidden")
    (shelf / "notes").mkdir()
    alone = checkpoint(tmp_path / "alone")
    listed = f"nano, {shelf},{alone} ,Qwen/Qwen2-VL-2B-Instruct,http://gpu:8000/v1#seven,https://other/v1"
    assert offers_of(listed) == (
        Offer("nano", "shipped", "nano"),
        Offer("Qwen/two", "directory", str(two)),
        Offer("one", "directory", str(one)),
        Offer("alone", "directory", str(alone)),
        Offer("Qwen/Qwen2-VL-2B-Instruct", "hub", "Qwen/Qwen2-VL-2B-Instruct"),
        Offer("seven", "server", "http://gpu:8000/v1", "seven"),
        Offer("model of a server", "server", "https://other/v1"),
    )


def test_equal_names_get_numbers_so_that_each_can_be_chosen(tmp_path: Path) -> None:
    folders = [checkpoint(tmp_path / parent / "same") for parent in "ab"]
    assert [offer.key for offer in offers_of(",".join(map(str, folders)))] == ["same", "same (2)"]


def test_a_new_checkpoint_is_offered_at_the_next_look(tmp_path: Path) -> None:
    assert offers_of(str(tmp_path)) == ()
    checkpoint(tmp_path / "new")
    assert [offer.name for offer in offers_of(str(tmp_path))] == ["new"]


@pytest.mark.parametrize("item", ["/no/such/folder", "nothing", "http://", "a/b/c"])
def test_what_is_no_model_is_refused_when_the_app_starts(item: str) -> None:
    with pytest.raises(UserError, match="--models names"):
        offers_of(f"nano,{item}")


def test_more_than_fit_into_the_menu_are_refused(tmp_path: Path) -> None:
    for number in range(MAX_OFFERS + 1):
        checkpoint(tmp_path / str(number))
    with pytest.raises(UserError, match="name fewer"):
        offers_of(str(tmp_path))
