"""The place of the lesson in the page, and the components through which it asks and is answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from qwen2vl_demo.ui.lesson.live import LiveLesson, LiveQuestion
from qwen2vl_demo.ui.lesson.prepared import prepared, records
from qwen2vl_demo.ui.lesson.teaching import teaching_html
from qwen2vl_demo.ui.panel.experiments import Experiments
from qwen2vl_demo.ui.panel.tab import AT_ONCE, QUEUED, PageContext
from qwen2vl_demo.ui.parts import Parts

TOGGLE = "() => { window.qwen2vl.lesson.toggle(); return []; }"

# The first value holds what the lesson is made of, each later one an answer. The scripts of the page may be read a
# moment later than this one.
CONNECT = """
const { prepared, teaching } = props.value;
const mount = () => {
  const lesson = window.qwen2vl && window.qwen2vl.lesson;
  const root = document.querySelector('#lesson .lesson');
  if (!root || !lesson || !lesson.mount) return setTimeout(mount, 30);
  lesson.subjects.prepare(prepared);
  lesson.teaching = teaching;
  lesson.ask = question => trigger('select', {index: 0, value: question});
  lesson.mount(root);
};
mount();
watch('value', () => props.value.trials && window.qwen2vl.lesson.receive(props.value));
"""


@dataclass(frozen=True)
class LessonComponents:
    button: gr.Button
    data: gr.HTML  # unseen


class Lesson:
    """The page's third state, beside the chat and the panel."""

    components: LessonComponents

    def __init__(self, parts: Parts, experiments: Experiments) -> None:
        self._subjects = prepared()
        self._live = LiveLesson(experiments, parts.store, parts.threads, self._subjects)

    @property
    def files(self) -> Sequence[Path]:
        """What the browser may load."""
        return [subject.file for subject in self._subjects]

    def draw_button(self) -> gr.Button:
        """The button of the header; call it before `draw`."""
        self._button = gr.Button("Learn", elem_id="learn-button", scale=0, size="sm", min_width=40)
        return self._button

    def draw(self) -> None:
        """The place of the lesson, into the open Gradio context."""
        gr.HTML(html_template='<div class="lens lesson"></div>', apply_default_css=False, elem_id="lesson")
        told = {"prepared": records(self._subjects), "teaching": teaching_html()}
        data = gr.HTML(told, html_template="<i></i>", js_on_load=CONNECT, elem_id="lesson-data", visible="hidden")
        self.components = LessonComponents(self._button, data)

    def wire(self, page: PageContext) -> None:
        # Not "ask": that is the name of the endpoint of programs.
        async def ask_live(
            request: gr.Request, event: gr.SelectData, saved: str, **settings: Any
        ) -> AsyncGenerator[Any, None]:
            asked = LiveQuestion.read(event.value)
            if asked is None:
                yield gr.skip()
                return
            states = self._live.ask(await page.opened_session(request, saved), asked, settings)
            try:
                async for state in states:
                    yield state
            finally:
                await states.aclose()

        # No limit: the engine's own queue takes one at a time, and a newer question cancels the one before.
        self.components.data.select(
            ask_live, None, [self.components.data], inputs_kwargs=page.inputs, trigger_mode="multiple", **QUEUED
        )
        self.components.button.click(None, None, None, js=TOGGLE, **AT_ONCE)
