"""The components of the page and where they stand.

The chat component is an output only: what it shows is made from the state, and what it holds is never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from qwen2vl_demo.ui.example_cards import Example
from qwen2vl_demo.ui.header import header_html, runs_on_html
from qwen2vl_demo.ui.lesson.lesson import Lesson
from qwen2vl_demo.ui.model_facts import draw_model_facts, model_facts
from qwen2vl_demo.ui.model_menu import ModelMenu
from qwen2vl_demo.ui.panel.panel import Panel
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.region_events import RegionComponents, draw_regions

WELCOME = (
    "## What shall it look at?\n"
    "Drop pictures, clips or a PDF into the line below (up to {} MB each), paste one, or take a snapshot. "
    "Then ask, or send them without a word.\n\n"
    "[New to this? See in eight steps how it looks at a picture](#learn)\n\n"
    "Teaching it? [Handouts, tasks and prepared chats for a class](#class)\n\n"
    "{}"
)
TRY = "Or try one of these:"
# A single dollar sign stays one: answers are about prices more often than about formulas.
LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]
SMALL: dict[str, Any] = {"size": "sm", "min_width": 40}
UNSEEN: dict[str, Any] = {"html_template": "<i></i>", "visible": "hidden"}

# The browser keeps what this component holds (page.js says where).
REMEMBER = """
watch('value', () => {
  const text = props.value || '';
  window.qwen2vl?.remember?.(text);
  window.qwen2vl?.copyFrom?.(text);
  window.qwen2vl?.links?.remember(text);
});
"""
# Tells Python when files come, go or change places, without sending a word of what is being typed meanwhile.
WATCH_FILES = """
(window.qwen2vl ||= {}).filesChanged = () => trigger('input');
const count = () => document.querySelectorAll('#composer .thumbnail-item').length;
let last = 0;
new MutationObserver(() => { const now = count(); if (now !== last) { last = now; trigger('input'); } })
  .observe(document.body, {childList: true, subtree: true});
