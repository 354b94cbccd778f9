"""The part of the tab "Picture" that looks into an answer (static/lab): a hidden region, what else a word could have
been, and one token layer by layer.

The template is static: what the model wrote travels as values and is only ever set as text.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from importlib.resources import files
from typing import Any

import gradio as gr

from qwen2vl_demo.ui.panel.laboratory import AnswerLaboratory
from qwen2vl_demo.ui.panel.tab import QUEUED, PageContext

STATIC = files("qwen2vl_demo.ui") / "static" / "lab"
# In the order of execution: the first one makes what the others use.
SCRIPTS = ("lab", "words", "hide", "choices", "layers")
TEMPLATE = """
<section class="lab" aria-label="Look into the answer" hidden>
  <details data-fold="hide">
    <summary>Hide a region: which words need it?</summary>
    <div class="tool" data-part="hide">
      <p class="quiet">Choose a part of the picture. The answer is then read again without it, and each word says how
        much less likely it became.</p>
      <div class="row">
        <button type="button" data-part="choose" aria-pressed="false">Choose a region</button>
        <div class="ways" role="radiogroup" aria-label="How it is hidden">
          <label><input type="radio" name="lab-way" value="grey" checked> grey pixels</label>
          <label><input type="radio" name="lab-way" value="left_out"> tokens left out of attention</label>
        </div>
        <label data-part="moment" hidden><input type="checkbox"> only in this step of the clip</label>
      </div>
      <p class="quiet" data-part="region" role="status"></p>
      <div class="row">
        <button type="button" class="strong" data-part="go" disabled>Hide it</button>
        <button type="button" data-part="all">Hide each block in turn</button>
        <button type="button" data-part="stop" hidden>Stop</button>
        <progress data-part="progress" max="1" value="0" aria-label="Blocks hidden so far" hidden></progress>
      </div>
      <p class="quiet" data-part="status" role="status"></p>
      <div class="found" data-part="found" hidden>
        <p class="legend" data-part="legend"></p>
        <div class="lost" data-part="words" role="group" aria-label="Words of the answer, and what each lost"></div>
        <p class="sentence" data-part="sentence" aria-live="polite"></p>
      </div>
      <details><summary>The two ways, and how to read it</summary>
        <p class="quiet">Grey pixels: the place is painted over before the model looks, so nothing of it is left, but
          there is a grey rectangle now, which the picture did not have. Left out of attention: the language model may
          not look at these tokens, but their neighbours have seen their pixels in the vision transformer and carry
          some of that. Where both agree, the word needed the region.</p>
        <p class="quiet">The numbers are differences of natural logarithms of probabilities: 0 is no change, −0.7 half
          as likely, −2.3 a tenth, −6.9 a thousandth. Each word is judged behind the words before it as they were
          written, so a word that these settle already loses little.</p></details>
    </div>
  </details>
  <details data-fold="choices">
    <summary>What else could it have said?</summary>
    <div class="tool" data-part="choices">
      <p class="quiet" data-part="ask-word">Pick a word of the answer above.</p>
      <p class="quiet" data-part="how"></p>
      <div data-part="places"></div>
      <p class="quiet" data-part="choices-status" role="status"></p>
      <div class="instead" data-part="instead" hidden></div>
    </div>
  </details>
  <details data-fold="layers">
    <summary>One token, layer by layer</summary>
    <div class="tool" data-part="layers">
      <p class="quiet">Which words of the vocabulary a token of the picture resembles on its way through the language
        model. Read it as an aid only: the output layer was trained to read the last row, where the model says what
        it expects to follow, and a token that resembles no word may still hold much.</p>
      <div class="row">
        <button type="button" data-part="read">Read the token shown above</button>
        <span class="quiet" data-part="which" role="status"></span>
      </div>
      <p class="quiet" data-part="layers-status" role="status"></p>
      <div data-part="rows" tabindex="-1"></div>
    </div>
  </details>
  <p class="quiet" data-part="unavailable" hidden></p>
</section>
"""


class LaboratoryView:
    """The three tools below the words of the answer."""

    component: gr.HTML

    def __init__(self, laboratory: AnswerLaboratory) -> None:
        self._laboratory = laboratory

    def draw(self) -> None:
        self.component = gr.HTML(
            {},
            html_template=TEMPLATE,
            css_template=(STATIC / "lab.css").read_text(encoding="utf-8"),
            js_on_load="\n".join((STATIC / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS),
            apply_default_css=False,
            elem_id="lab",
        )

    def wire(self, page: PageContext) -> None:
        async def ask(request: gr.Request, event: gr.SelectData, saved: str) -> AsyncGenerator[Any, None]:
            results = self._laboratory.ask(await page.opened_session(request, saved), event.value)
            try:
                async for result in results:
                    yield result
            finally:
                await results.aclose()
            yield gr.skip()  # Gradio sends the last update of a stream again when it ends

        # No limit: the engine's own queue takes one at a time, and what is asked anew cancels what was asked before.
        self.component.select(ask, [page.saved], [self.component], trigger_mode="multiple", **QUEUED)
