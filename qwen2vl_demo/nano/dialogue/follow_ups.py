"""Follow-up questions, which refer to the question before: "and what colour is it?", "and the star?"."""

import numpy as np

from qwen2vl_demo.nano.dialogue.dialogue import Question
from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.referring_expressions import (
    absent_name,
    count_matching,
    exists_answer,
    similar_kinds,
    size_word,
    unique_name,
)
from qwen2vl_demo.nano.dialogue.scene_questions import box_answer
from qwen2vl_demo.nano.dialogue.wording import count_sentence, plural, random_wording, with_article
from qwen2vl_demo.nano.world.scene import Scene, Thing, choose


def follow_up(rng: np.random.Generator, scene: Scene, before: Question, split: str) -> Question | None:
    """A question that cannot be understood without the one before it.

    It depends only on the scene and on `before.about`. None if that allows no follow-up with a single answer.
    """
    kind = before.about[0] if before.about else ""
    if kind in ("thing", "colour", "where") and rng.random() < 0.7:
        thing: Thing = before.about[1]
        options = []
        if thing.colour and thing.colour not in before.answer:
            options.append(("it colour", f"It is {thing.colour}.", 8))
        if scene.place(thing) not in before.answer:
            options.append(("it where", f"It is {scene.place(thing)}.", 9))
        if size_word(thing) not in before.answer:
            options.append(("it size", f"It is {size_word(thing)}.", 2))
        name = unique_name(rng, scene, thing, full=0)
        if name and "box_start" not in before.answer and rng.random() < 0.4:
            options.append(("it box", box_answer(scene, thing, name), 10**4))
        if options:
            key, answer, plausible_answers = choose(rng, options)
            family = "box" if key == "it box" else "followup"  # boxes are also scored by IoU, so they keep their family
            return Question(
                random_wording(rng, PHRASES[key], split), answer, family, plausible_answers, ("thing", thing)
            )
    if kind in ("colour", "where"):
        candidates = scene.shapes if kind == "colour" else scene.things
        others = [t for t in candidates if t is not before.about[1] and unique_name(rng, scene, t, full=0) == t.shape]
        if not others:
            return None
        thing = choose(rng, others)
        answer = f"The {thing.shape} is {thing.colour if kind == 'colour' else scene.place(thing)}."
        question = random_wording(rng, PHRASES["and name"], split, name=thing.shape)
        return Question(question, answer, "followup", 8 if kind == "colour" else 9, (kind, thing))
    if kind == "count":
        name = choose(
            rng,
            [t.shape for t in scene.things]
            if scene.things and rng.random() < 0.6
            else similar_kinds(rng, scene.things),
        )
        question = random_wording(rng, PHRASES["and names"], split, names=plural(name))
        return Question(question, count_sentence(count_matching(scene, name), name), "followup", 4, ("count",))
    if kind == "exists":
        name = (
            choose(rng, [t.shape for t in scene.things])
            if scene.things and rng.random() < 0.5
            else absent_name(rng, scene)
        )
        return Question(
            random_wording(rng, PHRASES["and a"], split, a=with_article(name)),
            exists_answer(scene, name),
            "followup",
            2,
            ("exists",),
        )
    return None
