"""Questions that lean on the one before them: "and what colour is it?", "and the star?", "and circles?".

Contract: `follow_up` uses only what the question before was about (`Asked.about`) and the scene, and gives None where
nothing can lean on that question, or where the answer would be ambiguous.
"""

import numpy as np

from qwen2vl_demo.nano.dialogue.phrases import PHRASES
from qwen2vl_demo.nano.dialogue.question import Asked, absent_name, call, count_of, exists_answer, kinds_like, size_word
from qwen2vl_demo.nano.dialogue.scene_questions import box_answer
from qwen2vl_demo.nano.dialogue.wording import a, count_sentence, plural, say
from qwen2vl_demo.nano.world.scene import Scene, Thing, choose


def follow_up(rng: np.random.Generator, scene: Scene, before: Asked, phrasings: str) -> Asked | None:
    """A question that leans on the one before it ("and what colour is it?"), or None if nothing can lean on that."""
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
        name = call(rng, scene, thing, full=0)
        if name and "box_start" not in before.answer and rng.random() < 0.4:
            options.append(("it box", box_answer(scene, thing, name), 10**4))
        if options:
            key, answer, choices = choose(rng, options)
            family = "box" if key == "it box" else "followup"  # boxes are measured by how well they fit
            return Asked(say(rng, PHRASES[key], phrasings), answer, family, choices, ("thing", thing))
    if kind in ("colour", "where"):
        among = scene.shapes if kind == "colour" else scene.things
        others = [t for t in among if t is not before.about[1] and call(rng, scene, t, full=0) == t.shape]
        if not others:
            return None
        thing = choose(rng, others)
        answer = f"The {thing.shape} is {thing.colour if kind == 'colour' else scene.place(thing)}."
        question = say(rng, PHRASES["and name"], phrasings, name=thing.shape)
        return Asked(question, answer, "followup", 8 if kind == "colour" else 9, (kind, thing))
    if kind == "count":
        name = choose(
            rng,
            [t.shape for t in scene.things] if scene.things and rng.random() < 0.6 else kinds_like(rng, scene.things),
        )
        question = say(rng, PHRASES["and names"], phrasings, names=plural(name))
        return Asked(question, count_sentence(count_of(scene, name), name), "followup", 4, ("count",))
    if kind == "exists":
        name = (
            choose(rng, [t.shape for t in scene.things])
            if scene.things and rng.random() < 0.5
            else absent_name(rng, scene)
        )
        return Asked(
            say(rng, PHRASES["and a"], phrasings, a=a(name)), exists_answer(scene, name), "followup", 2, ("exists",)
        )
    return None
