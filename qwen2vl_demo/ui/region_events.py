"""The events of regions: a part of a picture becomes a further one, and a picture with boxes is saved.

What a visitor draws, and the question that it goes into, need no event: static/lightbox-mark.js writes it into the
composer, and it is sent with the question.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency

from qwen2vl_demo.errors import Cancelled, UserError
from qwen2vl_demo.ui.chat.answer_boxes import answer_boxes
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.chat.page_update import FAILED, PageUpdate, report
from qwen2vl_demo.ui.cutouts import read_wanted
from qwen2vl_demo.ui.panel.tab import AT_ONCE, QUEUED, Updates
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session

UNSEEN: dict[str, Any] = {"html_template": "<i></i>", "visible": "hidden"}
# What the page asks for; nothing comes back in these.
CUT = "(window.qwen2vl ||= {}).cutOut = wanted => trigger('select', {index: 0, value: wanted});"
SAVE = "(window.qwen2vl ||= {}).savePicture = turn => trigger('select', {index: 0, value: turn});"
CUTTING = "Cutting it out of the picture…"
NOT_HERE = "The picture of this answer is no longer kept here."


@dataclass(frozen=True)
class RegionComponents:
    """Unseen: what static/lightbox-mark.js and static/message-rows.js ask for."""

    cut: gr.HTML
    save: gr.HTML


def draw_regions() -> RegionComponents:
    """Draws them into the open gr.Blocks."""
    return RegionComponents(
        cut=gr.HTML("", js_on_load=CUT, elem_id="cut-out", **UNSEEN),
        save=gr.HTML("", js_on_load=SAVE, elem_id="save-picture", **UNSEEN),
    )


@dataclass(frozen=True, eq=False)
class RegionEvents:
    """What Gradio calls, and what of the page's other events it needs."""

    components: RegionComponents
    parts: Parts
    opened: Callable[[gr.Request, str], Awaitable[Session]]
    draft: Callable[[Any], Draft]
    notice: Callable[[PageUpdate], Updates]
    whole: Callable[[PageUpdate], Updates]  # with the composer
    save: Callable[[gr.Request, str, str, Callable[[Conversation], bytes]], Awaitable[Any]]  # a file to download

    def wire(
        self,
        composer: Component,
        saved: Component,
        notice: Component,
        whole: Sequence[Block],
        saving: Sequence[Component],
    ) -> tuple[Dependency, Dependency]:
        """`notice`, `whole` and `saving` are the components that the functions of these names change. Returns the event
        behind which the composer may hold other files, and the one behind which there is a file to download."""
        every: dict[str, Any] = {"trigger_mode": "multiple", **QUEUED}
        made = self.components.cut.select(self.cut, [composer, saved], [notice], **every)
        attached = made.then(self.attach, [composer], list(whole), trigger_mode="multiple", **AT_ONCE)
        return attached, self.components.save.select(self.save_picture, [saved], list(saving), **every)

    async def cut(
        self, request: gr.Request, event: gr.SelectData, box: Any, saved: str
    ) -> AsyncGenerator[Updates, None]:
        """Makes the picture; `attach` follows, with what stands in the composer by then."""
        session = await self.opened(request, saved)
        visitor = request.client.host if request.client else ""
        yield self.notice(PageUpdate(notice=CUTTING))
        notice = ""
        try:
            wanted = read_wanted(event.value)
            make = self.parts.cutouts.make
            await self.parts.threads.run_for(session, make, session, wanted, self.draft(box), visitor)
        except Cancelled:
            pass
        except UserError as problem:
            notice = str(problem)
        except Exception as problem:
            report(problem, "cutting a part out of a picture")
            notice = FAILED.format("the picture")
        yield self.notice(PageUpdate(notice=notice))

    async def attach(self, request: gr.Request, box: Any) -> Any:
        session = await self.opened(request, "")
        draft = self.parts.cutouts.attach(session, self.draft(box))
        return gr.skip() if draft is None else self.whole(PageUpdate(draft=draft))

    async def save_picture(self, request: gr.Request, event: gr.SelectData, saved: str) -> Any:
        """The picture of an answer with its boxes, as a PNG file; the event names the turn by its number."""
        number = event.value

        def write(conversation: Conversation) -> bytes:
            index = conversation.index(number) if type(number) is int else None
            marked = None if index is None else answer_boxes(conversation, index)
            first = next((one for one in marked.pictures if one.medium.kind == "image"), None) if marked else None
            content = first and self.parts.store.boxed_png(first.medium, first.boxes)
            if not content:
                raise UserError(NOT_HERE)
            return content

        return await self.save(request, saved, "picture-with-boxes.png", write)
