"""The drawn world: the same seed gives the same conversation, and every answer agrees with what was drawn."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from qwen2vl_demo.nano.dialogue.clip_questions import event_sentence
from qwen2vl_demo.nano.dialogue.dialogue import Question
from qwen2vl_demo.nano.dialogue.follow_ups import follow_up
from qwen2vl_demo.nano.dialogue.generator import FAMILIES, KINDS, random_dialogue
from qwen2vl_demo.nano.dialogue.referring_expressions import describe_scene
from qwen2vl_demo.nano.dialogue.scene_questions import (
    QUESTION_FUNCTIONS,
    SCENE_WEIGHTS,
    box_answer,
    random_scene_question,
    relation_of,
)
from qwen2vl_demo.nano.world import icons
from qwen2vl_demo.nano.world.clips import ACTIONS, draw_clip, random_clip
from qwen2vl_demo.nano.world.documents import random_document
from qwen2vl_demo.nano.world.drawing import bounding_box, draw_background, draw_scene
from qwen2vl_demo.nano.world.layout import random_scene, random_size
from qwen2vl_demo.nano.world.out_of_domain import main_colour
from qwen2vl_demo.nano.world.scene import (
    CELL_LABELS,
    COLOURS,
    LABEL_INDEX,
    PLACES,
    SHAPES,
    STYLES,
    Background,
    Scene,
    Sign,
    Thing,
)

WHITE = Background((255, 255, 255), (255, 255, 255))


def thing(name: str, x: float, y: float, radius: float = 16, big: bool = False) -> Thing:
    colour, shape = name.split()
    rgb = {"red": (220, 30, 35), "blue": (40, 90, 215), "green": (40, 160, 60)}[colour]
    return Thing(shape, colour, rgb, x, y, radius, 0.0, big)


def scenes(count: int, seed: int = 0) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [random_scene(rng, random_size(rng)) for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_conversation(kind: str) -> None:
    for seed in range(3):
        one, two = (random_dialogue(np.random.default_rng(seed), kind) for _ in range(2))
        assert one.turns == two.turns
        for medium in range(len(one.media)):
            assert np.array_equal(one.media[medium], two.media[medium])
            assert np.array_equal(one.labels(medium), two.labels(medium))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["train", "held_out", "all"])
def test_shapes_sizes_and_turns_are_as_promised(kind: str, split: str) -> None:
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
            assert cells.min() >= 0 and cells.max() < len(CELL_LABELS)
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
            assert "{" not in turn.question + turn.answer


def test_a_fixed_size_and_number_of_frames_are_kept() -> None:
    rng = np.random.default_rng(0)
    assert random_dialogue(rng, "clip", size=(84, 140), frames=6).media[0].shape == (6, 84, 140, 3)
    assert {m.shape for m in random_dialogue(rng, "pictures", size=(112, 140)).media} == {(112, 140, 3)}
    for kind in ("scene", "text", "document", "limits"):
        for size in ((84, 84), (84, 280), (280, 84)):
            assert random_dialogue(rng, kind, size=size).media[0].shape[-3:] == (*size, 3)


def test_impossible_wishes_are_refused() -> None:
    rng = np.random.default_rng(0)
    for wish in ({"kind": "photo"}, {"kind": "scene", "size": (100, 84)}, {"kind": "clip", "frames": 5}):
        with pytest.raises(ValueError):
            random_dialogue(rng, **wish)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="held_out"):
        random_dialogue(rng, "scene", split="test")


def test_every_family_is_asked_in_training() -> None:
    rng = np.random.default_rng(0)
    families = {turn.family for _ in range(40) for kind in KINDS for turn in random_dialogue(rng, kind).turns}
    families |= {"name"} - set(icons.nouns())  # asked of icons, which are not there in every place
    assert families == set(FAMILIES)


def test_whether_a_sign_says_something_is_answered_by_reading_it() -> None:
    """The same is said as to who asks what is written there, and what was asked for is there or is not."""
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


def test_which_pictures_have_it_is_told_one_after_the_other() -> None:
    rng = np.random.default_rng(5)
    told = set()
    for _ in range(400):
        for turn in random_dialogue(rng, "pictures").turns:
            if " picture has " in turn.answer:
                told.add(re.sub(r" has an? [^.]*?(?= and so|\.)", " has it", turn.answer))
    assert {"The first picture has it.", "The first picture has it and so does the second."} <= told
    assert "The first picture has it and so do the second and the third." in told
    assert "No picture has it." in told


def test_words_on_signs_carry_their_ink_and_white_none() -> None:
    sign = Sign("OPEN", "red", (220, 30, 35), 0, 40, (20, 40, 120, 70))
    for ink, expected in (("red", {1 + COLOURS.index("red")}), ("white", {0})):
        scene = Scene(112, 140, Background((240,) * 3, (240,) * 3), (), (replace(sign, colour=ink),))
        _, cells = draw_scene(scene, np.random.default_rng(0))
        words = cells.labels == LABEL_INDEX["word OPEN"]
        assert words.sum() >= 3
        assert set(cells.inks[words].tolist()) == expected
        assert not cells.inks[~words].any()


def test_things_stay_inside_and_seldom_overlap_and_never_much() -> None:
    touching, all_of_them = 0, scenes(120)
    for scene in all_of_them:
        assert 1 <= len(scene.things) <= 9
        for i, one in enumerate(scene.things):
            x1, y1, x2, y2 = one.half_extents()
            assert one.x + x1 >= 0 and one.y + y1 >= 0 and one.x + x2 <= scene.width and one.y + y2 <= scene.height
            assert min(x2 - x1, y2 - y1) >= 17 and max(x2 - x1, y2 - y1) >= 22
            for other in scene.things[:i]:
                apart = np.hypot(one.x - other.x, one.y - other.y) / (one.radius + other.radius)
                assert apart > 0.75
                touching += apart < 1
    assert 0 < touching < 0.2 * len(all_of_them)


def test_clouds_are_soft_and_come_with_things_alone() -> None:
    """Neighbouring pixels differ little, pixels far apart much; papers and clips are never cloudy."""
    pixels = np.asarray(
        draw_background(Background((200,) * 3, (200,) * 3, clouds=24), 140, 196, np.random.default_rng(0))
    )
    assert np.abs(np.diff(pixels.astype(int), axis=1)).max() <= 6
    assert np.ptp(pixels, axis=(0, 1)).min() > 30
    rng = np.random.default_rng(1)
    assert any(random_scene(rng, (140, 140)).background.clouds for _ in range(60))
    assert not any(random_clip(rng, (140, 140), 4).background.clouds for _ in range(60))
    assert not any(random_document(rng, (140, 140)).background.clouds for _ in range(60))


def recount(scene: Scene, noun: str) -> int:
    """How many things fit a noun such as "shapes", "red shape", "crosses" or "blue star"."""
    words = ["cross" if w == "crosses" else w if w in SHAPES + COLOURS else w.removesuffix("s") for w in noun.split()]
    return sum(all(word in (t.colour, t.shape, "shape") for word in words) for t in scene.things)


def test_counts_and_existence_agree_with_a_recount() -> None:
    rng = np.random.default_rng(1)
    for scene in scenes(150, 1):
        for _ in range(3):
            question = QUESTION_FUNCTIONS["count"](rng, scene, "all")
            assert question is not None
            found = re.fullmatch(r"There (?:is|are) (\d|no) (.+)\.", question.answer)
            assert found and recount(scene, found[2]) == int(found[1].replace("no", "0"))
            yes = QUESTION_FUNCTIONS["exists"](rng, scene, "all")
            assert yes is not None
            one = re.fullmatch(r"(Yes, there is an?|No, there is no|Yes, there are (\d)) (.+)\.", yes.answer)
            assert one and recount(scene, one[3]) == int(one[2] or one[1].startswith("Yes"))


def test_descriptions_have_the_right_articles() -> None:
    for scene in scenes(60, 4):
        assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeio]", describe_scene(scene))


def test_a_description_lists_in_reading_order() -> None:
    """In 168x168 px the thirds end at 56 and 112: (30, 30) is the top left ninth, (84, 84) the middle one."""
    scene = Scene(168, 168, WHITE, (thing("red circle", 30, 30, 26, True), thing("blue star", 84, 84)))
    assert describe_scene(scene) == "A red circle at the top left and a blue star in the middle."
    assert (
        describe_scene(scene, detailed=True) == "A big red circle at the top left and a small blue star in the middle."
    )
    for other in scenes(40, 5):
        rows = [PLACES.index(other.place(t)) for t in other.things]
        assert rows == sorted(rows)


def test_two_of_a_kind_never_make_an_ambiguous_question() -> None:
    """Two stars: a question about "the star" has no single answer, so it is never question."""
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
    """Nine things can show all eight: then there is no shape or colour to ask for that is not there."""
    pairs = [*zip(COLOURS, SHAPES, strict=True), ("red", "star")]
    places = [(56 + 84 * (i % 3), 56 + 84 * (i // 3)) for i in range(9)]
    things = tuple(Thing(s, c, (128, 128, 128), x, y, 16) for (c, s), (x, y) in zip(pairs, places, strict=True))
    rng = np.random.default_rng(0)
    for _ in range(100):
        QUESTION_FUNCTIONS[family](rng, Scene(280, 280, WHITE, things), "all")


def test_the_same_question_has_the_same_answer() -> None:
    rng = np.random.default_rng(2)
    for scene in scenes(25, 2):
        answers: dict[str, str] = {}
        for _ in range(150):
            question = random_scene_question(rng, scene, SCENE_WEIGHTS, "all")
            key = question.text.lower().rstrip("?.!")
            assert answers.setdefault(key, question.answer) == question.answer


def test_relations_are_told_only_where_one_side_is_clear() -> None:
    """Right 60 and down 20 is clearly right; right 60 and down 60 is both."""
    assert relation_of(thing("red star", 120, 80), thing("blue circle", 60, 60)) == "to the right of"
    assert relation_of(thing("red star", 120, 120), thing("blue circle", 60, 60)) is None
    assert relation_of(thing("red star", 60, 20), thing("blue circle", 60, 120)) == "above"


def test_boxes_enclose_the_pixels_drawn() -> None:
    """The thing's ink is where the picture differs from the bare background; the box may be off by rounding to tens."""
    rng = np.random.default_rng(3)
    for scene in scenes(40, 3):
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


