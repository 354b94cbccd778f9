"""The state of a chat: what was asked, with which files, and what was answered. Frozen plain data.

Of the three representations of a chat (display, state, model input) this is the authoritative one: the page shows it,
the prompt is made from it, and the browser keeps it as JSON. Media are named by the hash of their bytes;
`media_store.py` holds the bytes, and `saved_chat.py` checks conversations that come from outside.

A question that is edited and an answer that is written anew leave the old ones in place, so a chat is a tree of turns.
It is kept as the path that is shown, which is all that the prompt, the panel and the export read, and beside it the
turns that are not shown. Each turn has a number, given in the order in which they came, and names the turn that it
follows. That is flat, so what comes from outside is checked in one pass; a later turn can only follow an earlier one,
so it is always a tree; and a program that knows nothing of versions reads the shown path. Turns that follow the same
one are versions: with another question, of the question; with the same one, of its answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from qwen2vl_demo.media import WHOLE_CLIP, TimeRange
from qwen2vl_demo.processing.messages import Image, Message, Part, Text, Video, question_parts
from qwen2vl_demo.trace import MEDIA_NOUN, MediaTrace, PromptTrace
from qwen2vl_demo.viz.box_units import KnownUnits, UnitsChoice

MediumKind = Literal["image", "video"]
Ending = Literal["end", "length", "cancelled", "error", "repeating"]

MAX_TIMES = 4096  # of the frames of one clip that are kept


@dataclass(frozen=True)
class Medium:
    """A picture or clip that a visitor sent; a page of a PDF is a picture."""

    kind: MediumKind
    file: str  # its name in the store: the SHA-256 of its bytes and an ending
    name: str  # what the visitor called it: "cat.png", "report.pdf, page 2"
    time_range: TimeRange = WHOLE_CLIP  # the part of a clip that is looked at


@dataclass(frozen=True)
class MediumNumbers:
    """What a picture or clip became, copied from its MediaTrace."""

    kind: MediumKind
    name: str
    original_size: tuple[int, int]  # (height, width) px
    resized_size: tuple[int, int]
    grid_thw: tuple[int, int, int]  # patches
    merged_tokens: int
    timestamps: tuple[float, ...] = ()  # s, of each frame of a clip that the model saw, of the first MAX_TIMES
    duration: float = 0.0  # s, of the whole clip; 0: it is not known

    @classmethod
    def of(cls, trace: MediaTrace) -> MediumNumbers:
        kind: MediumKind = "video" if trace.kind == "video" else "image"
        return cls(
            kind,
            trace.name,
            trace.original_size,
            trace.resized_size,
            trace.grid_thw,
            trace.merged_tokens,
            tuple(round(time, 3) for time in trace.timestamps[:MAX_TIMES]),
            round(trace.duration, 3),
        )

    def __str__(self) -> str:
        """`cat.png: 640x480 → 336x252 px, 18x24 patches, 108 tokens`: sizes as people say them, width first."""
        (h, w), (rh, rw), (t, ph, pw) = self.original_size, self.resized_size, self.grid_thw
        frames = f"{t} x " if self.kind == "video" else ""
        return (
            f"{self.name}: {w}x{h} → {rw}x{rh} px, {frames}{ph}x{pw} patches (rows x columns), "
            f"{count(self.merged_tokens, 'token')}"
        )


@dataclass(frozen=True)
class Numbers:
    """What an answer cost."""

    prompt_tokens: int
    media_tokens: int  # how many of them stand for pictures and clips
    new_tokens: int
    first_token: float | None  # seconds from Send to the first token
    decode: float | None  # seconds from there to the last one
    temperature: float
    seed: int | None
    media: tuple[MediumNumbers, ...] = ()  # of this turn
    reused_tokens: int = 0  # of the prompt, found in the cache of an earlier turn
    notes: tuple[str, ...] = ()  # which settings did not act, and the like
    remark: str = ""  # where the model read something else than the panel shows, and why

    @property
    def rate(self) -> float | None:
        """Tokens a second after the first one."""
        return (self.new_tokens - 1) / self.decode if self.decode and self.new_tokens > 1 else None

    def continued(self, more: Numbers) -> Numbers:
        """Those of an answer that went on, with what going on cost."""
        decode = None if self.decode is None or more.decode is None else self.decode + more.decode
        return replace(
            self,
            new_tokens=self.new_tokens + more.new_tokens,
            decode=decode,
            temperature=more.temperature,
            seed=more.seed,
            notes=tuple(dict.fromkeys((*self.notes, *more.notes))),
            remark=more.remark,
        )


@dataclass(frozen=True)
class Answer:
    """What the model wrote, box markup included."""

    text: str
    ending: Ending
    numbers: Numbers | None = None  # None if it was stopped before they were known
    box_units: KnownUnits = ""  # what the model that wrote it counts the coordinates of boxes in
    model: str = field(default="", compare=False)  # the name of the model that wrote it; "" where that is not known


@dataclass(frozen=True)
class Turn:
    """One question with its files, and its answer once there is one. Equal if these are, wherever it stands."""

    question: str
    media: tuple[Medium, ...] = ()
    typed: bool = True  # False: nothing was typed, and the question is the default one
    answer: Answer | None = None
    number: int = field(default=0, compare=False)  # from 1, in the order of asking; 0: not part of a conversation yet
    after: int = field(default=0, compare=False)  # number of the turn that it follows; 0: it is the first

    @property
    def has_words(self) -> bool:
        """Whether the answer has any words. Only then is the turn part of later prompts."""
        return self.answer is not None and bool(self.answer.text.strip())

    def asks_the_same(self, other: Turn) -> bool:
        return (self.question, self.media, self.typed) == (other.question, other.media, other.typed)


@dataclass(frozen=True)
class Versions:
    """What stands in the place of a turn, as numbers of turns: for each wording of the question one of its answers, and
    all answers to the wording that is shown."""

    questions: tuple[int, ...]
    question: int  # index of the one that is shown
    answers: tuple[int, ...]
    answer: int


@dataclass(frozen=True)
class Conversation:
    """The turns that are shown, oldest first, and aside those that are not. Equal if what is shown is."""

    turns: tuple[Turn, ...] = ()
    system: str = ""  # "" leaves the checkpoint's own system prompt in place
    # Known to its visitor's browser only: what engines have cached of a conversation is found under its salt alone.
    cache_salt: str = field(default_factory=lambda: secrets.token_hex(16), compare=False, repr=False)
    aside: tuple[Turn, ...] = field(default=(), compare=False)
    units_choice: UnitsChoice = field(default="auto", compare=False)  # how its visitor has boxes read

    def __post_init__(self) -> None:
        """Gives the turns that are shown their places: each follows the one before."""
        newest, before, turns = max((turn.number for turn in self.all_turns), default=0), 0, []
        for turn in self.turns:
            number = turn.number
            if number <= before:
                number = newest = newest + 1
            turns.append(turn if (turn.number, turn.after) == (number, before) else _placed(turn, number, before))
            before = number
        object.__setattr__(self, "turns", tuple(turns))

    @property
    def all_turns(self) -> tuple[Turn, ...]:
        """Shown or not."""
        return (*self.turns, *self.aside)

    @property
    def last(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    def adding(self, turn: Turn) -> Conversation:
        return replace(self, turns=(*self.turns, replace(turn, number=0)))

    def before(self, index: int) -> Conversation:
        """What is asked before a turn, to be shown or extended for a moment; the rest is neither shown nor aside."""
        return replace(self, turns=self.turns[:index])

    def answered(self, answer: Answer | None) -> Conversation:
        """The same conversation with another answer to the last turn; None for no answer."""
        return replace(self, turns=(*self.turns[:-1], replace(self.turns[-1], answer=answer)))

    def instead(self, index: int, turn: Turn) -> Conversation:
        """Another version of a turn and of all behind it, which are put aside."""
        aside = (*self.aside, *self.turns[index:])
        return replace(self, turns=(*self.turns[:index], replace(turn, number=0)), aside=aside)

    def index(self, number: int) -> int | None:
        """Where the turn of this number is shown; None if it is not."""
        return next((index for index, turn in enumerate(self.turns) if turn.number == number), None)

    def versions(self, index: int) -> Versions:
        """Of the turn that is shown at an index."""
        shown = self.turns[index]
        here = sorted((t for t in self.all_turns if t.after == shown.after), key=lambda turn: turn.number)
        newest = {(turn.question, turn.media, turn.typed): turn.number for turn in here}  # in the order of first asking
        answers = tuple(turn.number for turn in here if turn.asks_the_same(shown))
        question = list(newest).index((shown.question, shown.media, shown.typed))
        return Versions(tuple(newest.values()), question, answers, answers.index(shown.number))

    def showing(self, number: int) -> Conversation:
        """The same with a version shown that was aside, and behind it what was asked last there."""
        turns = {turn.number: turn for turn in self.all_turns}
        if number not in turns:
            return self
        path = [max(_with_followers(number, turns.values()))]
        while (after := turns[path[-1]].after) in turns:
            path.append(after)
        aside = tuple(turns[n] for n in sorted(turns.keys() - set(path)))
        return replace(self, turns=tuple(turns[n] for n in reversed(path)), aside=aside)

    def taken_back(self) -> Conversation:
        """Without the last question and its answers, but for an answer that was followed by something; instead the
        newest other version of the question is shown, if there is one."""
        last = self.turns[-1]
        followed = {turn.after for turn in self.aside}
        gone = {turn.number for turn in self.aside if turn.after == last.after and turn.asks_the_same(last)} - followed
        gone |= _with_followers(last.number, self.all_turns)
        left = replace(self, turns=self.turns[:-1], aside=tuple(turn for turn in self.aside if turn.number not in gone))
        others = [turn.number for turn in left.aside if turn.after == last.after]
        return left.showing(max(others)) if others else left


def _placed(turn: Turn, number: int, after: int) -> Turn:
    return replace(turn, number=number, after=after)


def _with_followers(number: int, turns: Iterable[Turn]) -> set[int]:
    """The number of a turn and those of all that follow it, at any distance."""
    found = {number}
    for turn in sorted(turns, key=lambda turn: turn.number):  # a turn is newer than the one it follows
        if turn.after in found:
            found.add(turn.number)
    return found


def count(number: int, word: str) -> str:
    """`count(2, "token")` -> "2 tokens", with thousands apart: "1,196 tokens"."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def listed(media: Sequence[Medium]) -> str:
    """ "2 pictures and 1 clip" """
    parts = [count(n, MEDIA_NOUN[kind]) for kind in MEDIA_NOUN if (n := sum(m.kind == kind for m in media))]
    return " and ".join(parts)


