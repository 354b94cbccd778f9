"""The part of the tab "Picture" in which a word of the answer is picked to see where it looked (static/where.js).

The template is static: words of the answer travel as values and are only ever set as text.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from qwen2vl_demo.ui.panel.attention import NO_WORDS, AnswerAttention
from qwen2vl_demo.ui.panel.tab import QUEUED, AfterRefresh, PageContext

STATIC = files("qwen2vl_demo.ui") / "static"
TEMPLATE = """
<section class="where" aria-label="Where the answer looked" hidden>
  <p class="quiet" data-part="note" role="status"></p>
  <div class="pick" data-part="pick" hidden>
    <p><b>Where it looked:</b> <span class="quiet">pick a word of the answer, here or in the chat.</span>
      <label class="which" data-part="which" hidden>Answer <select data-part="turn"></select></label></p>
    <div class="words" data-part="words" role="group" aria-label="Words of the answer"></div>
  </div>
  <div class="found" data-part="found" hidden>
    <div class="choosers" data-part="choosers">
      <label>Layer <select data-part="layer"></select></label>
      <label><span data-term="head">Head</span> <select data-part="head"></select></label>
      <button type="button" data-part="play">Play the layers</button>
      <label><input type="checkbox" data-part="lift"> Brighten faint cells</label>
      <label data-part="beyond"><input type="checkbox" data-part="subtract"> Subtract what “Describe.” looks at</label>
    </div>
    <p class="quiet" data-part="status" role="status"></p>
    <div class="numbers" data-part="numbers">
      <p class="sentence" data-part="sentence" aria-live="polite"></p>
      <div class="bar" data-part="bar" aria-hidden="true"></div>
    </div>
    <details data-part="more"><summary>How to read this, and what it costs</summary>
      <p class="quiet" data-part="caveat"></p><p class="quiet">Subtracting shows which part of its attention on the
      pictures this word gave to a cell beyond what a question gives that asks for nothing in particular, so that cells
      which every question looks at fall away. Such cells are ringed: some hold nothing, and some stand out.</p>
      <p class="quiet" data-part="cost"></p></details>
  </div>
</section>
"""


class WordPicker:
    """The words of the answer, with the choice of layer and head and what is said of the chosen word."""

    component: gr.HTML

    def __init__(self, attention: AnswerAttention) -> None:
        self._attention = attention

    def draw(self) -> None:
        self.component = gr.HTML(
            NO_WORDS,
            html_template=TEMPLATE,
            css_template=(STATIC / "where.css").read_text(encoding="utf-8"),
            js_on_load=(STATIC / "where.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            elem_id="where",
        )

    def wire(self, page: PageContext) -> AfterRefresh:
        async def map_word(request: gr.Request, event: gr.SelectData, saved: str) -> Any:
            found = await self._attention.map_word(await page.opened_session(request, saved), event.value)
            return gr.skip() if found is None else found

        # No limit: the engine's own queue takes one at a time, and picking another word cancels the one before.
        self.component.select(map_word, [page.saved], [self.component], trigger_mode="multiple", **QUEUED)
        return AfterRefresh(lambda session, _: {self.component: self._attention.words(session)}, [self.component])
