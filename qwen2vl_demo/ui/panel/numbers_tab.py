"""The tab "Numbers": a PromptTrace in words and one bar, for those who would rather read than look.

Only what stands in the trace is said, sizes as width x height like everywhere on the page; what is not known (a chat
whose media are gone) is left out. Every word that comes from outside is escaped.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.panel.numbers_html import numbers_html
from qwen2vl_demo.ui.panel.state import Sight

NAME = "Numbers"


def draw(engine: Engine) -> list[Component]:
    return [gr.HTML(numbers_html(Conversation(), None), elem_id="numbers-tab")]


def update(engine: Engine, sight: Sight) -> list[Any]:
    return [numbers_html(sight.conversation, sight.trace)]
