"""A place in the page in which the scripts of the lens (viz/static/lens) draw one of their views."""

from __future__ import annotations

import gradio as gr

# The scripts of the page may be read a moment later than this one.
MOUNT = """
const mount = () => {
  const lens = window.qwen2vl && window.qwen2vl.lens;
  if (!lens || !lens.views.%(view)s) return setTimeout(mount, 30);
  lens.mount('%(view)s', element.querySelector('.lens'));
};
mount();
"""


def draw_lens_view(view: str) -> None:
    """Draws the place of "picture" or "prompt" into the open Gradio context."""
    gr.HTML(
        html_template='<div class="lens"></div>',
        js_on_load=MOUNT % {"view": view},
        apply_default_css=False,
        elem_id=f"lens-{view}",
    )
