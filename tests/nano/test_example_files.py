"""How the example files of the first page are chosen: what suits a card, and which answers are accepted."""

import json

import numpy as np
import PIL.Image
import pytest

from qwen2vl_demo.engine.protocol import Chunk
from qwen2vl_demo.nano import example_files
from qwen2vl_demo.nano.example_files import (
    CARDS,
    COARSE_TOKENS,
    Card,
    chart_answer,
    generator,
    is_tidy,
    receipt_answer,
    screen_answer,
    write_example,
    write_examples,
)
from qwen2vl_demo.nano.world.papers import random_paper

PAPERS = [
    ("receipt", example_files.RECEIPT_SIZE, receipt_answer),
    ("screen", example_files.SCREEN_SIZE, screen_answer),
    ("chart", example_files.SCREEN_SIZE, chart_answer),
]


@pytest.mark.parametrize(("kind", "size", "answer_of"), PAPERS)
def test_papers_that_suit_are_found_and_their_answer_is_printed_on_them(kind, size, answer_of):
    papers = (random_paper(generator(index), size, "held_out", kind) for index in range(300))
    paper = next(paper for paper in papers if is_tidy(paper) and answer_of(paper))
    printed = {run.text for run in paper.page.runs}
    quoted = answer_of(paper).removesuffix(" is the highest.").removeprefix("The total is ").rstrip(".")
    quoted = quoted.removeprefix("The buttons are ").replace('"', "").replace(" and ", ", ").split(", ")
    assert set(quoted) <= printed
    assert paper.page.angle == paper.page.jpeg == paper.page.blur == 0


@pytest.mark.parametrize("card", [card for card in CARDS if card.label in ("A screen", "A clip", "Two pictures")])
def test_a_card_writes_its_files(card, tmp_path):
    found = next(found for index in range(500) if (found := card.candidate(generator(index), tmp_path)))
    files, answer = found
    assert answer.endswith(".")
    assert {path.name for path in tmp_path.iterdir()} == set(files)


def test_one_card_only_needs_more_tokens_than_the_coarse_budget():
    assert [card.label for card in CARDS if card.fine] == ["A receipt"]
    assert len({card.label for card in CARDS}) == len(CARDS) == 6


class ShortSighted:
    """Reads the brightness of a picture, but with few tokens only that of bright ones."""

    def stream(self, messages, options):
        picture = messages[0].parts[0]
        shade = int(np.asarray(PIL.Image.open(picture.source))[0, 0, 0])
        coarse = options.media.max_pixels == COARSE_TOKENS * 784
        yield Chunk(text=f"It is {shade}." if shade > 5 or (shade > 2 and not coarse) else "It is dark.")


def shades(rng, folder):
    """Pictures ever brighter, from a `generator` that counts; every other one does not suit."""
    shade = rng
    if shade % 2:
        return None
    PIL.Image.new("RGB", (28, 28), (shade,) * 3).save(folder / "shade.png")
    return ["shade.png"], f"It is {shade}."


def test_the_first_candidate_that_is_answered_rightly_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(example_files, "generator", lambda index: index)
    record = write_example(Card("Shade", "How bright?", shades), tmp_path, ShortSighted())
    assert record == {"label": "Shade", "text": "How bright?", "files": ["shade.png"], "answer": "It is 4."}


def test_a_fine_card_takes_one_that_few_tokens_do_not_show(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(example_files, "generator", lambda index: index)
    record = write_example(Card("Shade", "How bright?", shades, fine=True), tmp_path, ShortSighted())
    assert (record["answer"], record["coarse_answer"]) == ("It is 4.", "It is dark.")
    monkeypatch.setattr(example_files, "generator", lambda index: index + 6)
    monkeypatch.setattr(example_files, "TRIES", 10)
    assert write_example(Card("Shade", "How bright?", shades, fine=True), tmp_path, ShortSighted()) is None
    assert "Shade" in capsys.readouterr().out


def test_the_record_lists_the_cards_that_were_found(tmp_path, monkeypatch):
    monkeypatch.setattr(example_files, "generator", lambda index: index)
    monkeypatch.setattr(example_files, "TRIES", 10)
    never = Card("Never", "?", lambda rng, folder: None)
    monkeypatch.setattr(example_files, "CARDS", (never, Card("Shade", "How bright?", shades)))
    write_examples(tmp_path / "new", ShortSighted())
    assert [card["label"] for card in json.loads((tmp_path / "new" / "examples.json").read_text())] == ["Shade"]
