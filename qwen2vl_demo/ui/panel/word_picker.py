"""The part of the tab "Picture" that shows where the words of the answer looked. What it draws, static/where.js says.

The template is static: words of the answer travel as values and are only ever set as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.panel.attention import NOTHING

STATIC = files("qwen2vl_demo.ui") / "static"
TEMPLATE = """
<section class="where" aria-label="Where the answer looked" hidden>
  <p class="quiet" data-part="note" role="status"></p>
  <div class="pick" data-part="pick" hidden>
    <p><b>Where it looked:</b> <span class="quiet">pick a word of the answer.</span></p>
    <div class="words" data-part="words" role="group" aria-label="Words of the answer"></div>
  </div>
  <div class="found" data-part="found" hidden>
    <div class="choosers" data-part="choosers">
      <label>Layer <select data-part="layer"></select></label>
      <label>Head <select data-part="head"></select></label>
      <label><input type="checkbox" data-part="lift"> Lift faint cells</label>
    </div>
    <p class="quiet" data-part="status" role="status"></p>
    <div class="numbers" data-part="numbers">
      <p class="sentence" data-part="sentence" aria-live="polite"></p>
      <div class="bar" data-part="bar" aria-hidden="true"></div>
    </div>
    <details data-part="more"><summary>How to read this, and what it costs</summary>
      <p class="quiet" data-part="caveat"></p><p class="quiet" data-part="cost"></p></details>
  </div>
</section>
"""
EVENT: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def draw_words() -> gr.HTML:
    """The words, their chooser of layers and heads, and what is said of them."""
    return gr.HTML(
        NOTHING,
        html_template=TEMPLATE,
        css_template=(STATIC / "where.css").read_text(encoding="utf-8"),
        js_on_load=(STATIC / "where.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="where",
    )


def wire_words(chat: Chat, words: Component, state: list[Component], events: Sequence[Any]) -> None:
    """`state` as the panel hands it out; `events` are those behind which another answer may stand there."""

    def show(request: gr.Request, saved: str) -> Any:
        return chat.words(chat.open(request.session_hash, saved))

    def attend(request: gr.Request, event: gr.SelectData, saved: str, *values: Any) -> Any:
        found = chat.attend(chat.open(request.session_hash, saved), values, event.value)
        return gr.skip() if found is None else found

    # No limit: the engine takes one at a time, and the last word that was picked ends the look at the one before.
    words.select(attend, state, [words], concurrency_limit=None, trigger_mode="multiple", **EVENT)  # type: ignore[attr-defined]
    for event in events:
        event.then(show, state[:1], [words], queue=False, **EVENT)
