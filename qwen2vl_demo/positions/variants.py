"""The variants that the page compares: each is a layout of positions and an allotment of frequencies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qwen2vl_demo.positions.allotments import Allotment, blocks, interleaved, shared, time_slowest
from qwen2vl_demo.positions.layouts import (
    Laid,
    Layout,
    Run,
    diagonal,
    fractional,
    gridded,
    lay_out,
    local,
    plain,
    silenced,
    timed,
)
from qwen2vl_demo.positions.prompts import qwen3_runs, runs_of
from qwen2vl_demo.trace import PromptTrace

TOKENS_PER_SECOND = 2  # of the released Qwen2.5-VL; transformers' class default is 4
VIDEOROPE_STRIDE = 2.0  # the scale factor with which VideoRoPE was trained and evaluated
V2PE_DELTA = 1 / 16  # one of the steps that V2PE was trained with, 1 to 1/256


@dataclass(frozen=True)
class Variant:
    """One way to give positions to a prompt."""

    key: str
    name: str
    layout_words: str  # the rule of the layout, for the page
    allotment_words: str
    source: str  # paper and reference implementation
    layout: Layout
    allotment: Allotment
    runs: Callable[[PromptTrace], list[Run]] = runs_of
    live: bool = False  # this project's engine can answer with it, see geometry.PositionScheme

    def lay_out(self, trace: PromptTrace) -> Laid:
        return lay_out(self.runs(trace), self.layout)


VARIANTS = (
    Variant(
        "1d",
        "Plain 1-D",
        "Every token, of text or of a picture, is one further.",
        "No axes: every pair turns with the one position.",
        "RoPE, arXiv 2104.09864",
        plain,
        shared,
        live=True,
    ),
    Variant(
        "mrope",
        "Qwen2-VL: M-RoPE",
        "t counts pairs of frames, h rows, w columns, all from where the text stopped.",
        "Three blocks: t has the fastest pairs, then h, then w.",
        "arXiv 2409.12191, section 2.1",
        gridded,
        blocks,
        live=True,
    ),
    Variant(
        "timed",
        "Qwen2.5-VL: t in time",
        "As M-RoPE, but t of a clip advances by 2 a second, whatever the frame rate.",
        "Three blocks, as in Qwen2-VL.",
        "arXiv 2502.13923, section 2.1.3; transformers, modeling_qwen2_5_vl.py",
        timed(TOKENS_PER_SECOND),
        blocks,
    ),
    Variant(
        "qwen3",
        "Qwen3-VL: interleaved",
        "As M-RoPE, on 32-px tokens; each step of a clip is a picture behind its time, written as text.",
        "t, h, w in turn, so that each has fast and slow pairs.",
        "arXiv 2510.23095; transformers, modeling_qwen3_vl.py and processing_qwen3_vl.py. "
        "Its own checkpoints share out 24-20-20 pairs; here the rule is applied to this checkpoint's sections.",
        gridded,
        interleaved,
        qwen3_runs,
    ),
    Variant(
        "videorope",
        "VideoRoPE",
        "Each frame lies around its t, on the diagonal; t advances by 2, and text goes on behind the last t.",
        "h and w in turn; t has the slowest pairs.",
        "arXiv 2502.05173, section 4; Wiselnn570/VideoRoPE, rotary_embedding.py and modeling_videorope.py",
        diagonal(VIDEOROPE_STRIDE),
        time_slowest,
    ),
    Variant(
        "local",
        "M-RoPE, pictures from zero",
        "h and w start at 0 in each picture; only t says where in the prompt it stands.",
        "Three blocks, as in Qwen2-VL.",
        "“Spatial-reset” of arXiv 2510.23095, which combines it with interleaved pairs; JJJYmmm/Multimodal-RoPEs",
        local,
        blocks,
    ),
    Variant(
        "v2pe",
        "V2PE",
        "1-D, but a picture's token moves on by 1/16 only; text goes on at the next whole number.",
        "No axes: every pair turns with the one position.",
        "arXiv 2412.09616; OpenGVLab/V2PE, get_rope_pos_id. The step is a choice, from 1 to 1/256; here 1/16.",
        fractional(V2PE_DELTA),
        shared,
    ),
    Variant(
        "silenced",
        "M-RoPE, h and w silenced",
        "All tokens of a picture stand at one position; text goes on where M-RoPE would.",
        "No axes are left: h and w are set to t.",
        "An experiment of this page, not of a paper.",
        silenced,
        shared,
        live=True,
    ),
)
