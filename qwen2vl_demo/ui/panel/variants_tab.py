"""The tab "Variants": the positions of this prompt under M-RoPE and beside it under other schemes.

The browser draws it (static/variants*.js) from one payload and asks nothing; the payload is made while the tab is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.config import Qwen2VLConfig
from qwen2vl_demo.released import REFERENCE, RELEASED
from qwen2vl_demo.trace import PromptTrace
from qwen2vl_demo.ui.panel.download_buttons import draw_download_buttons
from qwen2vl_demo.ui.panel.lazy import LazyDrawing
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import AfterRefresh, PageContext, Updates
from qwen2vl_demo.ui.panel.token_pairs import pairs_of
from qwen2vl_demo.ui.sessions import Session, ShownPrompt
from qwen2vl_demo.viz.bands import Rope
from qwen2vl_demo.viz.variants_payload import variants_payload

STATIC = files("qwen2vl_demo.ui") / "static"
SCRIPTS = ("variants-model.js", "variants-draw.js", "variants-plane.js", "variants.js")  # in the order of execution
# The scripts of the lens may be read a moment later than these.
SHOW = """
const mount = () => {
  if (!window.qwen2vl?.lens?.views.prompt) return setTimeout(mount, 30);
  const show = window.qwen2vl.variants.mount(element.querySelector('.variants'));
  show(props.value);
  watch('value', () => show(props.value));
};
mount();
"""


@dataclass(frozen=True)
class VariantsComponents:
    view: gr.HTML


class VariantsTab:
    name = "Variants"
    components: VariantsComponents

    def draw(self) -> None:
        self._lazy = LazyDrawing("variants-lazy")
        self.components = VariantsComponents(
            view=gr.HTML(
                {},
                html_template='<div class="lens variants"></div>',
                js_on_load="\n".join([*((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS), SHOW]),
                apply_default_css=False,
                elem_id="variants-view",
            )
        )
        draw_download_buttons(self.name)

    def outputs(self) -> Sequence[Component]:
        return []

    def update(self, state: PanelState) -> Updates:
        """Nothing: it is drawn when the tab is open."""
        return {}

    def wire(self, page: PageContext) -> Sequence[AfterRefresh]:
        return [self._lazy.wire_shown(page, [self.components.view], self._draw)]

    def _draw(self, shown: ShownPrompt | None, session: Session) -> Updates:
        return {self.components.view: variants_of(shown.drawn, shown.config) if shown is not None else {}}


def variants_of(trace: PromptTrace, config: Qwen2VLConfig | None) -> dict[str, Any]:
    """What the tab draws of a prompt. `config` is that of the loaded checkpoint; None takes the released ones', whose
    rotary embeddings agree."""
    if len(trace) < 2:
        return {}
    pairs = [(pair.words, pair.first, pair.second) for pair in pairs_of(trace)]
    text = (config or RELEASED[REFERENCE]).text
    return variants_payload(trace, Rope(text.mrope_section, text.rope_theta, yarn=text.yarn), pairs)
