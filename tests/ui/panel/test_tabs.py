"""Every tab takes every state, says which components it changes, and changes no other."""

from collections.abc import Callable, Iterator

import gradio as gr
import pytest

from qwen2vl_demo.ui.panel.comparisons import Comparisons
from qwen2vl_demo.ui.panel.cost_tab import CostTab
from qwen2vl_demo.ui.panel.experiments_tab import ExperimentsTab
from qwen2vl_demo.ui.panel.eyes_switch import EyesSwitch
from qwen2vl_demo.ui.panel.panel import Panel
from qwen2vl_demo.ui.panel.picture_tab import PictureTab
from qwen2vl_demo.ui.panel.prompt_tab import PromptTab
from qwen2vl_demo.ui.panel.rotation_tab import RotationTab
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import Tab
from qwen2vl_demo.ui.panel.variants_tab import VariantsTab, variants_of
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft
from tests.ui.conftest import VALUES

Files = Callable[[str], str]


@pytest.fixture
def tabs(parts: Parts) -> Iterator[list[Tab]]:
    made: list[Tab] = [
        PictureTab(parts.engine.pixel_limits, parts.preview, parts.attention, parts.laboratory, parts.threads),
        PromptTab(),
        RotationTab(lambda session: parts.engine.config),
        VariantsTab(),
        CostTab(Comparisons()),
        ExperimentsTab(parts.experiments, parts.accuracy),
    ]
    with gr.Blocks():
        Panel(made, EyesSwitch("fake", parts.engine.pixel_limits)).draw()
        yield made


@pytest.fixture(
    params=[(), ("cat.png",), ("clip.mp4",), ("cat.png", "wave.gif")], ids=["empty", "picture", "clip", "both"]
)
def state(request: pytest.FixtureRequest, parts: Parts, files: Files) -> PanelState:
    draft = Draft("", tuple(files(name) for name in request.param))
    panel = parts.preview.refresh(parts.sessions.open("tab", None), draft, VALUES).panel
    assert panel is not None
    return panel


def test_a_tab_updates_what_it_says_it_does(tabs: list[Tab], state: PanelState) -> None:
    for tab in tabs:
        assert set(tab.update(state)) <= set(tab.outputs())


def test_everything_a_tab_draws_lazily_can_be_drawn_for_every_prompt(tabs: list[Tab], state: PanelState) -> None:
    for tab in tabs:
        if isinstance(tab, CostTab):
            drawn = tab._draw_pictures(state.trace)
            assert set(drawn) == {tab.components.comparison, tab.components.growth_words, tab.components.growth}
        if isinstance(tab, RotationTab):
            drawn = tab._draw_all(state.trace, tab._rope(None))
            assert {tab.components.waves, tab.components.angles, tab.components.vision_plot} <= set(drawn)
    if state.trace is not None:
        assert variants_of(state.trace, None)["length"] == len(state.trace)


@pytest.mark.parametrize("first", [None, -1, 10_000, "x", float("nan")])
def test_tokens_that_do_not_exist_are_asked_for_again(
    tabs: list[Tab], parts: Parts, files: Files, first: object
) -> None:
    (rotation,) = [tab for tab in tabs if isinstance(tab, RotationTab)]
    draft = Draft("", (files("cat.png"),))
    panel = parts.preview.refresh(parts.sessions.open("tab", None), draft, VALUES).panel
    assert panel is not None and panel.trace is not None
    drawn = rotation._compare(panel.trace, first, 2, rotation._rope(None))
    assert f"tokens 0 to {len(panel.trace) - 1:,}" in drawn[rotation.components.angles]
    assert drawn[rotation.components.angle_plot].visible is False