"""
SHOW_ATTACHED = "watch('value', () => window.qwen2vl?.attached?.describe(props.value || '[]'));"
SHOW_READ = "watch('value', () => window.qwen2vl?.attached?.read(props.value || '{}'));"
# pages.js asks for pages here, and gets them here.
PAGES = """
watch('value', () => window.qwen2vl?.pages?.show(props.value || '{}'));
(window.qwen2vl ||= {}).askPages = (file, first) => trigger('select', {index: first, value: file});
"""
# clip-part.js tells which part of a clip was chosen.
CLIP_PART = """
(window.qwen2vl ||= {}).choosePart = (file, start, end) => trigger('select', {index: 0, value: {file, start, end}});
"""
TELL = "watch('value', () => trigger('input'));"
# links.js asks here for what an address names, and is told here what can be named.
LINKED = """
(window.qwen2vl ||= {}).linkTargets = props.value;
window.qwen2vl.askLinked = target => trigger('select', {index: 0, value: target});
"""
# message-rows.js draws the rows under the messages, and tells Python what was pressed in them.
DRAW_ROWS = """
watch('value', () => {
  window.qwen2vl?.drawRows?.(props.value || '[]');
  window.qwen2vl?.drawBoxes?.(props.value || '[]');
  window.qwen2vl?.clock?.know(props.value || '[]');
});
"""
ACT = "(window.qwen2vl ||= {}).act = action => trigger('select', { index: 0, value: action });"
EDITING = "watch('value', () => window.qwen2vl?.edits?.(Boolean(props.value)));"


@dataclass(frozen=True)
class ChatComponents:
    """The chat and what stands around it."""

    chatbot: gr.Chatbot
    rows: gr.HTML  # unseen: what stands under each message
    action: gr.HTML  # unseen: tells what was pressed there
    editing: gr.HTML  # says that the composer holds a question which was asked
    notice: gr.HTML  # the sentence about what went wrong
    cost: gr.HTML  # what the attached files will take
    attached: gr.HTML  # unseen: what each attached file is, for attached.js
    read: gr.HTML  # unseen: the attached files that have been read
    pages: gr.HTML  # unseen: pages of a document that are to be chosen from
    clip_part: gr.HTML  # unseen: tells which part of an attached clip is to be looked at
    composer: gr.MultimodalTextbox
    webcam: gr.Group
    camera: gr.Image
    webcam_button: gr.Button
    webcam_close: gr.Button
    reorder: gr.Button  # unseen: reorder.js has put the files into another order
    undo: gr.Button
    new_chat: gr.Button
    save_json: gr.Button
    save_html: gr.Button
    load: gr.UploadButton


@dataclass(frozen=True)
class KeptComponents:
    """The chats that the browser keeps (static/chats.js): the button of their list, and what the list asks of the
    server, which is unseen."""

    button: gr.Button
    open: gr.Button
    forget: gr.Button
    chat: gr.HTML  # never holds anything: the page puts the chat in its place when it presses one of these buttons
    files: gr.File  # the same for the files of the chat that are no longer here


@dataclass(frozen=True)
class Page:
    """Every component that an event reads or changes."""

    settings: dict[str, Block]  # by the keys of the form's fields
    settings_reset: gr.Button
    kept_settings: gr.HTML  # unseen: the settings that the browser kept, as JSON
    chat: ChatComponents
    settings_button: gr.Button
    theme: gr.Button
    wide: gr.Button
    prompt_sent: gr.HTML  # unseen: another value whenever a question has entered the conversation
    saved: gr.HTML  # unseen: the conversation as JSON, for the browser to keep
    download: gr.DownloadButton  # unseen: carries a file to the browser
    linked: gr.HTML  # unseen: what addresses can name, and tells which one does
    kept: KeptComponents
    regions: RegionComponents


def draw_page(
    parts: Parts,
    panel: Panel,
    lesson: Lesson,
    cards: Sequence[Example],
    targets: dict[str, Any],
    max_file_mb: int,
    menu: ModelMenu | None = None,
) -> Page:
    """Draws the page into the open gr.Blocks, for the model of `parts`. `targets` are those of
    `prepared_chats.link_targets`; without a `menu` of models the one that answers is only named."""
    engine, chosen = parts.engine, menu is not None
    with gr.Sidebar(open=False, width=340, elem_id="settings"):
        gr.Markdown("## Settings")
        settings = parts.form.draw()
        reset = gr.Button("Back to the defaults", elem_id="settings-reset", **SMALL)
        gr.Button("Ask from a program", elem_id="settings-api", **SMALL)
        runs_on = gr.HTML(runs_on_html(engine), elem_id="runs-on")
    with gr.Row(elem_id="header"):
        chats_button = gr.Button("Chats", elem_id="chats-button", scale=0, **SMALL)
        header = gr.HTML(header_html(engine, chosen=chosen), elem_id="title")
        lesson.draw_button()
        settings_button = gr.Button("Settings", elem_id="settings-button", scale=0, **SMALL)
        theme = gr.Button("Colours", elem_id="theme", scale=0, **SMALL)
    facts = draw_model_facts(model_facts(parts, chosen=chosen))
    if menu is not None:
        menu.draw(header, runs_on, facts)
    lesson.draw()
    with gr.Row(elem_id="main"):
        with gr.Column(scale=5, min_width=320, elem_id="talk"):
            chat = _draw_chat(cards, max_file_mb)
        with gr.Column(scale=5, min_width=320, elem_id="side"):
            wide = gr.Button("Wide", elem_id="wide", **SMALL)
            panel.draw()
    saved = gr.HTML("", js_on_load=REMEMBER, elem_id="saved", **UNSEEN)
    prompt_sent = gr.HTML("", js_on_load=TELL, elem_id="prompt-sent", **UNSEEN)
    kept_settings = gr.HTML("", elem_id="kept-settings", **UNSEEN)
    download = gr.DownloadButton("Download", visible=False)
    linked = gr.HTML(targets, js_on_load=LINKED, elem_id="linked", **UNSEEN)
    pressed: dict[str, Any] = {"visible": "hidden", **SMALL}
    kept = KeptComponents(
        button=chats_button,
        open=gr.Button("Open the chat", elem_id="open-chat", **pressed),
        forget=gr.Button("Forget the chat", elem_id="forget-chat", **pressed),
        chat=gr.HTML("", visible=False),
        files=gr.File(file_count="multiple", visible=False),
    )
    # Gradio's own would make an empty file for each.
    kept.files.preprocess = lambda payload: [file.path for file in payload or ()]  # type: ignore
    return Page(
        settings=settings,
        settings_reset=reset,
        kept_settings=kept_settings,
        chat=chat,
        settings_button=settings_button,
        theme=theme,
        wide=wide,
        prompt_sent=prompt_sent,
        saved=saved,
        download=download,
        linked=linked,
        kept=kept,
        regions=draw_regions(),
    )


def _draw_chat(cards: Sequence[Example], max_file_mb: int) -> ChatComponents:
    chatbot = gr.Chatbot(
        elem_id="chat",
        label="Conversation",
        show_label=False,
        container=False,
        height=None,
        buttons=[],  # the rows of message-rows.js have them
        layout="bubble",
        autoscroll=False,  # follow.js does
        latex_delimiters=LATEX,
        placeholder=WELCOME.format(max_file_mb, TRY if cards else ""),
        examples=[{"text": c.text, "display_text": c.label, "files": [str(f) for f in c.files]} for c in cards],
    )
    rows = gr.HTML("", js_on_load=DRAW_ROWS, elem_id="rows", **UNSEEN)
    action = gr.HTML("", js_on_load=ACT, elem_id="action", **UNSEEN)
    notice = gr.HTML("", elem_id="notice")
    with gr.Group(visible=False, elem_id="webcam") as webcam:
        camera = gr.Image(sources=["webcam"], type="filepath", label="Webcam", elem_id="camera", height=260)
        # Gradio's own would open the file in this process, and a call that is forged can name any upload.
        camera.preprocess = lambda payload: payload and payload.path  # type: ignore
        webcam_close = gr.Button("Close the webcam", elem_id="webcam-close", **SMALL)
    cost = gr.HTML("", elem_id="cost", js_on_load=WATCH_FILES)
    attached = gr.HTML("", js_on_load=SHOW_ATTACHED, elem_id="attached", **UNSEEN)
    read = gr.HTML("", js_on_load=SHOW_READ, elem_id="attached-read", **UNSEEN)
    pages = gr.HTML("", js_on_load=PAGES, elem_id="pages-shown", **UNSEEN)
    clip_part = gr.HTML("", js_on_load=CLIP_PART, elem_id="clip-part", **UNSEEN)
    editing = gr.HTML("", js_on_load=EDITING, elem_id="editing")
    composer = gr.MultimodalTextbox(
        elem_id="composer",
        label="Message",
        show_label=False,
        container=False,
        placeholder="Ask something, or drop files here",
        file_count="multiple",
        file_types=None,  # what may be sent is decided by content (media/file_type.py), not by names
        max_plain_text_length=100_000,
        max_lines=8,
        autofocus=True,
        stop_btn=False,
    )
    with gr.Row(elem_id="tools"):
        return ChatComponents(
            chatbot=chatbot,
            rows=rows,
            action=action,
            editing=editing,
            notice=notice,
            cost=cost,
            attached=attached,
            read=read,
            pages=pages,
            clip_part=clip_part,
            composer=composer,
            webcam=webcam,
            camera=camera,
            webcam_close=webcam_close,
            reorder=gr.Button("Reorder", elem_id="reorder-files", visible="hidden", **SMALL),
            undo=gr.Button("Undo", elem_id="undo", **SMALL),
            new_chat=gr.Button("New chat", elem_id="new-chat", **SMALL),
            webcam_button=gr.Button("Webcam", elem_id="webcam-button", **SMALL),
            save_json=gr.Button("Save JSON", elem_id="save-json", **SMALL),
            save_html=gr.Button("Save HTML", elem_id="save-html", **SMALL),
            load=gr.UploadButton("Open", file_types=[".json"], type="filepath", elem_id="open", **SMALL),
        )
