"""What evaluate records of reading, which the card's tables are made from."""

from pathlib import Path

import pytest

from qwen2vl_demo.nano.evaluation import evaluate, reading, real_print
from qwen2vl_demo.nano.evaluation.model_card import READ
from qwen2vl_demo.nano.evaluation.reading import ReadingScore, Report
from qwen2vl_demo.nano.training.validation import FamilyScore


@pytest.mark.parametrize("built", [True, False])
def test_the_record_of_reading_has_the_tables_of_the_card(built, tmp_path, monkeypatch, capsys):
    score = ReadingScore("14 px", 10, 100, 0.125, 0.5)
    report = Report([score], [score], [score], {64: [FamilyScore("chart", 10, 0.75, 0.1)]})
    monkeypatch.setattr(evaluate.LocalEngine, "load", lambda *_, **__: "engine")
    asked = {}
    monkeypatch.setattr(reading, "measure", lambda engine, **counts: asked.update(counts) or report)
    monkeypatch.setattr(real_print, "measure", lambda engine, folder: [score])
    monkeypatch.setattr(real_print, "FOLDER", tmp_path)
    if built:
        (tmp_path / real_print.RECORD).write_text("[]")
    record = evaluate.read(Path("nano"), 100)
    assert asked == {"lines": 100, "pages": 25, "dialogues": 25}
    assert list(record["reading"]) == list(READ)[: None if built else -1]
    assert record["reading"]["print"] == [
        {"group": "14 px", "questions": 10, "characters": 100, "error": 0.125, "exact": 0.5}
    ]
    assert record["drawn at 64"][0]["accuracy"] == 0.75
    printed = capsys.readouterr().out
    assert "12.5%" in printed
    assert ("was not asked about" in printed) != built
