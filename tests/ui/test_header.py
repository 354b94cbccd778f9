"""What the header says of a model."""

from __future__ import annotations

from qwen2vl_demo.engine import load_engine
from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
from qwen2vl_demo.ui.header import abilities


def test_a_visitor_reads_what_the_model_can_do() -> None:
    """It said on which device it runs, and why: "cpu, since no GPU was found; bfloat16, 4.8 times as fast". The numbers
    are those of nano's model card: 64 merged tokens a picture are 50,176 pixels."""
    engine = load_engine("nano", device="cpu")
    assert abilities(engine) == "4.8 million parameters, up to 64 tokens per picture, context 4,096 tokens"
    assert "cpu" in engine.description  # which is the header's title, and stands below the settings


def test_an_engine_without_a_checkpoint_speaks_for_itself() -> None:
    assert abilities(ProcessorOnlyEngine.load()) == ProcessorOnlyEngine.description
