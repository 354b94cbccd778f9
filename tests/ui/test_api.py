"""The endpoints for programs, called as Gradio calls them: with JSON of any type."""

import asyncio
import base64
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from qwen2vl_demo.engine.models import pool as pool_module
from qwen2vl_demo.geometry import smart_resize
from qwen2vl_demo.ui import models as models_module
from qwen2vl_demo.ui.api import Api
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.parts import Parts
from tests import asynchronous
from tests.asynchronous import stepwise
from tests.fake_models import FakeLoader
from tests.waiting import wait_until

Files = Callable[[str], str]


def asked(parts: Parts, *arguments: Any, **named: Any) -> list[str]:
    return list(stepwise(Api(Models(parts)).ask(*arguments, **named)))


def inspected(parts: Parts, *arguments: Any, **named: Any) -> dict[str, Any]:
    return asynchronous.run(Api(Models(parts)).inspect(*arguments, **named))


def file(path: str) -> dict[str, str]:
    return {"path": path}


def data_url(path: str) -> str:
    return f"data:image/png;base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def test_each_piece_of_an_answer_begins_with_the_one_before(parts: Parts, files: Files) -> None:
    pieces = asked(parts, "What?", [file(files("cat.png"))])
    assert pieces[-1].startswith("In turn 1 I see 1 files") and len(parts.sessions) == 0
    assert all(later.startswith(earlier) for earlier, later in pairwise(pieces))


def test_several_files_and_an_earlier_exchange_are_told_to_the_model(parts: Parts, files: Files) -> None:
    history = [
        {"role": "user", "content": "And this?", "files": [file(files("dog.jpg"))]},
        {"role": "assistant", "content": "A rectangle."},
    ]
    answer = asked(parts, "Both?", [file(files("cat.png")), file(files("clip.mp4"))], history)[-1]
    assert answer.startswith("In turn 2 I see 3 files")


def test_a_file_may_come_in_its_address(parts: Parts, files: Files) -> None:
    """And what was made of it in the folder of uploads is gone after the call."""
    record = inspected(parts, "What?", [data_url(files("cat.png"))])
    assert record["media"][0]["original_size"] == [240, 320] and record["media"][0]["name"] == "file 1"
    assert not [path for path in parts.uploads.folder.iterdir() if path.is_dir()]


def test_an_upload_may_be_given_by_the_address_that_it_was_answered_with(parts: Parts, files: Files) -> None:
    upload = Path(files("cat.png")).rename(parts.uploads.folder / "a b.png")
    parts.uploads.kept("somebody", [str(upload)])
    address = f"http://localhost:7860/gradio_api/file={upload.as_posix().replace(' ', '%20')}"
    assert inspected(parts, "", [address])["media"][0]["original_size"] == [240, 320]


def test_the_record_is_that_of_the_prompt(parts: Parts, files: Files) -> None:
    record = inspected(parts, "What?", [file(files("cat.png"))], max_tokens=90, min_tokens=2)
    medium = record["media"][0]
    assert medium["resized_size"] == list(smart_resize(240, 320, min_pixels=2 * 28 * 28, max_pixels=90 * 28 * 28))
    assert medium["merged_tokens"] == math.prod(medium["resized_size"]) // 28**2
    assert record["prompt_tokens"] == len(record["input_ids"])


def test_a_part_of_the_clips_of_a_question_is_looked_at(parts: Parts, files: Files) -> None:
    """2 s at 10 frames a second; the earlier exchange saw all of it."""
    clip = file(files("clip.mp4"))
    history = [{"role": "user", "content": "q", "files": [clip]}, {"role": "assistant", "content": "a"}]
    whole, part = inspected(parts, "What?", [clip], history, part="0:01-1.5")["media"]
    assert whole["frame_indices"][-1] == 19 and "time_range" not in whole
    assert (part["frame_indices"][0], part["frame_indices"][-1], part["time_range"]) == (10, 14, [1.0, 1.5])


def test_a_model_of_the_menu_answers_and_is_held_only_while_it_does(
    models: Models, loader: FakeLoader, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "GRACE", -1.0)
    api, picture = Api(models), file(files("cat.png"))
    answer = stepwise(api.ask("What?", [picture], model="tiny"))
    next(answer)
    models.tidy()
    assert loader.loads == ["tiny"] and "tiny" in models._pool.loaded()  # type: ignore[union-attr]
    assert list(answer)[-1].startswith("In turn 1 I see 1 files")
    stopped = stepwise(api.ask("What?", [picture], model="tiny"))
    next(stopped)
    stopped.close()
    models.tidy()
    assert loader.loads == ["tiny"] and "tiny" not in models._pool.loaded()  # type: ignore[union-attr]
    record = asynchronous.run(api.inspect("What?", [picture], model="plain"))
    assert record["media"][0]["merged_tokens"] <= 64  # which is its limit; the first one's is 1,280
    first = models.first.engine.heard  # type: ignore[attr-defined]
    assert not first
    for name in ("", "fake"):
        assert list(stepwise(api.ask("What?", model=name)))
    assert len(first) == 2


