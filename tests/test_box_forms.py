"""How models write boxes, as their names tell."""

from __future__ import annotations

import pytest

from qwen2vl_demo.box_forms import BoxForm, box_form


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("Qwen/Qwen2-VL-2B-Instruct", BoxForm("thousandths", tokens=True)),
        ("qwen2_5-vl-72b", BoxForm("pixels")),
        ("Qwen3.5-VL-4B", BoxForm("thousandths")),
        ("llava", None),
    ],
)
def test_the_family_is_told_by_the_name(name: str, form: BoxForm | None) -> None:
    assert box_form(name) == form
