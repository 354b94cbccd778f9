"""A checkpoint is data from strangers: whatever is in it, it loads and answers, or is refused in one sentence, soon."""

from __future__ import annotations

import functools
import gc
import resource
import time
import timeit
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwen2vl_demo import cli
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.chat import BUILT_IN_TEMPLATE, ChatTemplate
from qwen2vl_demo.processing.messages import Image, Message, Text
from qwen2vl_demo.resources import NANO
from tests.engine.broken_checkpoints import Broken, cases, copy_of_nano
from tests.processing.test_chat_template import RELEASED_TEMPLATE

CASES = list(cases())
ALWAYS = 3  # one in so many is tried in each run, all of them with `-m large`
SECONDS = 3.0  # of processor time, the worker's included
MEMORY = 700 * 2**10  # kB more than before


def try_out(directory: Path) -> str | None:
    """Loads a checkpoint and asks it something; the sentence of its refusal, None if there is an answer."""
    question = [Message("user", [Image(PIL.Image.new("RGB", (60, 60))), Text("What is this?")])]
    try:
        engine = LocalEngine.load(str(directory), device="cpu", dtype="float32")
        list(engine.stream(question, GenerationOptions(max_new_tokens=1)))
    except UserError as refused:
        return str(refused)
    return None


def processor_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def test_there_are_enough_and_each_is_another() -> None:
    assert len(CASES) >= 400 and sum(not parameter.marks for parameter in parameters()) >= 125
    assert len({case.name for case in CASES}) == len(CASES)


def parameters() -> list[Any]:
    quick = [case for case in CASES if not case.slow]
    often = {case.name for case in quick[::ALWAYS]}
    return [pytest.param(c, id=c.name, marks=[] if c.name in often else pytest.mark.slow) for c in CASES]


@pytest.mark.parametrize("case", parameters())
def test_it_loads_or_is_refused_in_one_sentence(tmp_path: Path, case: Broken) -> None:
    directory = copy_of_nano(tmp_path / "checkpoint")
    case.change(directory)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before, began = processor_seconds(), time.monotonic()
    refusal = try_out(directory)
    assert processor_seconds() - before < SECONDS and time.monotonic() - began < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < MEMORY
    if case.loads:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.endswith(".") and len(refusal) < 1000 and "\n" not in refusal
        refusal.encode()  # can be printed


@pytest.mark.parametrize("command", ["ask", "inspect", "serve"])
@pytest.mark.parametrize("name", ["config.json is nested", "model_type '\\ud800'", "template multiplies"])
def test_the_command_line_prints_one_line(command: str, name: str, tmp_path: Path, capsys: Any) -> None:
    case = next(case for case in CASES if case.name == name)
    directory = copy_of_nano(tmp_path / "checkpoint")
    case.change(directory)
    if command == "serve" and name.startswith("template"):
        pytest.skip("a template that compiles is refused with the first question")
    question = [] if command == "serve" else ["What is this?"]
    assert cli.main([command, "--model", str(directory), *question]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and err.startswith("error: ")
    assert out == "" or (command == "serve" and out.startswith("qwen2vl-demo"))


def test_a_template_of_its_own_is_rendered_by_a_worker_and_costs_little(tmp_path: Path) -> None:
    """After the worker was ended by one prompt it answers the next; and it ends with its template."""
    source = (
        "{% for m in messages %}{% if m['content'] == 'loop' %}{% for i in range(99999) %}{% for j in range(99999) %}"
        "{% endfor %}{% endfor %}{% endif %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    )
    template = ChatTemplate(source, "chat_template.jinja")
    process = template._process
    assert process is not None and process._worker is not None

    def render(text: str, template: ChatTemplate = template) -> str:
        return template.render([{"role": "user", "content": text}])

    assert render("hi é\n") == "user: hi é\n\n"
    taken = timeit.repeat(functools.partial(render, "hi"), number=10, repeat=10)
    assert min(taken) / 10 < 0.02  # the least, because the machine has other work too
    with pytest.raises(UserError, match=r"^chat_template\.jinja cannot lay out this conversation \(it does not end"):
        render("loop")
    assert render("hi") == "user: hi\n"
    worker = process._worker
    del template, process, render
    gc.collect()
    assert worker.wait(10) is not None


def test_the_templates_that_are_known_need_no_worker() -> None:
    assert ChatTemplate(BUILT_IN_TEMPLATE)._process is None
    assert ChatTemplate(RELEASED_TEMPLATE)._process is None
    assert ChatTemplate.from_directory(NANO)._process is None
