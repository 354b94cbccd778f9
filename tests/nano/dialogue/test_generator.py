"""Random dialogues: reproducible, of the documented shapes, with every family of questions."""

import re

import numpy as np
import pytest

from qwen2vl_demo.nano.dialogue.generator import FAMILIES, KINDS, random_dialogue
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.scene import CELL_LABELS, NOT_ASKED


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_dialogue(kind: str) -> None:
    for seed in range(3):
        one, two = (random_dialogue(np.random.default_rng(seed), kind) for _ in range(2))
        assert one.turns == two.turns
        for medium in range(len(one.media)):
            assert np.array_equal(one.media[medium], two.media[medium])
            assert np.array_equal(one.labels(medium), two.labels(medium))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["train", "held_out", "all"])
def test_media_cells_and_turns_have_the_documented_shapes(kind: str, split: str) -> None:
    for seed in range(12):
        made = random_dialogue(np.random.default_rng(seed), kind, turns=1 + seed % 6, split=split)
        assert len(made.turns) == 1 + seed % 6
        assert len(made.media) == len(made.cells)
        # Every medium comes exactly once, in order, and the first turn brings one if there is any.
        assert [m for turn in made.turns for m in turn.media] == list(range(len(made.media)))
        assert bool(made.turns[0].media) == (kind != "chat")
        for index, medium in enumerate(made.media):
            cells = made.labels(index)
            assert medium.dtype == np.uint8 and medium.shape[-1] == 3 and cells.dtype == np.int64
            height, width = medium.shape[-3:-1]
            assert min(height, width) >= 84 and max(height, width) <= 280 and height % 28 == width % 28 == 0
            steps = medium.shape[0] // 2 if medium.ndim == 4 else 1
            assert cells.shape == (steps, height // 28, width // 28)
            assert cells.min() >= NOT_ASKED and cells.max() < len(CELL_LABELS)
            if medium.ndim == 4:
                assert kind in ("clip", "limits") and medium.shape[0] in (4, 6, 8, 12)
            elif kind != "pictures":
                assert 16 <= cells.size <= 64
        for turn in made.turns:
            assert (
                turn.family in FAMILIES
                and turn.plausible_answers >= 2
                and turn.question.strip()
                and turn.answer.strip()
            )
            assert kind == "page" or "{" not in turn.question + turn.answer  # a page may show braces


def test_a_fixed_size_and_number_of_frames_are_kept() -> None:
    rng = np.random.default_rng(0)
    assert random_dialogue(rng, "clip", size=(84, 140), frames=6).media[0].shape == (6, 84, 140, 3)
    assert {m.shape for m in random_dialogue(rng, "pictures", size=(112, 140)).media} == {(112, 140, 3)}
    for kind in ("scene", "text", "document", "limits"):
        for size in ((84, 84), (84, 280), (280, 84)):
            assert random_dialogue(rng, kind, size=size).media[0].shape[-3:] == (*size, 3)


def test_impossible_arguments_are_refused() -> None:
    rng = np.random.default_rng(0)
    for arguments in ({"kind": "photo"}, {"kind": "scene", "size": (100, 84)}, {"kind": "clip", "frames": 5}):
        with pytest.raises(ValueError):
            random_dialogue(rng, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="held_out"):
        random_dialogue(rng, "scene", split="test")


def test_every_family_is_asked_in_training() -> None:
    rng = np.random.default_rng(0)
    families = {turn.family for _ in range(40) for kind in KINDS for turn in random_dialogue(rng, kind).turns}
    families |= {"name"} - set(icons.nouns())  # asked of icons, which are not there in every place
    assert families == set(FAMILIES)


def test_whether_a_sign_says_something_is_answered_by_reading_it() -> None:
    """The answer is the same as to "what does it say", whether the quoted text is on the sign or not."""
    rng = np.random.default_rng(4)
    there = set()
    for _ in range(200):
        turns = random_dialogue(rng, "text", size=(140, 196)).turns
        read = {turn.answer for turn in turns if turn.answer.startswith("It says")}
        assert len(read) <= 1
        for turn in turns:
            if quoted := re.search(r'"([^"]*)"', turn.question):
                assert turn.answer in read
                there.add(f'"{quoted[1]}"' in turn.answer)
    assert there == {True, False}


def test_words_on_signs_are_labelled_and_read() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        made = random_dialogue(rng, "text")
        labels = {CELL_LABELS[label] for label in made.labels(0).ravel()}
        said = {
            text
            for turn in made.turns
            if turn.answer.startswith("It says")
            for text in re.findall('"(.+?)"', turn.answer)
        }
        for text in said:
            if text.isalpha():
                assert f"word {text}" in labels
            else:
                assert any(f"digit {c}" in labels for c in text.strip("$"))
