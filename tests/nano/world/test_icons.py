"""Icons in scenes and questions. Coloured bars stand in for the public drawings."""

import re
from dataclasses import replace

import numpy as np
import pytest

from qwen2vl_demo.nano.dialogue.generator import KINDS, random_dialogue
from qwen2vl_demo.nano.dialogue.scene_questions import SCENE_WEIGHTS, random_scene_question
from qwen2vl_demo.nano.dialogue.wording import plural, with_article
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.drawing import bounding_box, draw_scene
from qwen2vl_demo.nano.world.icon_variants import as_icon, random_ink, random_tint, repainted, warped
from qwen2vl_demo.nano.world.layout import random_scene
from qwen2vl_demo.nano.world.nouns import KIND_OF, NOUN_KINDS, NOUNS
from qwen2vl_demo.nano.world.scene import CELL_LABELS, Background, Scene, Thing

WHITE = Background((255, 255, 255), (255, 255, 255))


pytestmark = pytest.mark.usefixtures("with_icons")


def test_there_are_at_least_a_hundred_nouns_of_one_word():
    assert len(NOUNS) >= 100
    assert all(noun.isalpha() and noun.islower() for noun in NOUNS)


def test_plurals_and_articles_of_nouns():
    words = {"mouse": "mice", "butterfly": "butterflies", "bus": "buses", "fox": "foxes", "watch": "watches"}
    assert {word: plural(word) for word in words} == words
    assert plural("monkey") == "monkeys" and plural("tomato") == "tomatoes"
    assert (
        with_article("owl") == "an owl"
        and with_article("umbrella") == "an umbrella"
        and with_article("unicorn") == "a unicorn"
    )


def test_an_icon_is_drawn_where_its_box_says_and_labels_its_cells():
    """A bar of a quarter of the rows, drawn 40 px wide around (70, 42): 40 px wide and 10 px high."""
    thing = Thing("cat", "", (0, 0, 0), 70, 42, 20, icon=0, ink_extent=(1.0, 0.25))
    assert bounding_box(thing) == (50, 37, 90, 47)
    pixels, cells = draw_scene(Scene(112, 112, WHITE, (thing,)), np.random.default_rng(0))
    assert ink_of(pixels) == pytest.approx((50, 37, 90, 47), abs=1)
    assert CELL_LABELS[cells.labels[1, 2]] == "cat"


def ink_of(pixels):
    ys, xs = np.nonzero((pixels < 200).any(2))
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def test_boxes_fit_turned_and_stretched_icons_too():
    rng = np.random.default_rng(0)
    things = [as_icon(rng, Thing("cat", "", (0, 0, 0), 70, 56, 40)) for _ in range(30)]
    assert len({thing.ink_extent for thing in things}) > 10
    for thing in things:
        pixels, _ = draw_scene(Scene(112, 140, WHITE, (replace(thing, tint=()),)), rng)
        assert ink_of(pixels) == pytest.approx(bounding_box(thing), abs=1.6)


def test_turning_and_stretching_fill_the_square_again():
    """A bar of 2 x 1, upright after a quarter turn; made wider by 2, it is 4 x 0.5."""
    ink = np.array([[-1, 1, -1, 1], [-0.5, -0.5, 0.5, 0.5]])
    pixel = 1 / icons.SIDE
    for turn, stretch, expected in ((np.pi / 2, 1.0, (0.5, 1.0)), (0.0, 2.0, (1.0, 0.125))):
        warp, ink_extent = warped(ink, turn, stretch, 1.0)
        assert ink_extent == pytest.approx(expected, abs=2 * pixel)
        corner = np.array([*ink_extent, 1.0])  # where the lower right corner comes from lies on the ink's rim
        there = np.array([warp[:3], warp[3:]]) @ corner
        assert np.abs(there) == pytest.approx([1, 0.5], abs=0.04)


def test_a_mirrored_icon_is_mirrored_and_a_tinted_one_keeps_its_greys(use_drawings):
    """Red on the left, grey on the right. Rotated about the grey axis by 120 degrees, red becomes green or blue."""
    drawing = np.zeros((1, icons.SIDE, icons.SIDE, 4), np.uint8)
    half = icons.SIDE // 2
    drawing[:, :, :half], drawing[:, :, half:] = (240, 0, 0, 255), (90, 90, 90, 255)
    use_drawings({"noto/cat": drawing})
    turn = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    thing = Thing("cat", "", (0, 0, 0), 56, 56, 24, icon=0, warp=(-1, 0, 0, 0, 1, 0), tint=turn)
    with icons.using_sets("noto"):
        pixels, _ = draw_scene(Scene(112, 112, WHITE, (thing,)), np.random.default_rng(0))
    assert pixels[56, 40].tolist() == [90, 90, 90]
    assert pixels[56, 70].tolist() == [0, 240, 0]


def test_a_tint_keeps_grey_grey():
    for seed in range(20):
        tinted = np.asarray(random_tint(np.random.default_rng(seed))) @ np.full(3, 100.0)
        assert np.ptp(tinted) < 1e-9
        assert 79 < tinted[0] < 111