def default_question(media: Sequence[Medium]) -> str:
    """What is asked when files come without words."""
    if all(m.kind == "video" for m in media):
        return "Describe this video." if len(media) == 1 else "Describe these videos."
    if all(m.kind == "image" for m in media):
        return "Describe this picture." if len(media) == 1 else "Describe these pictures."
    return "Describe these files."


def to_messages(conversation: Conversation, where: Callable[[Medium], Path | None]) -> list[Message]:
    """The conversation as the engine takes it, with the last turn's question at its end if it has no answer.

    `where` gives the file of a medium, or None if it is gone. A turn that was stopped before its first word is left
    out, because the model was not trained on two questions in a row. A medium that is gone is replaced by a sentence,
    so that its question still makes sense.
    """
    messages = [Message("system", conversation.system)] if conversation.system.strip() else []
    for index, turn in enumerate(conversation.turns):
        open_question = turn.answer is None and index == len(conversation.turns) - 1
        if not turn.has_words and not open_question:
            continue
        parts: list[Part] = []
        for medium in turn.media:
            path = where(medium)
            if path is None:
                parts.append(Text(f"[{gone(medium)}] "))
            elif medium.kind == "video":
                parts.append(Video(path, medium.name, medium.time_range))
            else:
                parts.append(Image(path, medium.name))
        messages.append(Message("user", (*parts, *question_parts(turn.question))))
        if turn.answer is not None:
            messages.append(Message("assistant", turn.answer.text))
    return messages


