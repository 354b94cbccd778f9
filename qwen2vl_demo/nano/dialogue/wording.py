"""Random wordings of the questions in `phrases.py`, and English plurals, articles and lists.

One wording in seven is held out from training, so that evaluation can use wordings that were never trained on. A
wording that serves two questions is held out from both or from neither. `random_wording` also varies case, punctuation,
politeness and spelling. In the training split it sometimes adds a typo or drops a function word, so that the model
does not come to depend on any single word.
"""

import itertools
import re
from functools import cache

import numpy as np

from qwen2vl_demo.nano.dialogue.phrases import CHAT, PHRASES
from qwen2vl_demo.nano.dialogue.print_phrases import PAGE_PHRASES, PAPER_PHRASES
from qwen2vl_demo.nano.world.nouns import PLURALS


@cache
def expand_wording(wording: str) -> tuple[str, ...]:
    """All expansions of the alternatives in a wording: "Read (it/this)." gives "Read it." and "Read this."."""
    parts = [part.split("/") for part in re.split(r"\((.*?)\)", wording)]
    return tuple(re.sub(r" +(?=[ .?!,]|$)", "", "".join(chosen)) for chosen in itertools.product(*parts))


def normalize(wording: str) -> str:
    """The wording without case and final punctuation: what counts as the same wording."""
    return wording.lower().rstrip("?.!")


def _held_out() -> frozenset[str]:
    """The fourth, eleventh, ... wording of every list, unless an earlier list has it in its training split."""
    held: dict[str, bool] = {}
    remarks = (remarks for remarks, _ in CHAT)
    for wordings in (*PHRASES.values(), *remarks, *PAGE_PHRASES.values(), *PAPER_PHRASES.values()):
        for index, wording in enumerate(wordings):
            for expanded in expand_wording(wording):
                held.setdefault(normalize(expanded), index % 7 == 3)
    return frozenset(wording for wording, out in held.items() if out)


HELD_OUT = _held_out()
_OPENERS = ("And ", "So ", "OK, ", "Now ", "Hey, ", "Look, ")
FUNCTION_WORDS = frozenset(["the", "is", "are", "a", "an", "do", "does", "you", "there", "me", "can"])


@cache
def wordings_in_split(wordings: tuple[str, ...], split: str) -> tuple[tuple[str, ...], ...]:
    """The expansions of each wording that belong to a split ("train", "held_out" or "all").

    All of them if the split would be empty. ValueError for an unknown split.
    """
    if split not in ("train", "held_out", "all"):
        raise ValueError(f'split must be "train", "held_out" or "all", not {split!r}')
    expanded = tuple(expand_wording(wording) for wording in wordings)
    if split == "all":
        return expanded
    held_out = split == "held_out"
    kept = (tuple(text for text in texts if (normalize(text) in HELD_OUT) == held_out) for texts in expanded)
    return tuple(texts for texts in kept if texts) or expanded


def random_wording(rng: np.random.Generator, wordings: tuple[str, ...], split: str, **fields: str) -> str:
    """One of the wordings with its fields filled in, varied as different people would type it."""
    pool = wordings_in_split(wordings, split)
    expanded = pool[int(rng.integers(len(pool)))]
    wording = expanded[int(rng.integers(len(expanded)))]
    if split == "train" and rng.random() < 0.06:
        wording = with_typo(rng, wording)
    text = wording.format(**fields)
    if split == "train" and rng.random() < 0.15:
        text = without_function_word(rng, text)
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
        text = _OPENERS[int(rng.integers(len(_OPENERS)))] + text[0].lower() + text[1:]
    return text


def with_typo(rng: np.random.Generator, wording: str) -> str:
    """The wording with a letter dropped, or swapped with the next one, in one of its longer words: "Wher is it?".

    Fields in braces are left alone, as nobody could guess what they were.
    """
    words = wording.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if long:
        index = long[int(rng.integers(len(long)))]
        word, letter = words[index], int(rng.integers(1, len(words[index]) - 1))
        swapped = word[letter + 1] + word[letter] if rng.random() < 0.5 else word[letter + 1]
        words[index] = word[:letter] + swapped + word[letter + 2 :]
    return " ".join(words)


def without_function_word(rng: np.random.Generator, text: str) -> str:
    """A text of four words or more without one of its function words: "Where is cat in the picture?"."""
    words = text.split(" ")
    droppable = [i for i, word in enumerate(words) if word.lower() in FUNCTION_WORDS and word != "A"]  # "A" names a bar
    if len(words) >= 4 and droppable:
        del words[droppable[int(rng.integers(len(droppable)))]]
    return " ".join(words)


def plural(noun: str) -> str:
    """ "cross" to "crosses", "red star" to "red stars"."""
    *before, last = noun.split(" ")
    if last in PLURALS:
        return " ".join([*before, PLURALS[last]])
    if last.endswith("y") and last[-2] not in "aeou":
        return noun[:-1] + "ies"
    return noun + ("es" if last.endswith(("s", "x", "ch", "sh", "tomato")) else "s")


def with_article(noun: str) -> str:
    """The noun with its indefinite article: "a cat", "an owl"."""
    return ("an " if noun[0] in "aeiou" and not noun.startswith("uni") else "a ") + noun


def count_sentence(count: int, noun: str) -> str:
    """ "There are 3 stars.", "There is 1 star.", "There are no stars."."""
    if count == 1:
        return f"There is 1 {noun}."
    return f"There are {count or 'no'} {plural(noun)}."


def join_list(parts: list[str]) -> str:
    """ "x", "x and y", "x, y and z"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
