"""The buttons that keep a tab of plots and tables: its figures as one PNG, and all of it as one HTML file. The browser
writes both (static/keep-figures.js, static/keep-tab.js)."""

from __future__ import annotations

import gradio as gr

KINDS = (("Figures as PNG", "keepFigures"), ("View as HTML", "keepTab"))  # what a button says, and who does it


def draw_keep(name: str, *, figures: bool = True) -> None:
    """`name` is what the tab's button says; its element is `tab-<name>`, in small letters. Without `figures` there is
    no plot to keep."""
    with gr.Row(elem_classes="panel-keep"):
        for says, keeper in KINDS if figures else KINDS[1:]:
            button = gr.Button(says, size="sm", scale=0, min_width=120)
            keep = f"() => {{ window.qwen2vl.{keeper}('tab-{name.lower()}', '{name}'); return []; }}"
            button.click(None, None, None, js=keep, api_visibility="private", queue=False)
