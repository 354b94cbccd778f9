"""Random pages of text: nothing cut off, every character labelled where it is printed, and any size of picture."""

import random
from collections import Counter

import numpy as np
import pytest

from qwen2vl_demo.nano.world.fonts import faces, load_face
from qwen2vl_demo.nano.world.page_looks import brightness
from qwen2vl_demo.nano.world.pages import CHARACTERS_A_PAGE, random_page
from qwen2vl_demo.nano.world.print_text import random_code, random_lines, shortened
from qwen2vl_demo.nano.world.scene import CELL_CHARACTERS, CHARACTERS
from qwen2vl_demo.nano.world.typesetting import PrintedPage, draw_page, label_page

SIZES = ((56, 56), (28, 112), (112, 28), (84, 252), (28, 560), (140, 112), (224, 224), (896, 56), (448, 336))


def ink_corners(page: PrintedPage) -> np.ndarray:
    """The corners of the ink of every run in the picture, (runs, 4, 2) as (x, y)."""
    corners = []
    for run in page.runs:
        x1, y1, x2, y2 = load_face(run.face, run.size).getbbox(run.text, anchor="ls")
        corners.append([(run.x + x, run.y + y) for x in (x1, x2) for y in (y1, y2)])
    middle, turn = np.array([page.width, page.height]) / 2, np.radians(page.angle)
    back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return middle + (np.array(corners) / page.zoom - middle) @ back


def test_the_ink_of_every_run_lies_in_the_picture() -> None:
    rng = np.random.default_rng(0)
    for index in range(90):
        height, width = SIZES[index % len(SIZES)]
        page = random_page(rng, (height, width))
        if page.runs:
            corners = ink_corners(page)
            assert corners.min() > -1 and (corners < np.array([width, height]) + 1).all(), page


def test_every_character_lies_in_the_cell_that_names_it() -> None:
    rng = np.random.default_rng(1)
    seen = 0
    for index in range(60):
        page = random_page(rng, SIZES[index % len(SIZES)], print_size=int(rng.integers(16, 30)))
        characters = label_page(page).characters.reshape(-1, CELL_CHARACTERS)
        for run in page.runs:
            for cell, character in zip(page.cells_of(run).tolist(), run.text, strict=True):
                if run.size / page.zoom >= 16 and not characters[cell].all():  # a full cell may hold more
                    assert cell >= 0 and 1 + CHARACTERS.index(character) in characters[cell]
                    seen += 1
    assert seen > 500


def test_dark_ink_is_where_a_run_is() -> None:
    """Half of a run's box or more is drawn: the picture differs from its ground there and not beside it."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        page = random_page(rng, (112, 224), print_size=22)
        ground = page.background
        if page.angle or page.jpeg or page.marks or ground.noise or ground.clouds or ground.first != ground.second:
            continue
        pixels, _ = draw_page(page, rng)
        printed = np.abs(pixels.astype(int) - ground.first).sum(-1) > 60
        outside = printed.copy()
        for corners in ink_corners(page):
            (x1, y1), (x2, y2) = np.floor(corners.min(0)).astype(int) - 2, np.ceil(corners.max(0)).astype(int) + 2
            assert printed[max(0, y1) : y2, max(0, x1) : x2].any()
            outside[max(0, y1) : y2, max(0, x1) : x2] = False
        assert not outside.any()


def test_print_stands_out_from_its_ground() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        page = random_page(rng, (84, 168))
        for run in page.runs:
            assert abs(brightness(run.rgb) - brightness(page.background.first)) > 60


def test_held_out_faces_are_used_when_asked_for() -> None:
    rng = np.random.default_rng(4)
    for split in ("train", "held_out"):
        pages = [random_page(rng, (84, 168), split=split) for _ in range(8)]
        assert {run.face for page in pages for run in page.runs} <= set(faces(split))


def test_the_same_seed_gives_the_same_picture() -> None:
    for seed in range(6):
        (one, first), (two, second) = (
            draw_page(random_page(rng, (140, 224)), rng) for rng in (np.random.default_rng(seed) for _ in range(2))
        )
        assert np.array_equal(one, two) and np.array_equal(first.characters, second.characters)


@pytest.mark.parametrize("size", [(56, 56), (28, 112), (112, 28), (28, 896), (896, 896)])
def test_any_size_from_4_to_1024_tokens(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    pages = [random_page(rng, size) for _ in range(4)]
    assert any(page.runs for page in pages)
    for page in pages:
        assert (page.height, page.width) == size
        assert page.text == "\n".join(line.text for line in page.lines)
        assert sum(len(line.text) for line in page.lines) <= CHARACTERS_A_PAGE + 100 and len(page.lines) <= 20
    pixels, cells = draw_page(pages[0], rng)
    assert pixels.shape == (*size, 3) and cells.labels.shape == (size[0] // 28, size[1] // 28)


def test_the_size_of_the_print_and_the_number_of_lines_can_be_fixed() -> None:
    rng = np.random.default_rng(6)
    for print_size, lines in ((14, 1), (20, 3), (24, 8)):
        page = random_page(rng, (448, 448), print_size=print_size, lines=lines)
        assert len(page.lines) == lines
        assert abs(min(run.size for run in page.runs) / page.zoom - print_size) <= 0.5


def test_a_few_pages_have_no_print() -> None:
    rng = np.random.default_rng(7)
    blank = [not random_page(rng, (56, 56)).lines for _ in range(150)]
    assert 0 < sum(blank) < 20


def test_every_printable_character_is_drawn_often_and_lines_are_tidy() -> None:
    rng = np.random.default_rng(8)
    counts: Counter[str] = Counter()
    for _ in range(500):
        for text in random_lines(rng, 6, 40):
            assert text and text == " ".join(text.split()) and text.isascii() and text.isprintable()
            assert len(text) <= 43
            counts.update(text)
    assert set(counts) == set(CHARACTERS)
    assert min(counts.values()) > 10


def test_texts_are_cut_to_length_between_words_where_possible() -> None:
    assert shortened("one two three", 9) == "one two"
    assert shortened("a-very-long-word", 6) == "a-very"
    assert shortened("one two", 20) == "one two" and shortened("x", 0) == "x"
    dice = random.Random(0)
    assert all(1 <= len(random_code(dice, 8)) <= 8 for _ in range(200))