def test_a_call_waits_for_the_loading_of_another_model(
    models: Models, parts: Parts, loader: FakeLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_module, "AGAIN", 0.01)
    loader.step.clear()
    session = parts.sessions.open("tab", None)
    progress = models.begin(session, "tiny")
    with ThreadPoolExecutor(2) as threads:
        threads.submit(models.load, session, progress)
        while not loader.loads:
            time.sleep(0.01)
        answer = threads.submit(lambda: list(stepwise(Api(models).ask("What?", model="plain"))))
        assert not answer.done()
        loader.step.set()
        assert answer.result()[-1].startswith("In turn 1") and loader.loads == ["tiny", "plain"]


def test_a_model_that_came_after_its_caller_had_gone_is_held_by_nobody(models: Models, loader: FakeLoader) -> None:
    loader.step.clear()

    async def leave() -> None:
        call = asyncio.ensure_future(anext(Api(models).ask("What?", model="tiny")))
        while not loader.loads:
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    asynchronous.run(leave())
    loader.step.set()
    pool = models._pool
    assert pool is not None
    wait_until(lambda: pool.get("tiny") is not None and not pool._users())


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("small", r"There is no model small here\. Leave model empty for fake\. Others are: tiny, plain, large\."),
        ("../../secret/place/tiny", "There is no model"),
        ("x" * 5000, f"There is no model {'x' * 200} here"),
        ("large", "large takes 99 bytes of memory, and 10 bytes are free"),
        (5, "The model must be text"),
    ],
)
def test_a_model_that_cannot_answer_is_one_sentence(models: Models, model: Any, sentence: str) -> None:
    with pytest.raises(gr.Error, match=sentence):
        list(stepwise(Api(models).ask("What?", model=model)))


def test_without_a_menu_only_the_first_model_has_a_name(parts: Parts) -> None:
    assert asked(parts, "What?", model="fake")
    with pytest.raises(gr.Error, match=r"There is no model tiny here\. Leave model empty for fake\."):
        asked(parts, "What?", model="tiny")


def test_settings_are_obeyed(parts: Parts) -> None:
    assert len(asked(parts, "What?", max_new_tokens=2)[-1].split()) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"question": ""}, "Give a question"),
        ({"question": 5}, "The question must be text"),
        ({"question": "x" * 200_001}, "at most 200,000 characters"),
        ({"question": "x", "temperature": 99}, "The temperature must be between"),
        ({"question": "x", "seed": "one"}, "The seed must be a number"),
        ({"question": "x", "pages": 5}, "The pages must be text"),
        ({"question": "x", "part": 5}, "The part must be text"),
        ({"question": "x", "part": "4-2"}, "ends after it begins"),
        ({"question": "x", "history": "earlier"}, "a user and an assistant in turn"),
        ({"question": "x", "history": [{"role": "user", "content": "q"}]}, "a user and an assistant in turn"),
        ({"question": "x", "history": [{"role": "assistant", "content": "q"}] * 2}, "a user and an assistant in turn"),
        ({"question": "x", "history": [{"role": "user"}, {"role": "assistant", "content": ""}]}, "must be text"),
        ({"question": "x", "files": "cat.png"}, "other addresses are not opened"),
        ({"question": "x", "files": [5]}, "other addresses are not opened"),
        ({"question": "x", "files": ["/etc/passwd"]}, "other addresses are not opened"),
        ({"question": "x", "files": ["https://example.com/cat.png"]}, "other addresses are not opened"),
        ({"question": "x", "files": ["http://localhost/gradio_api/file=/etc/passwd"]}, "other addresses"),
        ({"question": "x", "files": ["data:image/png;base64,A"]}, "says base64"),
        ({"question": "x", "files": ["data:image/png"]}, "needs a comma"),
        ({"question": "x", "files": ["data:text/plain,hello"]}, "file 1"),
    ],
)
def test_wrong_arguments_are_one_sentence(parts: Parts, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(gr.Error, match=sentence):
        asked(parts, **arguments)


def test_a_file_that_cannot_be_opened_is_named(parts: Parts, files: Files) -> None:
    with pytest.raises(gr.Error, match=r"broken\.png"):
        inspected(parts, "x", [file(files("broken.png"))])
