"""The components of the page and where they stand. Knows gradio and words; no handler, no session.

The chat component is an output only: what it shows is made from the state, and what it holds is never read.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.ui.example_cards import Example
from qwen2vl_demo.ui.panel.tabs import draw_panel
from qwen2vl_demo.ui.settings_form import settings_panel

SENTENCE = "Show it a picture, a clip or a page, and ask."
WELCOME = (
    "## What shall it look at?\n"
    "Drop pictures, clips or a PDF into the line below (up to {} MB each), paste one, or take a snapshot. "
    "Then ask, or send them without a word.{}"
)
TRY = " Or try one of these:"
FILE_TYPES = [
    *("image", "video", ".pdf", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".webp", ".gif"),
    *(".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"),
]
SMALL: dict[str, Any] = {"size": "sm", "min_width": 40}

# The browser keeps what this component holds (page.js says where).
REMEMBER = "watch('value', () => window.qwen2vl?.remember?.(props.value || ''));"
# Tells Python when files come or go, without sending a word of what is being typed meanwhile.
WATCH_FILES = """
const count = () => document.querySelectorAll('#composer .thumbnail-item').length;
let last = 0;
new MutationObserver(() => { const now = count(); if (now !== last) { last = now; trigger('input'); } })
  .observe(document.body, {childList: true, subtree: true});
"""
TELL = "watch('value', () => trigger('input'));"


@dataclass(frozen=True)
class Page:
    """Every component that an event reads or changes."""

    settings: list[Component]  # in the order of choices.FIELDS; the system prompt is the first
    chatbot: gr.Chatbot
    numbers: gr.HTML  # the line about the last answer
    notice: gr.HTML  # the sentence about what went wrong
    cost: gr.HTML  # what the attached files will take
    composer: gr.MultimodalTextbox
    webcam: gr.Group
    camera: gr.Image
    webcam_button: gr.Button
    retry: gr.Button
    undo: gr.Button
    clear: gr.Button
    save_json: gr.Button
    save_html: gr.Button
    load: gr.UploadButton
    settings_button: gr.Button
    theme: gr.Button
    panel: list[list[Component]]  # of each tab, what it changes
    wide: gr.Button
    asked: gr.HTML  # unseen: another value whenever a prompt was sent
    saved: gr.HTML  # the conversation as JSON, for the browser to keep
    download: gr.DownloadButton  # unseen: carries a file to the browser
    ask: tuple[gr.File, gr.Textbox, gr.Textbox, gr.Button]  # unseen: file, question, answer, trigger of the endpoint


def draw(engine: Engine, defaults: GenerationOptions, cards: Sequence[Example], max_file_mb: int) -> Page:
    """Draws the page into the open gr.Blocks."""
    with gr.Sidebar(open=False, width=340, elem_id="settings"):
        gr.Markdown("## Settings")
        settings = settings_panel(defaults, engine.pixel_limits)
    with gr.Row(elem_id="header"):
        gr.HTML(
            f'<div class="brand"><h1>Qwen2-VL</h1><p>{SENTENCE}</p></div>'
            f'<p class="engine"><b>{html.escape(engine.name)}</b> {html.escape(engine.description)}</p>',
            elem_id="title",
        )
        settings_button = gr.Button("Settings", elem_id="settings-button", scale=0, **SMALL)
        theme = gr.Button("Dark or light", elem_id="theme", scale=0, **SMALL)
    with gr.Row(elem_id="main"):
        with gr.Column(scale=5, min_width=320, elem_id="talk"):
            talk = _draw_talk(cards, max_file_mb)
        with gr.Column(scale=5, min_width=320, elem_id="side"):
            wide = gr.Button("Wide", elem_id="wide", **SMALL)
            panel = draw_panel(engine)
    saved = gr.HTML("", html_template="<i></i>", js_on_load=REMEMBER, visible="hidden", elem_id="saved")
    asked = gr.HTML("", html_template="<i></i>", js_on_load=TELL, visible="hidden", elem_id="asked")
    download = gr.DownloadButton("Download", visible=False)
    with gr.Group(visible=False):
        ask = (gr.File(label="file"), gr.Textbox(label="question"), gr.Textbox(label="answer"), gr.Button("Ask"))
    return Page(
        settings=settings,
        settings_button=settings_button,
        theme=theme,
        panel=panel,
        wide=wide,
        asked=asked,
        saved=saved,
        download=download,
        ask=ask,
        **talk,
    )


def _draw_talk(cards: Sequence[Example], max_file_mb: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["chatbot"] = gr.Chatbot(
        elem_id="chat",
        label="Conversation",
        show_label=False,
        container=False,
        height=None,
        buttons=["copy", "copy_all"],
        layout="bubble",
        placeholder=WELCOME.format(max_file_mb, TRY if cards else ""),
        examples=[{"text": c.text, "display_text": c.label, "files": [str(f) for f in c.files]} for c in cards],
    )
    made["numbers"] = gr.HTML("", elem_id="numbers")
    made["notice"] = gr.HTML("", elem_id="notice")
    with gr.Group(visible=False, elem_id="webcam") as made["webcam"]:
        made["camera"] = gr.Image(sources=["webcam"], type="filepath", label="Webcam", elem_id="camera", height=260)
    made["cost"] = gr.HTML("", elem_id="cost", js_on_load=WATCH_FILES)
    made["composer"] = gr.MultimodalTextbox(
        elem_id="composer",
        label="Message",
        show_label=False,
        container=False,
        placeholder="Ask something, or drop files here",
        file_count="multiple",
        file_types=FILE_TYPES,
        max_plain_text_length=100_000,
        max_lines=8,
        autofocus=True,
        stop_btn=False,
    )
    with gr.Row(elem_id="tools"):
        made["retry"] = gr.Button("Retry", elem_id="retry", **SMALL)
        made["undo"] = gr.Button("Undo", elem_id="undo", **SMALL)
        made["clear"] = gr.Button("Clear", elem_id="clear", **SMALL)
        made["webcam_button"] = gr.Button("Webcam", elem_id="webcam-button", **SMALL)
        made["save_json"] = gr.Button("Save JSON", elem_id="save-json", **SMALL)
        made["save_html"] = gr.Button("Save HTML", elem_id="save-html", **SMALL)
        made["load"] = gr.UploadButton("Open", file_types=[".json"], type="filepath", elem_id="open", **SMALL)
    return made
