"""The tab "Numbers": a PromptTrace in words and one bar, for those who would rather read than look.

Only what the trace says is shown, sizes as width x height like everywhere on the page; what is not known (a chat whose
media are gone) is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.panel.numbers_html import numbers_html
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import AT_ONCE, PageContext, Updates


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
        """An answer that ended may say that its model read something else."""

        def answered(request: gr.Request) -> Any:
            session = page.find_session(request)
            if session is None:
                return gr.skip()
            with session.lock:
                conversation, shown = session.conversation, session.shown
            answer = conversation.last.answer if conversation.last else None
            if shown is None or shown.draft or answer is None or answer.numbers is None or not answer.numbers.remark:
                return gr.skip()
            return numbers_html(conversation, shown.trace)

        for refreshed in page.refreshed:
            refreshed.then(answered, None, [self.components.text], **AT_ONCE)
