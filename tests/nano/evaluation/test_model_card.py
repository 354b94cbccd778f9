"""The tables of nano's card are filled from the record, and the rest of the card is left alone."""

import json

import pytest

from qwen2vl_demo.nano.evaluation.model_card import CARD, NANO, READ, RECORD, tables, with_tables
from qwen2vl_demo.nano.evaluation.studies import BUDGETS, PRINT_BUDGETS, SHARES, TOKEN_SIDES


def rows(**shares):
    return [{"family": f, "questions": 1000, "accuracy": share, "chance": 0.002} for f, share in shares.items()]


RECORD_OF_TWO = {
    "all wordings": rows(name=0.5, box=0.004),
    "trained wordings": rows(name=0.6, box=0.25),
    "held-out wordings": rows(name=0.4, box=0.0),
    "icons trained on": rows(name=0.9, read=1.0),
    "icons held out": rows(name=0.7),
    **{f"side/{share}": rows(name=1 / share) for share in SHARES},
    **{f"side/{share} held out": rows(name=0.1) for share in SHARES},
    **{f"scenes at {side * side}": rows(name=side / 10) for side in BUDGETS},
    **{f"print at {side * side}": rows(chart=side / 100) for side in PRINT_BUDGETS},
    "M-RoPE as trained": rows(where=0.9),
    "h, w silenced": rows(where=0.3),
    **{f"drawn at {side * side}": rows(chart=side / 40) for side in TOKEN_SIDES},
    "boxes": {"mean_iou": 0.5, "questions": 10},
    "reading": {
        name: [{"group": f"{name} 1", "questions": 1200, "characters": 9000, "error": 0.0234, "exact": 0.75}]
        for name in READ
    },
}


def test_each_table_holds_its_numbers_by_family():
    made = tables(RECORD_OF_TWO)
    assert made["| family | right | chance | questions | trained wordings | held-out wordings |"] == [
        "| name | 50% | < 1% | 1,000 | 60% | 40% |",
        "| box | < 1% | < 1% | 1,000 | 25% | 0% |",
    ]
    assert made["| drawings | an eighth | a quarter | half | all of it |"] == [
        "| trained on | 12% | 25% | 50% | 100% |",
        "| held out | 10% | 10% | 10% | 10% |",
    ]
    assert made["| family | 16 tokens | 36 tokens | 64 tokens |"] == ["| name | 40% | 60% | 80% |"]
    assert made["| family | 64 tokens | 256 tokens | 1,024 tokens |"] == ["| chart | 8% | 16% | 32% |"]
    assert made["| family | 64 tokens | 144 tokens | 256 tokens | 576 tokens | 1,024 tokens |"] == [
        "| chart | 20% | 30% | 40% | 60% | 80% |"
    ]
    assert made["| one line of print of | character error | exact | questions |"] == [
        "| print 1 | 2.3% | 75% | 1,200 |"
    ]
    assert made["| a page of | character error | exact | questions |"] == ["| pages 1 | 2.3% | 75% | 1,200 |"]


def test_real_print_has_no_table_where_it_was_not_asked_about():
    reading = {name: scores for name, scores in RECORD_OF_TWO["reading"].items() if name != "real print"}
    made = tables({**RECORD_OF_TWO, "reading": reading})
    assert set(tables(RECORD_OF_TWO)) - set(made) == {f"| {READ['real print']} | character error | exact | questions |"}


@pytest.mark.skipif(not (NANO / RECORD).exists(), reason="these weights have no record")
def test_the_card_has_the_numbers_of_its_record():
    card = (NANO / CARD).read_text("utf-8")
    assert with_tables(card, json.loads((NANO / RECORD).read_text("utf-8"))) == card


def test_a_family_that_one_column_lacks_is_left_out():
    assert tables(RECORD_OF_TWO)["| family | drawings trained on | drawings held out |"] == ["| name | 90% | 70% |"]


def test_rows_are_replaced_and_text_is_kept():
    made = tables(RECORD_OF_TWO)
    old = "".join(f"Words.\n\n{heading}\n|---|---|\n| old | 1% |\n| older | 2% |\n\n" for heading in made)
    expected = old
    for heading, new in made.items():
        head = f"{heading}\n|---|---|\n"
        expected = expected.replace(head + "| old | 1% |\n| older | 2% |\n", head + "".join(f"{row}\n" for row in new))
    assert with_tables(old, RECORD_OF_TWO) == expected


def test_a_card_without_one_of_the_tables_is_refused():
    with pytest.raises(ValueError, match="no table under"):
        with_tables("# nano\n", RECORD_OF_TWO)
