"""Which picture the boxes of an answer lie on, and at which size the model saw it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qwen2vl_demo.ui.chat.answer_boxes import boxed_picture, marked_picture
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Medium, MediumNumbers, Numbers, Turn
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.viz.boxes import Box

CAT = Medium("image", "a" * 64 + ".png", "image.png")
DOG = Medium("image", "b" * 64 + ".jpg", "image.png")
CLIP = Medium("video", "c" * 64 + ".mp4", "clip.mp4")


def test_boxes_belong_to_the_turns_picture_or_the_last_one_before() -> None:
    two = Conversation((Turn("?", (CAT, DOG), True, Answer("In picture 2 is a dog.", "end")), Turn("?", (), True)))
    assert boxed_picture(two, 0) == DOG
    assert boxed_picture(two, 1) == DOG
    assert boxed_picture(Conversation((Turn("?", (CAT, DOG), True, Answer("there", "end")),)), 0) == CAT
    assert boxed_picture(Conversation((Turn("?", (CLIP,)),)), 0) is None


def test_pixels_are_those_of_the_picture_at_its_place(store: MediaStore, files: Callable[[str], str]) -> None:
    """Both are called image.png, as pasted pictures are; the second was seen at 1,120x1,400 px, so x = 700 is half."""
    kept = [store.upload(Path(files(name)), "image.png").media[0] for name in ("cat.png", "dog.jpg")]
    seen = [MediumNumbers("image", "image.png", (1, 1), size, (1, 2, 2), 1) for size in ((28, 28), (1120, 1400))]
    numbers = Numbers(9, 2, 5, 0.1, 0.1, 0.0, None, tuple(seen))
    text = 'In picture 2: {"bbox_2d": [0, 560, 700, 1120], "label": "dog"}'
    chat = Conversation((Turn("?", tuple(kept), True, Answer(text, "end", numbers)),))
    marked = marked_picture(chat, 0, store)
    assert marked is not None and marked.medium == kept[1] and marked.file.is_file()
    assert marked.boxes == (Box("dog", 0, 500, 500, 1000),)
    one_is_gone = replace(numbers, media=tuple(seen[1:]))
    untold = marked_picture(chat.answered(Answer(text, "end", one_is_gone)), 0, store)
    assert untold is not None and untold.boxes == (Box("dog", 0, 560, 700, 1000),)
    assert marked_picture(chat.answered(Answer("A dog.", "end", numbers)), 0, store) is None
