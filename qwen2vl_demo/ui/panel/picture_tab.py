"""The tab "Picture": each picture and clip of the prompt, from its pixels to the positions of its tokens.

The browser draws it (viz/static/lens): the template is static, and the prompt travels as the value of one unseen
component, which the tab "Prompt" reads as well. Pointing at a cell asks nothing of the server; only a new budget does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.ui.eyes import RELEASED_LIMITS
from qwen2vl_demo.ui.panel.attention import AnswerAttention
from qwen2vl_demo.ui.panel.laboratory import AnswerLaboratory
from qwen2vl_demo.ui.panel.laboratory_view import LaboratoryView
from qwen2vl_demo.ui.panel.lens_view import draw_lens_view
from qwen2vl_demo.ui.panel.preview import Preview
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import AT_ONCE, QUEUED, AfterRefresh, PageContext, Updates
from qwen2vl_demo.ui.panel.word_picker import WordPicker
from qwen2vl_demo.ui.worker_threads import WorkerThreads
from qwen2vl_demo.viz.lens_payload import detail, new_image_cache, payload

MAX_BUDGET = 16_384  # merged tokens of a picture, the checkpoints' own limit

SHOW = """
const show = () => {
  const lens = window.qwen2vl && window.qwen2vl.lens;
  if (!lens || !lens.views.prompt) return setTimeout(show, 30);
  lens.actions.apply = tokens => trigger('select', {index: 0, value: tokens});
  lens.actions.back = () => lens.show(props.value && props.value.version ? props.value : null);
  lens.actions.back();
};
show();
watch('value', show);
"""

SHARPEN = """
const lens = () => window.qwen2vl && window.qwen2vl.lens;
const ready = () => {
  if (!lens() || !lens().sharpen) return setTimeout(ready, 30);
  lens().actions.detail = (digest, t) => trigger('select', {index: t, value: digest});
};
ready();
watch('value', () => lens() && lens().sharpen(props.value));
"""


@dataclass(frozen=True)
class PictureComponents:
    data: gr.HTML  # unseen: the prompt, for all views of the lens
    detail: gr.HTML  # unseen: one picture or pair of frames at its full size


class PictureTab:
    name = "Picture"
    components: PictureComponents

    def __init__(
        self,
        pixel_limits: tuple[int, int],
        preview: Preview,
        attention: AnswerAttention,
        laboratory: AnswerLaboratory,
        threads: WorkerThreads,
    ) -> None:
        self._pixel_limits, self._preview, self._threads = pixel_limits, preview, threads
        self._words, self._laboratory = WordPicker(attention), LaboratoryView(laboratory)
        self._images = new_image_cache()

    def draw(self) -> None:
        draw_lens_view("picture")
        self._words.draw()
        self._laboratory.draw()
        unseen: dict[str, Any] = {"html_template": "<i></i>", "visible": "hidden"}
        self.components = PictureComponents(
            data=gr.HTML({}, js_on_load=SHOW, elem_id="lens-data", **unseen),
            detail=gr.HTML({}, js_on_load=SHARPEN, elem_id="lens-detail", **unseen),
        )

    def outputs(self) -> Sequence[Component]:
        return [self.components.data]

    def update(self, state: PanelState) -> Updates:
        if state.trace is None:
            return {self.components.data: {}}
        drawn = payload(
            state.trace,
            state.frames,
            state.thumbnails,
            draft=state.draft,
            limits=(state.limits or self._pixel_limits) if state.eyes == "model" else RELEASED_LIMITS,
            eyes=state.eyes,
            images=self._images,
        )
        return {self.components.data: drawn}

    def wire(self, page: PageContext) -> Sequence[AfterRefresh]:
        """The button of the budget changes the setting, and the setting makes the panel refresh."""
        words = self._words.wire(page)
        self._laboratory.wire(page)
        self.components.data.select(chosen_budget, None, [page.settings["max_tokens"]], **AT_ONCE)

        async def load_detail(request: gr.Request, event: gr.SelectData, saved: str) -> Any:
            digest, t = event.value, event.index
            if not isinstance(digest, str) or not isinstance(t, int):
                return gr.skip()
            session = page.open_session(request, saved)

            def drawn() -> Any:
                frames = self._preview.frames(session, digest)
                if frames is None or not 0 <= 2 * t < len(frames):
                    return gr.skip()
                return {"digest": digest, "t": t, "image": detail(frames, t if len(frames) > 1 else None)}

            return await self._threads.run_for(session, drawn)

        self.components.detail.select(load_detail, [page.saved], [self.components.detail], **QUEUED)
        return [words]


def chosen_budget(event: gr.SelectData) -> Any:
    """The number of tokens that was chosen in the lens, if the setting allows it."""
    tokens = event.value
    return int(tokens) if isinstance(tokens, int | float) and 1 <= tokens <= MAX_BUDGET else gr.skip()
