"""nano admits that it cannot recognise a photograph, and does not say so of what it was trained on."""

from pathlib import Path

import pytest

from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.nano.evaluation.honesty import CLIP_QUESTIONS, PICTURE_QUESTIONS, answers, main

EXAMPLES = Path(__file__).resolve().parents[3] / "assets" / "examples"


def test_a_photograph_is_not_recognised_but_a_drawn_scene_and_clip_are():
    import skimage

    photograph = Path(skimage.__file__).parent / "data" / "astronaut.png"
    scene, clip = next(EXAMPLES.glob("*.png")), next(EXAMPLES.glob("*.mp4"))
    given = list(answers(LocalEngine.load("nano", device="cpu", dtype="float32"), [photograph, scene, clip]))
    assert [honest for *_, honest in given] == [True, True, False, False, False, False]
    assert [question for _, question, *_ in given] == [*PICTURE_QUESTIONS, *PICTURE_QUESTIONS, *CLIP_QUESTIONS]


def test_a_file_that_cannot_be_read_is_named_in_one_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.setattr("sys.argv", ["honesty", str(tmp_path / "broken.png")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "broken.png" in capsys.readouterr().err.splitlines()[-1]