def test_cell_labels_name_what_lies_under_them() -> None:
    """A star alone at the centre of cell (1, 2) labels that cell; every thing drawn labels at least one cell."""
    _, cells = draw_scene(Scene(112, 112, WHITE, (thing("red star", 70, 42),)), np.random.default_rng(0))
    assert CELL_LABELS[cells.labels[1, 2]] == "red star" and Counter(cells.labels.ravel().tolist())[0] >= 11
    for scene in scenes(60, 6):
        _, cells = draw_scene(scene, np.random.default_rng(0))
        shown = {CELL_LABELS[label] for label in cells.labels.ravel()} - {"background"}
        assert shown <= {t.name for t in scene.things}
        assert len(shown) >= len({t.name for t in scene.things}) - 1


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


@pytest.mark.parametrize("style", STYLES)
def test_every_style_keeps_the_outline_and_the_colour(style: str) -> None:
    square = thing("green square", 70, 70, 40, big=True)
    pixels, cells = draw_scene(Scene(140, 140, WHITE, (square,), style=style), np.random.default_rng(0))
    ys, xs = np.nonzero((pixels < 200).any(2))
    assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == pytest.approx(bounding_box(square), abs=1.1)
    assert main_colour(np.tile(pixels[ys, xs][:, None], (1, 140, 1)))[0] == "green"
    assert (pixels[70, 70] == 255).all() == (style == "hollow")
    assert CELL_LABELS[cells.labels[2, 2]] == "green square"  # a hollow one is there in its middle too


