"""The laboratory's handlers, without a page: what a visitor may ask about an answer, and what comes back."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.ui.chat.conversation import Conversation
from qwen2vl_demo.ui.panel.answered import Answered
from qwen2vl_demo.ui.panel.laboratory import GONE, MAX_BLOCKS, NOTHING_LEFT, ODD, WRITING, blocks, drawn_how
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Draft, Session
from qwen2vl_demo.viz.lens_payload import payload_key
from tests.asynchronous import stepwise
from tests.ui.conftest import VALUES, ask, respond

Files = Callable[[str], str]


@pytest.fixture
def session(parts: Parts) -> Session:
    return parts.sessions.open("tab", None)


def look(parts: Parts, session: Session, what: str, **asked: object) -> list[dict[str, Any]]:
    answer = parts.attention.words(session)["answer"]
    request = {"what": what, "turn": 0, "answer": answer, **asked}
    return [json.loads(json.dumps(found)) for found in stepwise(parts.laboratory.ask(session, request))]


@pytest.mark.parametrize(("way", "loss"), [("left_out", 3.0), ("grey", 6.0)])
def test_each_word_comes_with_what_it_lost_and_what_looked_there(
    parts: Parts, session: Session, files: Files, way: str, loss: float
) -> None:
    """cat.png is 9x11 tokens. The fake engine's word n needs cell n: rows 0 to 1, columns 1 to 2 hold the cells 1, 2,
    12 and 13, and so many hundredths of the attention."""
    ask(parts, session, "What is here?", files("cat.png"))
    (found,) = look(parts, session, "hide", way=way, medium=0, rows=[0, 1], columns=[1, 2], t=None)
    hidden = found["hidden"]
    words = parts.attention.words(session)["words"]
    lost = [round(before - after, 3) for before, after in zip(hidden["before"], hidden["after"], strict=True)]
    assert lost == [loss if n in (1, 2, 12, 13) else 0 for n in range(len(words))]
    assert (hidden["tokens"], hidden["of"], set(hidden["looked"])) == (4, 99, {0.04})
    assert hidden["all"][0] - hidden["all"][1] == pytest.approx(sum(lost))
    assert (found["what"], found["note"]) == ("hide", "")


def test_a_region_of_a_clip_is_of_one_step_or_of_all(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "What happens?", files("clip.mp4"))
    assert session.shown is not None
    steps, rows, columns = session.shown.trace.media[0].merged_grid
    for t, count in ((None, steps), (1, 1)):
        (found,) = look(parts, session, "hide", way="grey", medium=0, rows=[0, 0], columns=[0, 1], t=t)
        assert found["hidden"]["tokens"] == 2 * count
    (found,) = look(parts, session, "hide", way="grey", medium=0, rows=[0, rows - 1], columns=[0, columns - 1], t=None)
    assert found["note"] == NOTHING_LEFT


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (9, 11), (64, 64), (1, 500), (500, 2)])
def test_blocks_cover_a_picture_once(grid: tuple[int, int]) -> None:
    covered = [
        (row, column)
        for top, bottom, left, right in blocks(grid)
        for row in range(top, bottom + 1)
        for column in range(left, right + 1)
    ]
    assert sorted(covered) == [(row, column) for row in range(grid[0]) for column in range(grid[1])]
    assert len(blocks(grid)) <= MAX_BLOCKS


def test_a_map_hides_each_block_in_turn(parts: Parts, session: Session, files: Files) -> None:
    """Word n loses 3 without the block that holds cell n, and nothing without any other."""
    ask(parts, session, "What is here?", files("cat.png"))
    found = look(parts, session, "map", way="left_out", medium=0)[-1]["map"]
    assert found["ended"] and found["blocks"] == [list(block) for block in blocks((9, 11))]
    assert len(found["after"]) == len(found["all"][1]) == len(found["blocks"])
    for number, (top, bottom, left, right) in enumerate(found["blocks"]):
        for word, before in enumerate(found["before"]):
            row, column = divmod(word % 99, 11)
            needed = top <= row <= bottom and left <= column <= right
            assert round(before - found["after"][number][word], 3) == (3 if needed else 0)


def test_stop_keeps_the_blocks_so_far(parts: Parts, session: Session, files: Files) -> None:
    """A question that ends with "slow" makes the fake engine wait for a Stop from the second block on."""
    ask(parts, session, "What is slow", files("cat.png"))
    answer = parts.attention.words(session)["answer"]
    request = {"what": "map", "turn": 0, "answer": answer, "way": "grey", "medium": 0}
    states = stepwise(parts.laboratory.ask(session, request))
    assert next(states)["map"]["after"] == []
    threading.Timer(0.1, lambda: list(stepwise(parts.laboratory.ask(session, {"what": "stop"})))).start()
    last = list(states)[-1]
    assert last["map"]["ended"] and len(last["map"]["after"]) == 1
    assert last["note"] == f"Stopped after 1 of {len(blocks((9, 11)))} blocks."
    assert session.side_task is None


def test_choices_and_what_would_have_been(parts: Parts, session: Session) -> None:
    ask(parts, session, "What?")
    (found,) = look(parts, session, "choices", word=2)
    (choice,) = found["choices"]["places"]
    assert [c["probability"] for c in choice["candidates"]] == [0.6, 0.3, 0.1]
    assert choice["chosen"]["token"] == 102 and found["choices"]["how"].startswith("Greedy")
    (found,) = look(parts, session, "continue", word=2, place=choice["place"], token=7)
    assert found["continued"]["text"] == f"<i>Instead</i> token 7 at {choice['place']}."


def test_the_distribution_is_named_by_the_rules_that_it_was_drawn_with() -> None:
    def how(remembered: bool = True, exact: bool = True, **options: Any) -> str:
        return drawn_how(Answered(0, Conversation(), GenerationOptions(**options), "A", remembered=remembered), exact)

    assert how() == "Greedy: it took the most probable token. These are the model's own probabilities."
    assert "after a repetition penalty of 1.2" in how(repetition_penalty=1.2)
    drawn = how(temperature=0.7, top_p=0.9, top_k=20)
    assert "(temperature 0.7, the 20 most probable tokens, top p 0.9)" in drawn and "drawn with" in drawn
    assert "present settings" in how(remembered=False) and "cut into tokens anew" in how(exact=False)


def test_the_options_of_the_run_count_and_not_the_settings_since(parts: Parts, session: Session) -> None:
    parts.controller.begin(session, Draft("What?"))
    list(respond(parts, session, {"temperature": 0.8, "top_p": 0.9}))
    parts.controller.answers.finish(session)
    parts.preview.refresh(session, Draft(), VALUES)
    assert "temperature 0.8, top p 0.9" in look(parts, session, "choices", word=0)[0]["choices"]["how"]


def test_a_token_of_the_picture_is_read_in_every_layer(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "What is here?", files("cat.png"))
    assert session.shown is not None
    start, end = session.shown.trace.media[0].span
    (found,) = look(parts, session, "layers", token=start)
    assert [row[0]["text"] for row in found["layers"]["rows"]] == ["layer-0", "layer-1", "layer-2"]
    for token in (start - 1, end, -1, None, "7", 1e9, True):
        assert "Choose a token of the picture" in look(parts, session, "layers", token=token)[0]["note"]


def test_the_prompt_as_it_was_comes_for_the_lens(parts: Parts, session: Session, files: Files) -> None:
    ask(parts, session, "What is here?", files("cat.png"))
    assert session.shown is not None
    key = payload_key(session.shown.trace)
    parts.preview.refresh(session, Draft(), {"max_tokens": 20})
    (found,) = look(parts, session, "show")
    assert (found["prompt"]["key"], found["prompt"]["answered"]) == (key, 1)


@pytest.mark.parametrize(
    "asked",
    [
        {"what": "hide", "way": "red", "medium": 0, "rows": [0, 0], "columns": [0, 0]},
        {"what": "hide", "way": "grey", "medium": 1, "rows": [0, 0], "columns": [0, 0]},
        {"what": "hide", "way": "grey", "medium": True, "rows": [0, 0], "columns": [0, 0]},
        {"what": "hide", "way": "grey", "medium": 0, "rows": [1, 0], "columns": [0, 0]},
        {"what": "hide", "way": "grey", "medium": 0, "rows": [0, 9], "columns": [0, 0]},
        {"what": "hide", "way": "grey", "medium": 0, "rows": [-1, 0], "columns": [0, 0]},
        {"what": "hide", "way": "grey", "medium": 0, "rows": [0, 10**30], "columns": [0, 0]},
        {"what": "hide", "way": "grey", "medium": 0, "rows": [0.0, 0], "columns": [0, 0]},
        {"what": "hide", "way": "grey", "medium": 0, "rows": "00", "columns": [0, 0]},
        {"what": "hide", "way": "grey", "medium": 0, "rows": [0, 0], "columns": [0, 0], "t": 1},
        {"what": "map", "way": "grey", "medium": None},
    ],
)
def test_what_is_no_region_gets_a_sentence(
    parts: Parts, session: Session, files: Files, asked: dict[str, object]
) -> None:
    ask(parts, session, "What is here?", files("cat.png"))
    assert [found["note"] for found in look(parts, session, **asked)] == [ODD]  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [None, "hide", [], {}, {"what": []}, {"what": "unavailable"}, {"what": "_hide"}])
def test_what_is_no_question_gets_a_sentence_and_runs_nothing(parts: Parts, session: Session, asked: object) -> None:
    ask(parts, session, "What?")
    assert [found["note"] for found in stepwise(parts.laboratory.ask(session, asked))] == [GONE]


@pytest.mark.parametrize("changed", [{"turn": 1}, {"turn": -1}, {"turn": "0"}, {"answer": "x"}, {"answer": None}])
def test_only_answers_of_this_chat_are_looked_into(
    parts: Parts, session: Session, files: Files, changed: dict[str, object]
) -> None:
    ask(parts, session, "What is here?", files("cat.png"))
    other = parts.sessions.open("another tab", None)
    asked = {"way": "grey", "medium": 0, "rows": [0, 0], "columns": [0, 0]} | changed
    assert [found["note"] for found in look(parts, session, "hide", **asked)] == [GONE]
    name = parts.attention.words(session)["answer"]
    request = {"what": "show", "turn": 0, "answer": name}
    assert [found["note"] for found in stepwise(parts.laboratory.ask(other, request))] == [GONE]


def test_an_engine_whose_weights_are_elsewhere_says_why(
    parts: Parts, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(parts, session, "What?")

    def elsewhere() -> None:
        raise UserError("This model runs on a server.")

    monkeypatch.setattr(parts.engine, "laboratory", elsewhere)
    assert parts.laboratory.unavailable == "This model runs on a server."
    assert [found["note"] for found in look(parts, session, "choices", word=0)] == ["This model runs on a server."]


def test_while_an_answer_is_written_nothing_is_looked_into(parts: Parts, session: Session) -> None:
    ask(parts, session, "What?")
    name = parts.attention.words(session)["answer"]
    parts.controller.begin(session, Draft("And now?"))
    request = {"what": "choices", "turn": 0, "answer": name, "word": 0}
    assert [found["note"] for found in stepwise(parts.laboratory.ask(session, request))] == [WRITING]


def test_a_bug_is_said_in_words(parts: Parts, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(parts, session, "What?")
    monkeypatch.setattr("tests.fake_laboratory.FakeLaboratory.choices", lambda *_, **__: 1 / 0)
    assert "Something went wrong" in look(parts, session, "choices", word=0)[0]["note"]