def gone(medium: Medium) -> str:
    return f"The {MEDIA_NOUN[medium.kind]} {medium.name} is no longer kept here."


def numbers_of(trace: PromptTrace, media: int) -> tuple[MediumNumbers, ...]:
    """What the last `media` pictures and clips of the prompt became.

    A clip can have become more than one picture, where the model takes no clips.
    """
    if not media or not trace.media:
        return ()
    last = [m for m in trace.media if m.message == trace.media[-1].message]
    return tuple(MediumNumbers.of(m) for m in (last if len(last) > media else trace.media[len(trace.media) - media :]))


def cost_line(numbers: Numbers) -> str:
    """`214 prompt tokens (64 of the picture) · 12 new tokens · first token 0.2 s · 31 tokens/s`"""
    media = f" ({numbers.media_tokens:,} visual)" if numbers.media_tokens else ""
    if numbers.remark:  # then a server counted the one and this page the other
        media = " (not as shown: see Prompt)"
    elif len(numbers.media) == 1 and numbers.media_tokens == numbers.media[0].merged_tokens:
        media = f" ({numbers.media_tokens:,} of the {MEDIA_NOUN[numbers.media[0].kind]})"
    elif _is_one_clip(numbers.media) and numbers.media_tokens == sum(one.merged_tokens for one in numbers.media):
        media = f" ({numbers.media_tokens:,} of the {MEDIA_NOUN['video']})"
    parts = [count(numbers.prompt_tokens, "prompt token") + media, count(numbers.new_tokens, "new token")]
    if numbers.first_token is not None:
        reused = f" ({numbers.reused_tokens:,} prompt tokens reused)" if numbers.reused_tokens else ""
        parts.append(f"first token {seconds(numbers.first_token)}{reused}")
    if numbers.rate:
        parts.append(f"{numbers.rate:.3g} tokens/s" if numbers.rate < 100 else f"{numbers.rate:.0f} tokens/s")
    if numbers.temperature > 0:
        parts.append(
            f"temperature {numbers.temperature:g}" + (f", seed {numbers.seed}" if numbers.seed is not None else "")
        )
    return " · ".join([*parts, *numbers.notes])


def _is_one_clip(media: Sequence[MediumNumbers]) -> bool:
    """Whether these are the pieces of one clip, "clip.mp4, 0.0 s" and so on."""
    times = [one.timestamps[0] for one in media if one.timestamps]
    names = {one.name.rpartition(", ")[0] for one in media}
    return len(times) == len(media) > 1 and len(names) == 1 and "" not in names and times == sorted(set(times))


# How an answer ended, where that is news.
ENDINGS: dict[Ending, str] = {
    "end": "",
    "length": "Cut off at the length limit.",
    "cancelled": "Stopped by you.",
    "error": "Ended by an error.",
    "repeating": "It was repeating itself and was stopped.",
}


def duration(value: float) -> str:
    """Seconds in words, to two digits: "40 ms", "0.31 s", "2.4 s", "3 min 20 s"."""
    if value < 0.0995:
        return f"{value * 1000:.2g} ms"
    if value < 0.995:
        return f"{value:.2f} s"
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 0.995 else f"{value:.1f} s"
