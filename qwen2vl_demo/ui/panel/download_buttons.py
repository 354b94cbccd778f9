"""The buttons at the end of a tab of plots and tables: its figures as one PNG, all of it as one HTML file, and its
address. The browser does all of it (static/keep-figures.js, keep-tab.js, links.js)."""

from __future__ import annotations

import gradio as gr

from qwen2vl_demo.ui.panel.tab import AT_ONCE

FIGURES, VIEW = ("Figures as PNG", "keepFigures"), ("View as HTML", "keepTab")  # label, and the function in the browser
HANDOUTS = (("Handout", "handOut"), ("Handout with answers", "handOutAnswers"))
COPY = """() => {
  const { links } = window.qwen2vl;
  links.copy(links.ofPanel(), document.getElementById('%s'));
  return [];
}"""


def draw_download_buttons(tab: str, *, handouts: bool = False) -> None:
    """`tab` is the name of the tab; its element is `tab-<name>`, in small letters. With `handouts` it is guesses and
    answers without a plot, to be printed with or without the answers."""
    key = tab.lower()
    with gr.Row(elem_classes="panel-keep"):
        for label, function in HANDOUTS if handouts else (FIGURES, VIEW):
            download = f"() => {{ window.qwen2vl.{function}('tab-{key}', '{tab}'); return []; }}"
            _button(label).click(None, None, None, js=download, **AT_ONCE)
        copy = _button("Copy link", elem_id=f"link-{key}")
        copy.click(None, None, None, js=COPY % copy.elem_id, **AT_ONCE)


def _button(label: str, elem_id: str | None = None) -> gr.Button:
    return gr.Button(label, size="sm", scale=0, min_width=120, elem_id=elem_id)