def test_a_drawing_of_one_colour_is_repainted_in_another():
    red, green, blue = np.asarray(repainted(np.array([37, 99, 168]), np.array([200.0, 100.0, 0.0]))) @ [37, 99, 168]
    assert (red, green, blue) == pytest.approx((200, 100, 0))


def test_new_ink_is_of_any_hue_and_seen_on_light_and_on_dark():
    """White is 255, the darkest backgrounds are 52 to 80 (layout.py); the strongest channel tells the hue."""
    inks = np.array([random_ink(np.random.default_rng(seed)) for seed in range(200)])
    assert {0, 1, 2} == set(inks.argmax(1))
    assert (np.abs(inks[:, None] - np.array([52, 80, 255])[None, :, None]).max(2) > 40).all()


def test_only_drawings_of_one_colour_are_repainted(use_drawings):
    one_colour = np.zeros((1, icons.SIDE, icons.SIDE, 4), np.uint8)
    one_colour[:, icons.SIDE // 4 : icons.SIDE // 2] = (90, 0, 0, 255)
    two_colours = one_colour.copy()
    two_colours[:, icons.SIDE // 3] = (250, 250, 250, 255)
    use_drawings({"noto/cat": one_colour, "ph/cat": two_colours})
    tints = {"ph": set(), "noto": set()}
    for name, found in tints.items():
        with icons.using_sets(name):
            for seed in range(40):
                tint = np.asarray(as_icon(np.random.default_rng(seed), Thing("cat", "", (0, 0, 0), 56, 56, 24)).tint)
                found.add("none" if not tint.size else "repainted" if np.linalg.matrix_rank(tint) == 1 else "rotated")
    assert tints == {"ph": {"none", "rotated"}, "noto": {"none", "repainted"}}


def test_a_set_with_another_naming_scheme_gives_what_it_has_and_no_false_friends():
    """A drawing is represented by the length of its name; this set's "mouse" is not the animal."""
    made = icons._draw_nouns(
        "ph", lambda icon: icon if icon[:3] in ("cat", "mou") else None, lambda icon: np.array(len(icon))
    )
    assert made == {"ph/cat": np.array([len("cat-duotone")])}
    assert {"noto/cat", "noto/mouse"} <= set(icons._draw_nouns("noto", lambda icon: icon, lambda icon: np.array(1)))


def test_the_held_out_set_is_drawn_only_when_asked_for():
    def bright(scene):
        return (draw_scene(scene, np.random.default_rng(0))[0][..., 1] == 60).any()

    def scenes():
        """As they are drawn, but upright and in their own colours, whose edges do not mix into the other set's."""
        rng = np.random.default_rng(1)
        drawn = [random_scene(rng, (140, 140)) for _ in range(20)]
        return [
            replace(scene, things=tuple(replace(thing, tint=(), warp=()) for thing in scene.things)) for scene in drawn
        ]

    for scene in scenes():
        assert scene.shapes or not bright(Scene(140, 140, WHITE, scene.things))
    with icons.using_sets(icons.HELD_OUT):
        alone = [Scene(140, 140, WHITE, scene.things) for scene in scenes() if not scene.shapes]
        assert alone and all(bright(scene) for scene in alone)


def test_icons_are_asked_for_by_name_and_never_for_a_colour():
    rng = np.random.default_rng(0)
    families = set()
    for _ in range(60):
        scene = random_scene(rng, (168, 168))
        answers: dict[str, str] = {}
        for _ in range(40):
            question = random_scene_question(rng, scene, SCENE_WEIGHTS, "all")
            families.add(question.family)
            key = question.text.lower().rstrip("?.!")
            assert answers.setdefault(key, question.answer) == question.answer, key
            if question.family in ("colour", "shape"):
                assert scene.shapes
            if question.family == "name":
                assert any(thing.shape in question.answer for thing in scene.things if not thing.colour)
    assert "name" in families


def test_animals_are_counted_and_named_by_their_kind_too():
    rng = np.random.default_rng(0)
    counted, named = set(), set()
    for _ in range(60):
        scene = random_scene(rng, (168, 168), max_things=4)
        kinds = [KIND_OF.get(thing.shape) for thing in scene.things]
        for question in (random_scene_question(rng, scene, {"count": 1, "name": 1}, "all") for _ in range(40)):
            found = re.fullmatch(r"There (?:is|are) (\d|no) (animal|fruit|vehicle|flower)s?\.", question.answer)
            if found:
                assert kinds.count(found[2]) == int(found[1].replace("no", "0"))
                counted.add(found[2])
            found = re.search(r"\b(animal|fruit|vehicle|flower)\b", question.text.lower())
            if found and question.family == "name":
                assert kinds == [found[1]]
                named.add(found[1])
    assert counted == set(NOUN_KINDS) and named


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dialogue_works_with_icons(kind):
    rng = np.random.default_rng(0)
    for _ in range(15):
        made = random_dialogue(rng, kind, turns=4)
        assert len(made.turns) == 4


def test_without_icons_scenes_consist_of_shapes(monkeypatch, tmp_path):
    monkeypatch.setenv("QWEN2VL_NANO_ICONS", str(tmp_path / "missing.npz"))
    assert icons.nouns() == ()
    rng = np.random.default_rng(0)
    assert all(thing.colour for _ in range(20) for thing in random_scene(rng, (168, 168)).things)
