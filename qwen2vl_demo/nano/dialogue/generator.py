"""Random dialogues about drawn scenes, print, documents, several pictures and short clips, with their ground truth.

`random_dialogue` is the entry point. Its result depends only on the random generator passed in, the fonts of the
machine and its icons: the same seed gives the same pixels, texts and labels. Pictures and frames are RGB uint8 with
sides in multiples of 28 px, so that a merged token is a cell of 28x28 px.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qwen2vl_demo.geometry import FACTOR
from qwen2vl_demo.nano.dialogue.attention_targets import scene_attention_targets
from qwen2vl_demo.nano.dialogue.clip_questions import clip_dialogue
from qwen2vl_demo.nano.dialogue.dialogue import Dialogue, DialogueTurn, Question
from qwen2vl_demo.nano.dialogue.document_questions import document_dialogue
from qwen2vl_demo.nano.dialogue.follow_ups import follow_up
from qwen2vl_demo.nano.dialogue.multi_image import multi_image_dialogue
from qwen2vl_demo.nano.dialogue.page_questions import page_dialogue
from qwen2vl_demo.nano.dialogue.paper_questions import paper_dialogue
from qwen2vl_demo.nano.dialogue.phrases import CHAT, NO_PICTURE_ANSWER, OUT_OF_DOMAIN_ANSWER, PHRASES
from qwen2vl_demo.nano.dialogue.scene_questions import SCENE_WEIGHTS, TEXT_WEIGHTS, random_scene_question
from qwen2vl_demo.nano.dialogue.wording import plural, random_wording, with_article
from qwen2vl_demo.nano.world.drawing import draw_scene, empty_cells
from qwen2vl_demo.nano.world.layout import random_scene, random_size, random_text_scene
from qwen2vl_demo.nano.world.out_of_domain import MAIN_COLOURS, random_out_of_domain, random_out_of_domain_clip
from qwen2vl_demo.nano.world.scene import LABEL_INDEX, SHAPES, Scene, choose

FAMILIES: tuple[str, ...] = (
    *("name", "shape", "colour", "count", "exists", "where", "describe", "box", "region", "read"),
    *("transcribe", "find", "paper", "chart", "pictures", "video", "followup", "chat", "limits"),
)
KINDS: tuple[str, ...] = ("scene", "text", "document", "page", "paper", "pictures", "clip", "chat", "limits")
_NO_PICTURE_KEYS = (
    *("describe", "what", "count all", "read", "clip", "happens", "differ", "main colour", "colour", "exists"),
    *("where", "count"),
)


def random_dialogue(
    rng: np.random.Generator,
    kind: str,
    *,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    turns: int = 6,
    split: str = "train",
) -> Dialogue:
    """One dialogue of a kind (one of `KINDS`) with exactly `turns` turns.

    `size` fixes the (height, width) of every medium and `frames` the (even) number of a clip's frames; both are random
    if None. `split` selects the wordings: "train", "held_out" (never seen in training) or "all". ValueError for an
    unknown kind or split and for an impossible size or number of frames.
    """
    if kind not in _GENERATORS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    least = FACTOR if kind == "page" else 3 * FACTOR
    if size is not None and (min(size) < least or size[0] % FACTOR or size[1] % FACTOR):
        raise ValueError(f"size must be multiples of {FACTOR} px from {least} on, not {size}")
    if frames is not None and (frames < 4 or frames % 2):
        raise ValueError(f"frames must be even and at least 4, not {frames}")
    return _GENERATORS[kind](rng, size, frames, turns, split)


def _about_scene(rng: np.random.Generator, scene: Scene, weights: dict[str, int], turns: int, split: str) -> Dialogue:
    """A dialogue about one scene; up to a quarter of the turns are follow-up questions, and a few are small talk."""
    pixels, cells = draw_scene(scene, rng)
    made: list[DialogueTurn] = []
    previous: Question | None = None
    seen: set[tuple[str, str]] = set()
    while len(made) < turns:
        following = follow_up(rng, scene, previous, split) if previous and rng.random() < 0.25 else None
        if following is None and made and rng.random() < 0.02:
            made.append(DialogueTurn.from_question(_small_talk(rng, split, topics=(0, 1, 2, 3))))
            previous = None
            continue
        question = following or random_scene_question(rng, scene, weights, split)
        for _ in range(4):
            if following or (question.family, question.answer) not in seen:
                break
            question = random_scene_question(rng, scene, weights, split)
        previous = question
        seen.add((question.family, question.answer))
        targets = scene_attention_targets(scene, question)
        made.append(DialogueTurn.from_question(question, () if made else (0,), attention_targets=targets))
    return Dialogue((pixels,), tuple(made), ((cells,),))


def _scene(rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, split: str) -> Dialogue:
    return _about_scene(rng, random_scene(rng, size or random_size(rng)), SCENE_WEIGHTS, turns, split)


def _text(rng: np.random.Generator, size: tuple[int, int] | None, _: int | None, turns: int, split: str) -> Dialogue:
    return _about_scene(rng, random_text_scene(rng, size or random_size(rng)), TEXT_WEIGHTS, turns, split)


def _small_talk(rng: np.random.Generator, split: str, topics: tuple[int, ...] | None = None) -> Question:
    index = (
        choose(rng, topics) if topics else int(rng.choice(len(CHAT), p=(0.12, 0.18, 0.13, 0.1, 0.06, 0.07, 0.09, 0.25)))
    )
    questions, answer = CHAT[index]
    return Question(random_wording(rng, questions, split), answer, "chat", len(CHAT) + 1)


def _chat(rng: np.random.Generator, _: tuple[int, int] | None, __: int | None, turns: int, split: str) -> Dialogue:
    made: list[DialogueTurn] = []
    while len(made) < turns:
        if rng.random() < 0.2:
            name = choose(rng, SHAPES)
            question = random_wording(
                rng, PHRASES[choose(rng, _NO_PICTURE_KEYS)], split, name=name, names=plural(name), a=with_article(name)
            )
            made.append(DialogueTurn(question, NO_PICTURE_ANSWER, "chat", (), len(CHAT) + 1))
        else:
            made.append(DialogueTurn.from_question(_small_talk(rng, split)))
    return Dialogue((), tuple(made), ())


def _limits(
    rng: np.random.Generator, size: tuple[int, int] | None, frames: int | None, turns: int, split: str
) -> Dialogue:
    """A dialogue about an out-of-domain picture or, one in four, clip, which nano should not claim to recognise."""
    height, width = size or random_size(rng)
    pairs = (frames or 4) // 2 if rng.random() < 0.25 else 0
    if pairs:
        pixels, colour = random_out_of_domain_clip(rng, 2 * pairs, height, width)
    else:
        pixels, colour = random_out_of_domain(rng, height, width)
    cells = (empty_cells((height // FACTOR, width // FACTOR), LABEL_INDEX["other"]),) * max(1, pairs)
    unknown = PHRASES["limits"]
    if pairs:
        unknown += PHRASES["clip"] + tuple(wording for wording in PHRASES["happens"] if "{name}" not in wording)
    main = f"The main colour is {colour}." if colour else "It has several colours."
    made: list[DialogueTurn] = []
    while len(made) < turns:
        dice, name, colours = rng.random(), choose(rng, SHAPES), len(MAIN_COLOURS) + 1
        if dice < 0.5:
            text = random_wording(rng, unknown, split)
            turn = DialogueTurn(text, f"{OUT_OF_DOMAIN_ANSWER} {main}", "limits", (), colours)
        elif dice < 0.7:
            turn = DialogueTurn(random_wording(rng, PHRASES["main colour"], split), main, "limits", (), colours)
        elif dice < 0.8:
            text = random_wording(rng, PHRASES["exists"], split, a=with_article(name))
            turn = DialogueTurn(text, f"No, there is no {name}.", "exists", (), 2)
        elif dice < 0.85:
            text = random_wording(rng, PHRASES["colour"], split, name=name)
            turn = DialogueTurn(text, f"There is no {name}.", "colour", (), 9)
        elif dice < 0.95:
            text = random_wording(rng, PHRASES["count all"], split)
            turn = DialogueTurn(text, "There are no shapes.", "count", (), 7)
        else:
            turn = DialogueTurn(random_wording(rng, PHRASES["read"], split), "There is no text.", "read", (), 130)
        if any(turn.question == earlier.question for earlier in made) and rng.random() < 0.9:
            continue
        made.append(turn if made else replace(turn, media=(0,)))
    return Dialogue((pixels,), tuple(made), (cells,))


_Generator = Callable[[np.random.Generator, tuple[int, int] | None, int | None, int, str], Dialogue]
_GENERATORS: dict[str, _Generator] = {
    "scene": _scene,
    "text": _text,
    "document": document_dialogue,
    "page": page_dialogue,
    "paper": paper_dialogue,
    "pictures": multi_image_dialogue,
    "clip": clip_dialogue,
    "chat": _chat,
    "limits": _limits,
}
