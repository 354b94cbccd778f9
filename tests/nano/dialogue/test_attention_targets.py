"""Attention targets: the cells that a part of an answer depends on are those that show it."""

import numpy as np
import pytest

from qwen2vl_demo.nano.dialogue.attention_targets import mentioned_things, scene_attention_targets
from qwen2vl_demo.nano.dialogue.dialogue import Question
from qwen2vl_demo.nano.dialogue.generator import random_dialogue
from qwen2vl_demo.nano.dialogue.referring_expressions import describe_scene
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.layout import random_scene
from qwen2vl_demo.nano.world.scene import (
    CELL_CHARACTERS,
    CELL_LABELS,
    CHARACTERS,
    LABEL_INDEX,
    Background,
    Scene,
    Thing,
)


def test_each_phrase_of_a_description_depends_on_its_own_thing():
    """The drawing labels a cell if a fifth of it is covered: nine in ten such cells must be among the targets."""
    rng = np.random.default_rng(3)
    checked = agreed = 0
    for _ in range(30):
        scene = random_scene(rng, (168, 168))
        if len({t.name for t in scene.things}) < len(scene.things):
            continue
        answer = describe_scene(scene)
        parts = scene_attention_targets(scene, Question("", answer, "describe", 1))
        assert len(parts) == len(scene.things)
        labels = draw_scene(scene, rng)[1].labels.ravel()
        for part, thing in zip(parts, scene.things, strict=True):
            assert thing.name in answer[part.start : part.end]
            drawn = set(np.flatnonzero(labels == thing.label))
            assert drawn & set(part.cells)
            checked += len(drawn)
            agreed += len(drawn & set(part.cells))
    assert checked > 50
    assert agreed >= 0.9 * checked


def test_a_detailed_description_depends_on_the_same_things():
    rng = np.random.default_rng(8)
    scene = next(s for _ in range(20) if len((s := random_scene(rng, (168, 168))).things) > 1)
    plain, detailed = (
        scene_attention_targets(scene, Question(question, describe_scene(scene, detailed=detail), "describe", 1))
        for question, detail in (("Describe it.", False), ("Describe it in detail.", True))
    )
    assert [part.cells for part in plain] == [part.cells for part in detailed]


@pytest.mark.parametrize(("second", "answer"), [("red", "so is the other"), ("blue", "one is blue")])
def test_the_colours_of_two_depend_on_one_thing_each(second, answer):
    """In 84x168 px the first circle lies in the left half, columns 0 to 2, the second in the right one."""
    names = (("red", 40.0), (second, 126.0))
    pair = tuple(Thing("circle", colour, (0, 0, 0), x, 42, 20) for colour, x in names)
    scene = Scene(84, 168, Background((255, 255, 255), (255, 255, 255)), pair)
    text = f"One is red and {answer}."
    first, other = scene_attention_targets(
        scene, Question("What colour are the circles?", text, "colour", 1, ("pair", *pair))
    )
    assert text[first.start : first.end] == "One is red and"
    assert text[other.start : other.end] == f" {answer}."
    assert {cell % 6 < 3 for cell in first.cells} == {True}
    assert {cell % 6 < 3 for cell in other.cells} == {False}


@pytest.mark.parametrize("kind", ["scene", "text", "document", "pictures", "clip"])
def test_targets_are_never_background_alone(kind):
    rng = np.random.default_rng(11)
    parts = 0
    for _ in range(12):
        drawn = random_dialogue(rng, kind, size=(140, 140), frames=4)
        for turn in drawn.turns:
            for part in turn.attention_targets:
                labels = drawn.labels(part.medium).ravel()[list(part.cells)]
                assert (labels != LABEL_INDEX["background"]).any(), (turn, [CELL_LABELS[i] for i in labels])
                assert 0 <= part.start < part.end <= len(turn.answer)
                parts += 1
    assert parts > 20


def test_a_mention_is_by_shape_by_colour_or_by_both():
    things = random_scene(np.random.default_rng(5), (224, 224)).things
    for thing in things:
        assert thing in mentioned_things(things, f"The {thing.name} is here.")
        assert thing in mentioned_things(things, f"There are 2 {thing.colour} shapes.")
        assert mentioned_things(things, f"There is no {thing.shape}zzz.") == []
    assert mentioned_things(things, "There are 3 shapes.") == list(things)


def test_a_kind_mentions_the_nouns_of_that_kind_alone():
    things = [Thing(noun, "", (0, 0, 0), 30.0 * i, 30, 12) for i, noun in enumerate(("tulip", "sunflower", "cat"), 1)]
    assert mentioned_things(things, "There are 2 flowers.") == things[:2]
    assert mentioned_things(things, "There is 1 sunflower.") == things[1:2]
    assert mentioned_things(things, "There is 1 animal.") == things[2:]


@pytest.mark.parametrize("kind", ["text", "document"])
def test_each_character_of_a_number_depends_on_the_cell_that_shows_it(kind):
    rng = np.random.default_rng(2)
    right = wrong = 0
    for _ in range(80):
        made = random_dialogue(rng, kind, size=(140, 168))
        shown = made.cells[0][0].characters.reshape(-1, CELL_CHARACTERS)
        for turn in made.turns:
            for part in turn.attention_targets:
                text = turn.answer[part.start : part.end].strip(' ".')
                if len(text) == 1 and text.isdigit():
                    there = {CHARACTERS[i - 1] for i in shown[list(part.cells)].ravel() if i}
                    right, wrong = right + (text in there), wrong + (text not in there)
    assert right > 50 and wrong < 0.1 * right
