"""The tab "Picture": each picture and clip of the prompt, from its pixels to the positions of its tokens.

What is drawn, the browser draws (static/lens): the template is static and the prompt travels as the value of one unseen
component, which the tab "Prompt" reads as well. Pointing asks nothing of the server; only a new budget does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.ui.answer_settings import FIELDS
from qwen2vl_demo.ui.chat.controller import Chat
from qwen2vl_demo.ui.panel.state import Sight
from qwen2vl_demo.ui.panel.word_picker import draw_words, wire_words
from qwen2vl_demo.viz.lens_payload import detail as closer
from qwen2vl_demo.viz.lens_payload import payload

NAME = "Picture"
SETTINGS_FIRST = 1  # in `state`, behind `saved`

# The scripts of the page may be read a moment later than this one.
MOUNT = """
const mount = () => {
  const lens = window.qwen2vl && window.qwen2vl.lens;
  if (!lens || !lens.views.%(view)s) return setTimeout(mount, 30);
  lens.mount('%(view)s', element.querySelector('.lens'));
};
mount();
"""
SHOW = """
const show = () => {
  const lens = window.qwen2vl && window.qwen2vl.lens;
  if (!lens || !lens.views.prompt) return setTimeout(show, 30);
  lens.actions.apply = tokens => trigger('select', {index: 0, value: tokens});
  lens.show(props.value && props.value.version ? props.value : null);
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


def lens_view(view: str) -> gr.HTML:
    """A place in which the browser draws one view."""
    return gr.HTML(
        html_template='<div class="lens"></div>',
        js_on_load=MOUNT % {"view": view},
        apply_default_css=False,
        elem_id=f"lens-{view}",
    )


def draw(engine: Engine) -> list[Component]:
    words = draw_words()
    lens_view("picture")
    data = gr.HTML({}, html_template="<i></i>", js_on_load=SHOW, visible="hidden", elem_id="lens-data")
    sharper = gr.HTML({}, html_template="<i></i>", js_on_load=SHARPEN, visible="hidden", elem_id="lens-detail")
    return [data, words, sharper]


def update(engine: Engine, sight: Sight) -> list[Any]:
    if sight.trace is None:
        return [{}, gr.skip(), gr.skip()]
    return [
        payload(sight.trace, sight.media, sight.originals, draft=sight.draft, limits=engine.pixel_limits),
        gr.skip(),
        gr.skip(),
    ]


def wire(chat: Chat, components: list[Component], state: list[Component]) -> None:
    """The button of the budget moves the setting, and the setting makes the panel look again."""
    data, _, sharper = components
    most = state[SETTINGS_FIRST + FIELDS.index("max_tokens")]
    data.select(_budget, None, [most], api_visibility="private", show_progress="hidden", queue=False)  # type: ignore[attr-defined]

    def detail(request: gr.Request, event: gr.SelectData, saved: str, *values: Any) -> Any:
        digest, t = event.value, event.index
        if not isinstance(digest, str) or not isinstance(t, int):
            return gr.skip()
        pixels = chat.pixels(chat.open(request.session_hash, saved), values, digest)
        if pixels is None or not 0 <= 2 * t < len(pixels):
            return gr.skip()
        return {"digest": digest, "t": t, "image": closer(pixels, t if len(pixels) > 1 else None)}

    sharper.select(detail, state, [sharper], api_visibility="private", show_progress="hidden", concurrency_limit=None)  # type: ignore[attr-defined]


def follow(chat: Chat, components: list[Component], state: list[Component], events: Sequence[Any]) -> None:
    wire_words(chat, components[1], state, events)


def _budget(event: gr.SelectData) -> Any:
    tokens = event.value
    return int(tokens) if isinstance(tokens, int | float) and 1 <= tokens <= 16_384 else gr.skip()
