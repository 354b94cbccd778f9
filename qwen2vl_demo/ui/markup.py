"""HTML from the jinja2 templates in `ui/templates`. Every value is escaped, unless it is `Markup`."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from qwen2vl_demo.ui.chat.conversation import count, duration


@cache
def environment() -> Environment:
    """The one environment of all templates. Escapes in all of them; a missing value raises jinja2.UndefinedError."""
    made = Environment(
        loader=PackageLoader("qwen2vl_demo.ui", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"count": count, "duration": duration, "thousands": "{:,}".format}
    return made


def render(template: str, **values: Any) -> str:
    """The template of this file name, filled in."""
    return environment().get_template(template).render(values).strip()


def section_html(title: str, sentence: str, hint: str = "") -> str:
    """A section of the panel: a heading, a sentence, and a hint below it; "" for none of it."""
    return render("section.html", title=title, sentence=sentence, hint=hint)
