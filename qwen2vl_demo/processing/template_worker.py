"""Renders a checkpoint's chat template: in this process, or as the worker that `template_process.py` starts.

A template is a program that came with the weights. Jinja's sandbox keeps it away from files and attributes, not from
loops, recursion and `'x' * 10**9`; as a worker this module limits its own memory and processor time, so that a template
can end nothing but the worker. Run as a script it imports Jinja and the standard library only.

The worker reads one JSON object a line, `{"source": ...}` first and then `{"messages": ..., "add_vision_id": ...,
"add_generation_prompt": ...}` for each prompt, and answers each with a line: `{"text": ...}`, or `{"invalid": reason}`
(no template), `{"refused": reason}` (the template's own words) or `{"broken": reason}`.
"""

from __future__ import annotations

import json
import signal
import sys
from datetime import datetime
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.sandbox

MAX_OUTPUT = 2_000_000  # characters of a prompt; texts of messages are stand-ins of 40 characters
MAX_REASON = 300  # characters of an error
CPU_SECONDS = 1.0  # of processor time for one prompt
MEMORY = 512 * 2**20  # bytes of address space


def compile_template(source: str) -> jinja2.Template:
    """The template in a sandbox, with the settings of transformers. Raises jinja2.TemplateError."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda layout: datetime.now().strftime(layout)
    return environment.from_string(source)


def reply(template: jinja2.Template, request: dict[str, Any]) -> dict[str, str]:
    """What the worker answers to a request for a prompt."""
    try:
        text = template.render(**request)
    except jinja2.TemplateError as refused:
        return {"refused": str(refused)[:MAX_REASON]}
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as broken:
        return {"broken": str(broken)[:MAX_REASON]}
    except RecursionError:
        return {"broken": "it calls itself without end"}
    except MemoryError:
        return {"broken": "it takes too much memory"}
    if len(text) > MAX_OUTPUT:
        return {"broken": f"it writes {len(text):,} characters"}
    return {"text": text}


def opening(source: str) -> tuple[jinja2.Template | None, dict[str, str]]:
    """The compiled template, and what the worker answers to its source."""
    try:
        return compile_template(source), {"text": ""}
    except jinja2.TemplateError as invalid:
        return None, {"invalid": str(invalid)[:MAX_REASON]}
    except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError) as invalid:
        return None, {"invalid": f"{type(invalid).__name__}: {invalid}"[:MAX_REASON]}


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    # Jinja's own filter escapes for HTML, which no prompt wants
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(sentence: str) -> NoReturn:
    raise jinja2.TemplateError(sentence)


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))


def _allow_processor_time(seconds: float) -> None:
    """The system ends this process once it has taken as much from now on; 0 takes the limit away."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)


def main() -> None:
    """Answers the lines of standard input until it is closed."""
    _limit_memory()
    template: jinja2.Template | None = None
    for line in sys.stdin.buffer:
        _allow_processor_time(CPU_SECONDS)
        request = json.loads(line)
        if "source" in request:
            template, answer = opening(request["source"])
        else:
            assert template is not None
            answer = reply(template, request)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
        _allow_processor_time(0)


if __name__ == "__main__":
    main()
