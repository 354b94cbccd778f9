"""The button that keeps a tab of plots and tables as one HTML file. The browser writes it (static/keep-tab.js)."""

from __future__ import annotations

import gradio as gr


def draw_keep(name: str) -> None:
    """`name` is what the tab's button says; its element is `tab-<name>`, in small letters."""
    keep = f"() => {{ window.qwen2vl.keepTab('tab-{name.lower()}', '{name}'); return []; }}"
    with gr.Row(elem_classes="panel-keep"):
        button = gr.Button("View as HTML", size="sm", scale=0, min_width=120)
    button.click(None, None, None, js=keep, api_visibility="private", queue=False)
