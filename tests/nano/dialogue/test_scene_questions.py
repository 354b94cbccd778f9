"""Questions about scenes: answers are right, unambiguous and consistent."""

import re

import numpy as np
import pytest

from qwen2vl_demo.nano.dialogue.dialogue import Question
from qwen2vl_demo.nano.dialogue.follow_ups import follow_up
from qwen2vl_demo.nano.dialogue.referring_expressions import describe_scene
from qwen2vl_demo.nano.dialogue.scene_questions import (
    QUESTION_FUNCTIONS,
    SCENE_WEIGHTS,
    box_answer,
    random_scene_question,
    relation_of,
)
from qwen2vl_demo.nano.world.drawing import draw_scene
from qwen2vl_demo.nano.world.scene import (
    COLOURS,
    PLACES,
    SHAPES,
    Scene,
    Thing,
)
from qwen2vl_demo.processing.messages import REGION_SCALE, Region, Text, question_parts
from tests.nano.scenes import WHITE, random_scenes, thing


def recount(scene: Scene, noun: str) -> int:
    """How many things fit a noun such as "shapes", "red shape", "crosses" or "blue star"."""
    words = ["cross" if w == "crosses" else w if w in SHAPES + COLOURS else w.removesuffix("s") for w in noun.split()]
    return sum(all(word in (t.colour, t.shape, "shape") for word in words) for t in scene.things)


def test_counts_and_existence_agree_with_a_recount() -> None:
    rng = np.random.default_rng(1)
    for scene in random_scenes(150, 1):
        for _ in range(3):
            question = QUESTION_FUNCTIONS["count"](rng, scene, "all")
            assert question is not None
            found = re.fullmatch(r"There (?:is|are) (\d|no) (.+)\.", question.answer)
            assert found and recount(scene, found[2]) == int(found[1].replace("no", "0"))
            yes = QUESTION_FUNCTIONS["exists"](rng, scene, "all")
            assert yes is not None
            one = re.fullmatch(r"(Yes, there is an?|No, there is no|Yes, there are (\d)) (.+)\.", yes.answer)
            assert one and recount(scene, one[3]) == int(one[2] or one[1].startswith("Yes"))


def test_a_region_holds_the_middle_of_what_the_answer_names_and_no_other() -> None:
    rng = np.random.default_rng(5)
    answers = set()
    for scene in random_scenes(150, 5):
        question = QUESTION_FUNCTIONS["region"](rng, scene, "train")
        if question is None:
            continue
        (region,) = (part for part in question_parts(question.text) if isinstance(part, Region))
        assert not any(type(part) is Text and "<|" in part.text for part in question_parts(question.text))
        x1, x2 = (scene.width * x / REGION_SCALE for x in (region.x1, region.x2))
        y1, y2 = (scene.height * y / REGION_SCALE for y in (region.y1, region.y2))
        inside = [t for t in scene.things if x1 <= t.x <= x2 and y1 <= t.y <= y2]
        if question.answer == "There is nothing.":
            assert not inside
        else:
            (named,) = inside
            assert question.answer.removesuffix(".").endswith((f" {named.name}", f" is {named.colour}"))
        answers.add(question.answer)
    assert len(answers) > 40 and "There is nothing." in answers


def test_descriptions_have_the_right_articles() -> None:
    for scene in random_scenes(60, 4):
        assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeio]", describe_scene(scene))


def test_a_description_lists_in_reading_order() -> None:
    """In 168x168 px the thirds end at 56 and 112: (30, 30) is the top left ninth, (84, 84) the middle one."""
    scene = Scene(168, 168, WHITE, (thing("red circle", 30, 30, 26, True), thing("blue star", 84, 84)))
    assert describe_scene(scene) == "A red circle at the top left and a blue star in the middle."
    assert (
        describe_scene(scene, detailed=True) == "A big red circle at the top left and a small blue star in the middle."
    )
    for other in random_scenes(40, 5):
        rows = [PLACES.index(other.place(t)) for t in other.things]
        assert rows == sorted(rows)


def test_two_of_a_kind_never_make_an_ambiguous_question() -> None:
    """Two stars: a question about "the star" has no single answer, so it is never asked."""
    stars = (thing("red star", 30, 30), thing("blue star", 138, 30), thing("green circle", 84, 138))
    scene = Scene(168, 168, WHITE, stars)
    rng = np.random.default_rng(0)
    before: Question | None = None
    for _ in range(600):
        question = (follow_up(rng, scene, before, "all") if before else None) or random_scene_question(
            rng, scene, SCENE_WEIGHTS, "all"
        )
        assert "the star" not in question.text.lower() and "the star" not in question.answer.lower()
        before = question


@pytest.mark.parametrize("family", QUESTION_FUNCTIONS)
def test_a_scene_that_has_every_shape_and_every_colour_can_be_asked_about(family: str) -> None:
    """Nine things can have all eight shapes and colours: then no absent shape or colour is left to ask about."""
    pairs = [*zip(COLOURS, SHAPES, strict=True), ("red", "star")]
    places = [(56 + 84 * (i % 3), 56 + 84 * (i // 3)) for i in range(9)]
    things = tuple(Thing(s, c, (128, 128, 128), x, y, 16) for (c, s), (x, y) in zip(pairs, places, strict=True))
    rng = np.random.default_rng(0)
    for _ in range(100):
        QUESTION_FUNCTIONS[family](rng, Scene(280, 280, WHITE, things), "all")


def test_the_same_question_has_the_same_answer() -> None:
    rng = np.random.default_rng(2)
    for scene in random_scenes(25, 2):
        answers: dict[str, str] = {}
        for _ in range(150):
            question = random_scene_question(rng, scene, SCENE_WEIGHTS, "all")
            key = question.text.lower().rstrip("?.!")
            assert answers.setdefault(key, question.answer) == question.answer


def test_relations_are_stated_only_if_one_direction_is_clear() -> None:
    """Right 60 and down 20 is clearly right; right 60 and down 60 is both."""
    assert relation_of(thing("red star", 120, 80), thing("blue circle", 60, 60)) == "to the right of"
    assert relation_of(thing("red star", 120, 120), thing("blue circle", 60, 60)) is None
    assert relation_of(thing("red star", 60, 20), thing("blue circle", 60, 120)) == "above"


def test_boxes_enclose_the_pixels_drawn() -> None:
    """The thing's ink is where the picture differs from the bare background; the box may be off by rounding to tens."""
    rng = np.random.default_rng(3)
    for scene in random_scenes(40, 3):
        for one in scene.things:
            lone = Scene(scene.height, scene.width, WHITE, (one,))
            pixels, _ = draw_scene(lone, rng)
            ys, xs = np.nonzero((pixels < 200).any(2))
            ink = (
                xs.min() / scene.width,
                ys.min() / scene.height,
                (xs.max() + 1) / scene.width,
                (ys.max() + 1) / scene.height,
            )
            box = [int(v) / 1000 for v in re.findall(r"\d+", box_answer(scene, one, one.name))]
            slack = 0.011 + 2 / min(scene.height, scene.width)
            assert all(abs(a - b) < slack for a, b in zip(ink, box, strict=True))
