"""What a question of a conversation points at."""

from __future__ import annotations

from qwen2vl_demo.processing.messages import pointed_picture


def test_a_question_points_at_the_picture_that_it_names_or_at_the_nearest() -> None:
    assert pointed_picture("What is it?", before=2, own=2) == 2
    assert pointed_picture("What is it?", before=2, own=0) == 1
    assert pointed_picture("What is it?", before=0, own=0) is None
    assert pointed_picture("What is in it of picture 1?", before=2, own=1) == 0
    assert pointed_picture("What is in it of picture 4?", before=2, own=1) == 2  # there are three
