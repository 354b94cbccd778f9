"""What holds for every event of the page."""

from pathlib import Path

from qwen2vl_demo.ui.app import build_demo
from tests.fake_engine import FakeEngine

PROGRAMS = {"ask", "inspect"}  # for programs, not for the page


def test_events_are_private_and_tell_no_component_that_they_run(tmp_path: Path) -> None:
    """Else Gradio draws each output anew whenever an event begins, goes on or ends."""
    demo = build_demo(FakeEngine(), data_dir=tmp_path, examples=[])
    events = [event for event in demo.config["dependencies"] if event["api_name"] not in PROGRAMS]
    assert len(events) > 100
    for event in events:
        assert event["api_visibility"] == "private", event["api_name"]
        assert event["show_progress"] == "hidden", event["api_name"]
        assert event["show_progress_on"] == [] or not event["outputs"], event["api_name"]
    demo.close()
