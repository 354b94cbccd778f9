"""The buttons that download a tab of plots and tables: its figures as one PNG, and all of it as one HTML file. The
browser writes both (static/keep-figures.js, static/keep-tab.js)."""

from __future__ import annotations

import gradio as gr

BUTTONS = (("Figures as PNG", "keepFigures"), ("View as HTML", "keepTab"))  # label, and the function in the browser


def draw_download_buttons(tab: str, *, figures: bool = True) -> None:
    """`tab` is the name of the tab; its element is `tab-<name>`, in small letters. Without `figures` there is no plot
    to download."""
    with gr.Row(elem_classes="panel-keep"):
        for label, function in BUTTONS if figures else BUTTONS[1:]:
            button = gr.Button(label, size="sm", scale=0, min_width=120)
            download = f"() => {{ window.qwen2vl.{function}('tab-{tab.lower()}', '{tab}'); return []; }}"
            button.click(None, None, None, js=download, api_visibility="private", queue=False)
