"""Random free text for printed pages: English-like phrases, codes, invented names, and mixtures; printable ASCII only.

The text of a line has neither spaces at its ends nor two spaces in a row.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from functools import cache
from importlib.resources import files

import numpy as np

from qwen2vl_demo.nano.world.scene import CHARACTERS

KINDS = ("english", "codes", "invented", "mixed")
KIND_SHARES = (0.40, 0.25, 0.15, 0.20)
_TABLE = """
function words: the the the of and to a in is it you that for on are with as I this be at or from not we by but what all
    can if your has will one there so an which do their up out no more about when who its my than our
onsets: b c d f g h j k l m n p qu r s t v w x z br ch cl dr fl gr kr pl pr sch sh sk st str th tr wh zw
vowels: a e i o u a e i o ai ea ou y ee oo
codas: n r s t l m x k d ck ng rt nd st lf tz
months: Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec January June July October MAY DEC
days: Mon Tue Wed Thu Fri Sat Sun Monday Friday Sunday
endings: pdf txt jpg png csv py html json zip docx mp3 exe md cpp tar.gz JPG
domains: com org net de fr co.uk io eu info ch jp edu
currencies: EUR USD GBP CHF JPY kr zl Rs. INR AUD SEK Kc $ $ $
"""
_LISTS = {
    key: words.split()
    for key, words in (entry.split(": ", 1) for entry in _TABLE.strip().replace("\n    ", " ").splitlines())
}
_SYMBOLS = CHARACTERS[1:]
# %9 digit, %n number of 1..4 digits, %x hexadecimal digit, %A capital, %a small letter, %c letter or digit, %p several
# of any characters, %s sign, %w word, %W Word, %M month, %D day, %e file ending, %d domain, %C currency, %% percent.
_PATTERNS = """
%A%9-%A%9%9%A | %A%A%A-%9%9%9%9 | #%x%x%x%x%x%x | 0x%x%x%x%x | v%9.%9%9.%9 | %x%x%x%x-%x%x%x%x-%x%x%x%x |
%c%c%c%c%c%c | %c%c%c%c-%c%c%c%c-%c%c%c%c | %A%A %9%9%9 %A | %A%9%9/%9%9%9 | No. %n%A | ID: %9%9%9%9%9%9 |
%9%9%9%9%9%9%9%9 | %p | %p | %p | %p | %p %p | %p%p | %s%s %n | %s %w %s | %c%s%c%s%c | %s%9%s%9 | %w%s%w%s |
%w_%w_%9%9.%e | C:\\%W\\%w.%e | /home/%w/%w.%e | ~/%w/%w-%n.%e | IMG_%9%9%9%9.%e | ./%w --%w=%n | %w.%e:%n |
$ ls -%a %w | %w.%w@%w.%d | %w%9%9@%w.%d | %w@%w-%w.%d | %a.%w@%w.%d | <%w@%w.%d> | Info@%W.%d | https://%w.%d/%w |
www.%w%w.%d | http://%w.%d/%w?%a=%n&%a=%9 | %w.%d/~%w/%w.html#%a%9 | ftp://%w.%d | +%9%9 %9%9%9 %9%9%9%9%9%9%9 |
(%9%9%9) %9%9%9-%9%9%9%9 | 0%9%9%9/%9%9%9%9%9%9 | +1-%9%9%9-%9%9%9-%9%9%9%9 | Tel. 0%9 %9%9%9%9 | $%n.%9%9 |
%n,%9%9 %C | %C %n.- | %C%n | %C %n.%9%9 | %9,%9%9%9.%9%9 %C | -%n.%9%9 | %9.%9%9%9,%9%9 | %n.%9%9 |
%9%9.%9%9.20%9%9 | 20%9%9-0%9-1%9 | %9/%9%9/%9%9 | %9%9 %M 20%9%9 | %M %9%9, 19%9%9 | %D, %9%9 %M | %D %9 %M |
'%9%9 %M | 1%9:%9%9 | %9:%9%9 am | 1%9:%9%9:%9%9 | 2%9h%9%9 | 0%9:%9%9-1%9:%9%9 | %9%9:%9%9 PM | %9.%9%9 p.m. |
20%9%9-1%9-2%9T1%9:%9%9Z | %n%% | %n.%9 %% | -%9%% | +%9.%9%9%% | %9/%9 | %9 x %9%9 | %9%9 x %9%9 cm | %n kg |
%9.%9 GHz | %n/%n | %A%A%9%9 %9%9%9%9 %9%9%9%9 %9%9%9%9 %9%9%9%9 | %9%9%9%9 %9%9%9%9 %9%9%9%9 %9%9%9%9 |
%9-%9%9%9-%9%9%9%9%9-%c | %a^%9 + %a = %n | %a(%a) = %9*%a - %n | %n < %a <= %n | %a != %a | %9 + %9 = %9%9 |
(%9 - %9) / %9 | [%9, %9%9] | ~%n | %w(%w, %n); | if (%w < %n) { %w++; } | %w[%n] = '%w' | <%w>%W</%w> | {"%w": %n} |
%w && !%w | %w | %a || %a | `%w` | *%w* | %a = "%w"; | @%w #%w | \\%w{%w} | %A&%A | %w/%w | %W: %n | %w; %w | "%W" |
'%w' | (%w) | %w? %w! | %W... | $%w = %n; | ~%w
"""
# Literal, letter, literal, letter, ...
_PARTS = [re.split(r"%(.)", pattern) for pattern in _PATTERNS.strip().replace("\n", " ").split(" | ")]


@cache
def _words() -> tuple[list[str], list[int]]:
    """The common English words from short to long, and the length of each."""
    words = sorted(files("qwen2vl_demo.nano").joinpath("world/words.txt").read_text("ascii").split(), key=len)
    return words, [len(word) for word in words]


def random_word(dice: random.Random, most: int = 20) -> str:
    """A common English word of at most `most` characters."""
    words, lengths = _words()
    return words[int(dice.random() * (bisect_right(lengths, max(1, most)) or 1))]


def invented_word(dice: random.Random, most: int = 14) -> str:
    """A pronounceable word that does not exist."""

    def syllable() -> str:
        coda = dice.choice(_LISTS["codas"]) if dice.random() < 0.75 else ""
        return dice.choice(_LISTS["onsets"]) + dice.choice(_LISTS["vowels"]) + coda

    word = "".join(syllable() for _ in range(dice.choice((1, 2, 2, 2, 3))))
    return word[: max(1, most)]


def random_code(dice: random.Random, most: int = 40) -> str:
    """A code, address, price, date or the like, or a few characters of any kind; cut to `most` characters."""
    for _ in range(3):
        parts = dice.choice(_PARTS)
        text = "".join(_filled(dice, part) if index % 2 else part for index, part in enumerate(parts))
        if len(text) <= most:
            return text
    return text[:most].strip()


_LIST_OF = {"M": "months", "D": "days", "e": "endings", "d": "domains", "C": "currencies"}


def _filled(dice: random.Random, letter: str) -> str:
    choice = dice.choice
    match letter:
        case "9":
            return choice("0123456789")
        case "n":
            return str(int(10 ** dice.uniform(0, 4)))
        case "x":
            return choice("0123456789abcdef")
        case "A":
            return choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        case "a":
            return choice("abcdefghijklmnopqrstuvwxyz")
        case "c":
            return choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        case "p":
            return "".join(dice.choices(_SYMBOLS, k=dice.randint(2, 12)))
        case "s":
            return choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
        case "w":
            return random_word(dice, 9) if dice.random() < 0.7 else invented_word(dice, 9)
        case "W":
            return random_word(dice, 9).capitalize()
        case "M" | "D" | "e" | "d" | "C":
            return choice(_LISTS[_LIST_OF[letter]])
    return letter


def _phrase(dice: random.Random, kind: str, most: int) -> str:
    """Words of a kind with single spaces between them, of at most `most` characters."""
    if kind == "codes":
        text = random_code(dice, most)
        while len(text) < most - 6 and dice.random() < 0.5:
            text += " " + random_code(dice, most - len(text) - 1)
        return text
    words: list[str] = []
    wanted = most if dice.random() < 0.5 else dice.randint(min(3, most), most)  # characters
    room = wanted
    while room > 0 and len(words) < 40:
        if kind == "invented":
            word = invented_word(dice, room)
        elif kind == "mixed" and dice.random() < 0.3:
            word = random_code(dice, min(room, 24))
        elif dice.random() < 0.35 and room > 2:
            word = dice.choice(_LISTS["function words"])
        else:
            word = random_word(dice, room)
        if len(word) > room:
            break
        words.append(word)
        room -= len(word) + 1
    return " ".join(words) or random_word(dice, most)[:most]


def _as_printed(dice: random.Random, text: str) -> str:
    """A text with capitals and punctuation in one of several manners; at most two characters longer."""
    manner = dice.random()
    words = text.split(" ")
    if manner < 0.45:  # a sentence
        text = text[:1].upper() + text[1:]
        if len(words) > 4 and dice.random() < 0.5:
            at = dice.randrange(1, len(words) - 2)
            words = text.split(" ")
            words[at] += dice.choice(",,,,;:") if words[at][-1].isalnum() else ""
            text = " ".join(words)
        return text + dice.choice((".", ".", ".", ".", "!", "?", ":", ""))
    if manner < 0.65:
        return " ".join(word[:1].upper() + word[1:] for word in words)
    if manner < 0.78:
        return text.upper()
    if manner < 0.88:
        return text
    if manner < 0.93 and len(words) > 2:  # some words as names or in quotation marks
        at = dice.randrange(len(words))
        around = dice.choice(('"{}"', "'{}'", "({})", "[{}]", "*{}*", "{}'s", "{},", "{} -", "{} &"))
        words[at] = around.format(words[at])
        return " ".join(words)
    return dice.choice(("- {}", "* {}", "({})", '"{}"', "'{}'", "> {}", "{}...", "{};", "+ {}")).format(text)


def random_lines(rng: np.random.Generator, count: int, widest: int, total: int = 360) -> list[str]:
    """The texts of at most `count` lines, each of 1..`widest` characters or two more, about `total` in all."""
    dice = random.Random(int(rng.integers(2**62)))  # many times as fast as the generator for single choices
    kind = dice.choices(KINDS, KIND_SHARES)[0]
    if kind in ("english", "mixed") and count > 1 and dice.random() < 0.4:
        return _running_text(dice, kind, count, widest, total)
    alike = dice.random() < 0.5  # every line of the kind of the page, or of its own
    lines: list[str] = []
    while len(lines) < count and total > 0:
        own = kind if kind != "mixed" or alike else dice.choice(KINDS[:3])
        text = _phrase(dice, own, max(1, min(widest, total)))
        text = _tidy(text if own == "codes" and dice.random() < 0.75 else _as_printed(dice, text))
        lines.append(text or dice.choice(_SYMBOLS))
        total -= len(lines[-1])
    return lines


def _running_text(dice: random.Random, kind: str, count: int, widest: int, total: int) -> list[str]:
    """Sentences that run over the ends of the lines."""
    lines: list[str] = []
    line = ""
    words: list[str] = []
    while len(lines) < count and total > 0:
        if not words:
            words = _as_printed(dice, _phrase(dice, kind, dice.randint(12, 70))).split(" ")[::-1]
        word = words.pop()[:widest]
        if line and len(line) + 1 + len(word) > widest:
            lines.append(line)
            total -= len(line)
            line = ""
        line = f"{line} {word}".strip()
    return [_tidy(line) or dice.choice(_SYMBOLS) for line in lines]


def _tidy(text: str) -> str:
    return " ".join(text.split())


def shortened(text: str, length: int) -> str:
    """The text cut to at most `length` characters, at least one; between two words if that keeps half of it."""
    cut = text[: max(1, length)]
    if text[len(cut) : len(cut) + 1].strip() and cut.rfind(" ") >= len(cut) / 2:
        cut = cut[: cut.rfind(" ")]
    return cut.strip() or text[0]


def random_text_word(rng: np.random.Generator) -> str:
    """A word as a visitor may ask for it: English, or now and then invented."""
    dice = random.Random(int(rng.integers(2**62)))
    return random_word(dice, 12) if dice.random() < 0.8 else invented_word(dice)
