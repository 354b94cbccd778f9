"""Picks among the wordings of phrases.py, and makes English plurals, articles and lists.

Contract: one wording in seven is held out from training, so that evaluation can ask in words never trained on; a
wording that serves two questions is held out from both or from neither. `say` also varies case, punctuation,
politeness and spelling, and while training mistypes a word or leaves out a small one now and then, so that the others
are listened to.
This module knows no scenes.
"""

import itertools
import re
from functools import cache

import numpy as np

from qwen2vl_demo.nano.dialogue.phrases import CHAT, PHRASES
from qwen2vl_demo.nano.world.nouns import PLURALS


@cache
def spellings(wording: str) -> tuple[str, ...]:
    """Every way to write a wording out: "Read (it/this)." is "Read it." and "Read this."."""
    parts = [part.split("/") for part in re.split(r"\((.*?)\)", wording)]
    return tuple(re.sub(r" +(?=[ .?!,]|$)", "", "".join(chosen)) for chosen in itertools.product(*parts))


def plain(wording: str) -> str:
    """What counts as the same wording, however it is typed."""
    return wording.lower().rstrip("?.!")


def _held_out() -> frozenset[str]:
    """The fourth, eleventh ... wording of every list, unless an earlier list trains on it."""
    held: dict[str, bool] = {}
    for options in (*PHRASES.values(), *(remarks for remarks, _ in CHAT)):
        for index, option in enumerate(options):
            for spelling in spellings(option):
                held.setdefault(plain(spelling), index % 7 == 3)
    return frozenset(wording for wording, out in held.items() if out)


HELD_OUT = _held_out()
_BEGINNINGS = ("And ", "So ", "OK, ", "Now ", "Hey, ", "Look, ")
SMALL_WORDS = frozenset(["the", "is", "are", "a", "an", "do", "does", "you", "there", "me", "can"])


@cache
def split(options: tuple[str, ...], phrasings: str) -> tuple[tuple[str, ...], ...]:
    """The spellings of each wording that are for "train", "held_out" or "all"; all of them where none is left."""
    if phrasings not in ("train", "held_out", "all"):
        raise ValueError(f'phrasings must be "train", "held_out" or "all", not {phrasings!r}')
    everything = tuple(spellings(option) for option in options)
    if phrasings == "all":
        return everything
    wanted = phrasings == "held_out"
    kept = (tuple(s for s in written if (plain(s) in HELD_OUT) == wanted) for written in everything)
    return tuple(written for written in kept if written) or everything


def say(rng: np.random.Generator, options: tuple[str, ...], phrasings: str, **fields: str) -> str:
    """One wording, filled in, as somebody might type it."""
    pool = split(options, phrasings)
    written = pool[int(rng.integers(len(pool)))]
    wording = written[int(rng.integers(len(written)))]
    if phrasings == "train" and rng.random() < 0.06:
        wording = with_a_typo(rng, wording)
    text = wording.format(**fields)
    if phrasings == "train" and rng.random() < 0.15:
        text = without_a_small_word(rng, text)
    if rng.random() < 0.4:
        text = text.replace("colour", "color").replace("Colour", "Color")
    dice = rng.random()
    if '"' not in text:
        if dice < 0.18:
            text = text.lower()
        elif dice < 0.26:
            text = text.lower().rstrip("?.!")
        elif dice < 0.28:
            text = text.upper()
    if 0.28 <= dice < 0.36:
        text = text.rstrip("?.!")
    elif 0.36 <= dice < 0.40:
        text = "Please " + text[0].lower() + text[1:] if text.endswith(".") else text
    elif 0.40 <= dice < 0.43 and text.endswith("?"):
        text = text[:-1] + ", please?"
    elif 0.43 <= dice < 0.45:
        text = "Can you tell me: " + text
    elif 0.45 <= dice < 0.48 and text.endswith("?") and not text.startswith("And"):
        text = _BEGINNINGS[int(rng.integers(len(_BEGINNINGS)))] + text[0].lower() + text[1:]
    return text


def with_a_typo(rng: np.random.Generator, wording: str) -> str:
    """A wording in one of whose longer words a letter is missing or changes places with the next: "Wher is it?".

    What is filled in stays as it is: without it nobody could know what is meant.
    """
    words = wording.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if long:
        at = long[int(rng.integers(len(long)))]
        word, letter = words[at], int(rng.integers(1, len(words[at]) - 1))
        swapped = word[letter + 1] + word[letter] if rng.random() < 0.5 else word[letter + 1]
        words[at] = word[:letter] + swapped + word[letter + 2 :]
    return " ".join(words)


def without_a_small_word(rng: np.random.Generator, text: str) -> str:
    """A wording of four words or more with one small word less: "Where is cat in picture?" is still understood."""
    words = text.split(" ")
    small = [i for i, word in enumerate(words) if word.lower() in SMALL_WORDS and word != "A"]  # which names a bar
    if len(words) >= 4 and small:
        del words[small[int(rng.integers(len(small)))]]
    return " ".join(words)


def plural(noun: str) -> str:
    """ "cross" to "crosses", "red star" to "red stars"."""
    *before, last = noun.split(" ")
    if last in PLURALS:
        return " ".join([*before, PLURALS[last]])
    if last.endswith("y") and last[-2] not in "aeou":
        return noun[:-1] + "ies"
    return noun + ("es" if last.endswith(("s", "x", "ch", "sh", "tomato")) else "s")


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    return ("an " if noun[0] in "aeiou" and not noun.startswith("uni") else "a ") + noun


def count_sentence(count: int, noun: str) -> str:
    """ "There are 3 stars.", "There is 1 star.", "There are no stars."."""
    if count == 1:
        return f"There is 1 {noun}."
    return f"There are {count or 'no'} {plural(noun)}."


def listing(parts: list[str]) -> str:
    """ "x", "x and y", "x, y and z"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
