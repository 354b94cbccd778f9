"""What Gradio keeps of a tab goes with the tab."""

from __future__ import annotations

import datetime

import gradio as gr
import pytest
from gradio.routes import App

from qwen2vl_demo.ui.gradio_sessions import KEEP, release_closed


@pytest.fixture
def app() -> App:
    with gr.Blocks() as demo:
        text = gr.Textbox()
        text.change(lambda value: value, text, text)
    return App.create_app(demo.queue())


def long_ago(app: App, *tabs: str) -> None:
    for tab in tabs:
        app.state_holder.time_last_used[tab] -= KEEP + datetime.timedelta(seconds=1)


def test_the_properties_of_the_components_of_a_closed_tab_go_a_moment_after_its_last_use(app: App) -> None:
    for tab in ("open", "closed", "just used"):
        assert app.state_holder[tab].config_values
    long_ago(app, "open", "closed")
    release_closed(app, {"open"})
    assert list(app.state_holder.session_data) == list(app.state_holder.time_last_used) == ["open", "just used"]


def test_messages_that_nobody_fetched_go_unless_an_event_still_writes_them(app: App) -> None:
    queue = app.get_blocks()._queue
    for tab in ("open", "closed", "writes"):
        queue.pending_messages_per_session[tab] = object()
        queue.pending_event_ids_session[tab] = {"event"} if tab == "writes" else set()
    release_closed(app, {"open"})
    assert list(queue.pending_messages_per_session) == ["open", "writes"]
