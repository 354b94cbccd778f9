"""Papers: everything is printed inside the picture, nothing overlaps, and the parts are what is printed."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from qwen2vl_demo.nano.world.fonts import load_face
from qwen2vl_demo.nano.world.papers import KINDS, random_paper
from qwen2vl_demo.nano.world.sheets import Paper
from qwen2vl_demo.nano.world.typesetting import PrintedPage, TextRun, draw_page

SIZES = [(112, 112), (112, 336), (280, 196), (448, 448), (896, 560)]


def papers(count: int = 2) -> Iterator[Paper]:
    for seed, (kind, size) in enumerate(itertools.product(KINDS, SIZES)):
        rng = np.random.default_rng(seed)
        yield from (random_paper(rng, size, kind=kind) for _ in range(count))


def ink(run: TextRun) -> tuple[float, float, float, float]:
    """The box of a run's ink in the zoomed picture, from the typeface itself."""
    x1, y1, x2, y2 = load_face(run.face, run.size).getbbox(run.text, anchor="ls")
    return run.x + x1, run.y + y1, run.x + x2, run.y + y2


def turned(page: PrintedPage, x: float, y: float) -> tuple[float, float]:
    """Where a point of the zoomed picture is in the final one."""
    angle = np.radians(page.angle)
    dx, dy = x / page.zoom - page.width / 2, y / page.zoom - page.height / 2
    return (
        page.width / 2 + dx * np.cos(angle) + dy * np.sin(angle),
        page.height / 2 - dx * np.sin(angle) + dy * np.cos(angle),
    )


def test_the_ink_of_every_run_lies_inside_the_picture() -> None:
    for paper in papers():
        page = paper.page
        for run in page.runs:
            x1, y1, x2, y2 = ink(run)
            for x, y in (turned(page, x, y) for x in (x1, x2) for y in (y1, y2)):
                assert -1 <= x <= page.width + 1 and -1 <= y <= page.height + 1, (run, page)


def test_runs_do_not_overlap() -> None:
    for paper in papers():
        boxes = [ink(run) for run in paper.page.runs]
        for (one, a), (other, b) in itertools.combinations(zip(paper.page.runs, boxes, strict=True), 2):
            wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            assert wide <= 1 or tall <= 1 + 0.1 * one.size, (one, other)


def test_print_is_neither_too_small_nor_without_contrast() -> None:
    sizes = []
    for paper in papers():
        background = np.mean(paper.page.background.first)
        boards = [np.mean(mark.fill) for mark in paper.page.marks if mark.fill]
        for run in paper.page.runs:
            sizes.append(run.size / paper.page.zoom)
            behind = [abs(np.mean(run.rgb) - level) for level in (background, *boards)]
            assert max(behind) > 60
    assert min(sizes) >= 8 and 12 <= np.median(sizes) <= 26


def test_the_parts_are_printed_runs() -> None:
    for paper in papers():
        runs, parts = set(paper.page.runs), paper.parts
        pairs = [run for pair in parts.pairs for run in (pair.key, pair.value)]
        items = [run for item in parts.items for run in (item.name, item.price)]
        hours = [run for times in parts.hours for run in (times.label, times.opens, times.closes)]
        bars = [run for bar in parts.bars for run in (bar.label, bar.printed)]
        cells = [run for row in (parts.header, *parts.rows) for run in row]
        others = [parts.title, parts.message, *parts.buttons]
        assert {run for run in (*pairs, *items, *hours, *bars, *cells, *others) if run} <= runs
        assert {len(row) for row in parts.rows} <= {len(parts.header)}
        assert sum(len(line) for line in paper.lines) == len(paper.page.runs)


def test_a_receipt_adds_up_and_a_table_has_two_to_five_rows_and_columns() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        parts = random_paper(rng, (448, 448), kind="receipt").parts
        printed = {pair.said: int("".join(filter(str.isdigit, pair.value.text))) for pair in parts.pairs}
        assert printed["total"] == sum(item.cents for item in parts.items) + printed.get("tax", 0)
        for item in parts.items:
            assert int("".join(filter(str.isdigit, item.price.text))) == item.cents
        parts = random_paper(rng, (448, 448), kind="table").parts
        assert 2 <= len(parts.rows) <= 5 and 2 <= len(parts.header) <= 5


def test_bars_are_as_high_as_their_values() -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        paper = random_paper(rng, (336, 448), kind="chart")
        values = [bar.value for bar in paper.parts.bars]
        assert len(set(values)) == len(values) >= 2
        for bar in paper.parts.bars:
            assert not bar.printed or bar.printed.text.startswith(str(int(bar.value)))


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_same_seed_gives_the_same_picture(split: str) -> None:
    for seed, kind in enumerate(KINDS):
        drawn = []
        for _ in range(2):
            rng = np.random.default_rng(seed)
            paper = random_paper(rng, (196, 224), split, kind)
            drawn.append((paper, *draw_page(paper.page, rng)))
        (one, pixels, cells), (two, again, same) = drawn
        assert one == two and np.array_equal(pixels, again) and np.array_equal(cells.characters, same.characters)
        assert pixels.shape == (196, 224, 3) and cells.characters.any()
