"""What the chat shows: a Conversation as Gradio messages, made anew from the state each time and never read back.

The store says which file shows a medium, and draws the pictures with boxes.
"""

from __future__ import annotations

from typing import Any

from qwen2vl_demo.ui.chat.answer_boxes import answer_boxes, drawn_pictures
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Ending, Medium, Turn, gone
from qwen2vl_demo.ui.chat.markdown import GrowingMarkdown, literal, safe_markdown
from qwen2vl_demo.ui.chat.question_regions import boxes_of, pointed_picture, readable
from qwen2vl_demo.ui.media_store import MediaStore, view_remark
from qwen2vl_demo.viz.boxes import text_without_boxes

Bubble = dict[str, Any]  # a message as gr.Chatbot takes it

NOTHING_SAID: dict[Ending, str] = {
    "cancelled": "*Stopped before the first word. The model will not be told of this question; Retry asks it again.*",
    "error": "*There is no answer. The model will not be told of this question; Retry asks it again.*",
    "end": "*The model ended its answer without a word.*",
    "length": "*The model ended its answer without a word.*",
    "repeating": "*The model ended its answer without a word.*",
}


def show(conversation: Conversation, store: MediaStore) -> list[Bubble]:
    """All messages of the chat."""
    messages: list[Bubble] = []
    for index, turn in enumerate(conversation.turns):
        messages.append(question(turn, store, pointed_picture(conversation, index)))
        if turn.answer is not None:
            messages.append(answer(conversation, index, turn.answer, store))
    return messages


def question(turn: Turn, store: MediaStore, pointed: Medium | None = None) -> Bubble:
    """Files first, then the words, as the model gets them. `pointed` is the picture on which its regions lie, which is
    shown with them."""
    marked = [] if pointed is None else _with_regions(pointed, turn.question, store)
    own = pointed in turn.media
    content = [] if own else marked
    for at, medium in enumerate(turn.media):
        first = own and at == turn.media.index(medium) and medium == pointed
        content += marked if first else medium_parts(medium, store)
    if turn.typed:
        content.append(_text(asked_words(turn.question)))
    else:
        content.append(_text(f"{literal(turn.question)}\n\n*Nothing was typed, so this is asked.*"))
    return {"role": "user", "content": content}


def asked_words(question: str) -> str:
    """The words of a question as Markdown that shows them as they were typed, with "box 1" for its first region."""

    def words(text: str) -> str:
        # `literal` takes these spaces for those at the ends of a line.
        first, last = text[:1] == " ", text[1:].endswith(" ")
        return " " * first + literal(text[first:]) + " " * last

    return readable(question, words, lambda number: f"`box {number}`")


def answer(conversation: Conversation, index: int, given: Answer, store: MediaStore) -> Bubble:
    """The pictures with the answer's boxes, if it has any, and its words."""
    if not given.text.strip():
        return {"role": "assistant", "content": [_text(NOTHING_SAID[given.ending])]}
    content = []
    for picture, file in drawn_pictures(answer_boxes(conversation, index), store):
        names = ", ".join(dict.fromkeys(drawn.box.label for drawn in picture.boxes if drawn.box.label)) or "boxes"
        content.append({"path": str(file), "alt_text": f"{picture.medium.name} with {names} marked"})
        if picture.caption:
            content.append(_text(f"*{literal(picture.caption)}*"))
    return {"role": "assistant", "content": [*content, _text(safe_markdown(text_without_boxes(given.text)))]}


def growing(text: str, markdown: GrowingMarkdown) -> Bubble:
    """An answer that is still being written; `markdown` is the one of this answer, and remembers what is finished."""
    return {"role": "assistant", "content": [_text(markdown.update(text_without_boxes(text, growing=True)))]}


def status(words: str) -> Bubble:
    """What the engine is doing, where the answer will stand."""
    return {"role": "assistant", "content": "", "metadata": {"title": words, "status": "pending"}}


def medium_parts(medium: Medium, store: MediaStore) -> list[dict[str, Any]]:
    """What is shown of a medium, and a word where that is not the file itself."""
    view = store.view(medium)
    if view is None:
        return [_text(f"*{literal(gone(medium))}*")]
    remark = view_remark(medium, view)
    shown = {"path": str(view), "alt_text": medium.name}
    return [shown, _text(f"*{literal(medium.name)}: {remark}*")] if remark else [shown]


def _with_regions(picture: Medium, question: str, store: MediaStore) -> list[dict[str, Any]]:
    boxes = boxes_of(question)
    file = store.boxed(picture, boxes)
    if file is None:
        return medium_parts(picture, store)
    names = "box 1" if len(boxes) == 1 else f"boxes 1 to {len(boxes)}"
    return [{"path": str(file), "alt_text": f"{picture.name} with {names} marked"}]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