def test_things_may_fill_a_picture_and_never_leave_it() -> None:
    shares = []
    for scene in scenes(300):
        for one in scene.things:
            x1, y1, x2, y2 = bounding_box(one)
            assert min(x1, y1) > -1 and x2 < scene.width + 1 and y2 < scene.height + 1
            shares.append(max(x2 - x1, y2 - y1) / min(scene.height, scene.width))
    assert max(shares) > 0.9 and min(shares) < 0.15


def test_things_in_clips_are_of_many_sizes_and_never_leave_the_frame() -> None:
    """From 26 px, hardly a merged token, to half of the frame's shorter side, which is twice the radius."""
    rng = np.random.default_rng(0)
    radii = []
    for clip in (random_clip(rng, (168, 196), 6) for _ in range(150)):
        for one in (one for track in clip.tracks for one in track if one is not None):
            x1, y1, x2, y2 = bounding_box(one)
            assert min(x1, y1) > -1 and x2 < clip.width + 1 and y2 < clip.height + 1
        if clip.action not in ("grows", "shrinks"):
            radii.append(clip.actor.radius)
    assert 13 <= min(radii) < 15 and 0.2 * 168 < max(radii) <= 0.25 * 168
    assert 0.2 < sum(radius > 18 for radius in radii) / len(radii) < 0.4


def test_clips_move_the_way_the_answer_says() -> None:
    """The centre of the pixels that differ between first and last frame's labels goes left, right, up or down."""
    rng = np.random.default_rng(0)
    seen = Counter[str]()
    for _ in range(120):
        clip = random_clip(rng, (112, 140), 6)
        frames, truth = draw_clip(clip, rng)
        cells = np.stack([pair.labels for pair in truth])
        assert frames.shape == (6, 112, 140, 3) and cells.shape == (3, 4, 5)
        seen[clip.action] += 1
        first, last = frames[0].astype(int), frames[-1].astype(int)
        changed = np.abs(first - last).sum(2) > 40
        if clip.action in ("still", "back", "blinks"):
            assert not changed.any()  # what went came back
            assert (frames != frames[0]).any() == (clip.action != "still")
            continue
        assert changed.any()
        label = CELL_LABELS.index(clip.actor.name)
        assert clip.action in ("appears", "appear in turn") or (cells[0] == label).any()
        if clip.action in ("left", "right", "up", "down"):
            start, end = (np.argwhere(cells[t] == label).mean(0) for t in (0, -1))
            axis = 1 if clip.action in ("left", "right") else 0
            assert (end[axis] > start[axis]) == (clip.action in ("right", "down"))
            assert clip.action in event_sentence(clip)
    assert set(seen) == set(ACTIONS)


def test_a_new_picture_may_come_in_a_later_turn() -> None:
    rng = np.random.default_rng(0)
    made = [random_dialogue(rng, "pictures") for _ in range(40)]
    assert any(turn.media for one in made for turn in one.turns[1:])
    assert {len(one.media) for one in made} == {2, 3}
