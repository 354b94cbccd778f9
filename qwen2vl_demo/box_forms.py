"""How families of models write boxes, told by their names.

Qwen2-VL writes thousandths of the sides between two tokens of its own, `<|box_start|>(x1,y1),(x2,y2)<|box_end|>`.
Qwen2.5-VL writes pixels of the picture as it was resized for the model, and Qwen3-VL thousandths, both as
`[x1, y1, x2, y2]`. For their answers the model cards say so; in questions these are the forms in which ms-swift, with
which many of them are trained further, writes a box (`Qwen2VLTemplate.replace_bbox`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Units = Literal["thousandths", "pixels"]


@dataclass(frozen=True)
class BoxForm:
    """How one family of models writes boxes."""

    units: Units
    tokens: bool = False  # between Qwen2-VL's tokens
    asked: bool = True  # questions with a box in this form are known from its training


# What occurs first in the name of a model, with its version's marks left out or not
_FAMILIES: tuple[tuple[re.Pattern[str], BoxForm], ...] = (
    (re.compile(r"qwen-?3(?:[.-]?5)?-?vl"), BoxForm("thousandths")),
    (re.compile(r"qwen-?2-?vl"), BoxForm("thousandths", tokens=True)),
    (re.compile(r"qwen-?2[.-]?5-?vl"), BoxForm("pixels")),
    (re.compile(r"ui-?tars-?1[.-]?5"), BoxForm("pixels", asked=False)),
    (re.compile(r"ui-?tars"), BoxForm("thousandths", tokens=True, asked=False)),
)


def box_form(name: str) -> BoxForm | None:
    """How a model writes boxes, as far as its name tells."""
    name = name.lower().replace("_", "-")
    return next((form for pattern, form in _FAMILIES if pattern.search(name)), None)
