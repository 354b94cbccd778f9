"""The tab "Numbers": a PromptTrace in words and one bar, for those who would rather read than look.

Only what the trace says is shown, sizes as width x height like everywhere on the page; what is not known (a chat whose
media are gone) is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.panel.numbers_html import numbers_html
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import PageContext, Updates


@dataclass(frozen=True)
class NumbersComponents:
    text: gr.HTML


class NumbersTab:
    name = "Numbers"
    components: NumbersComponents

    def draw(self) -> None:
        self.components = NumbersComponents(gr.HTML(numbers_html(Conversation(), None), elem_id="numbers-tab"))

    def outputs(self) -> Sequence[Component]:
        return [self.components.text]

    def update(self, state: PanelState) -> Updates:
        return {self.components.text: numbers_html(state.conversation, state.trace)}

    def wire(self, page: PageContext) -> None:
        """It follows the panel and has no events of its own."""
