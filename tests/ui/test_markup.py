"""Templates: every value from outside is escaped in every one of them, and none renders with a value missing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jinja2
import numpy as np
import pytest

from qwen2vl_demo.engine.protocol import GenerationOptions, Outcome
from qwen2vl_demo.ui.chat.conversation import Answer, Conversation, Turn
from qwen2vl_demo.ui.chat.export import export_html
from qwen2vl_demo.ui.markup import environment, render, section_html
from qwen2vl_demo.ui.media_store import MediaStore
from qwen2vl_demo.ui.panel.accuracy import AccuracyState, Asked, Score
from qwen2vl_demo.ui.panel.accuracy_html import accuracy_html
from qwen2vl_demo.ui.panel.columns import Variation
from qwen2vl_demo.ui.panel.comparison_html import comparison_html, comparison_table_html
from qwen2vl_demo.ui.panel.cost_html import estimate_html, outcomes_html, released_html
from qwen2vl_demo.ui.panel.experiment_html import guesses_html, trials_html
from qwen2vl_demo.ui.panel.eyes_switch import eyes_html
from qwen2vl_demo.ui.panel.rotation_html import pair_html
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.trials import Trial
from qwen2vl_demo.viz.bands import Rope
from tests.ui.panel.test_cost_html import ESTIMATE, medium, trace_of

HOSTILE = "\"'><img src=x onerror=alert(1)>&amp;"
MEDIUM = medium((300, 300), name=HOSTILE)
TRACE = trace_of(MEDIUM, replace(MEDIUM, span=(300, 421)))
PIXELS = np.zeros((*MEDIUM.resized_size, 3), np.uint8)
TRIAL = Trial(Variation(HOSTILE, HOSTILE, GenerationOptions()), MEDIUM, PIXELS, HOSTILE, HOSTILE, 1.0, 5, ended=True)
ACCURACY = AccuracyState("tokens", (Score("where", "16", 1, 1, 0.5),), 1, Asked(PIXELS, "16", *(HOSTILE,) * 3), HOSTILE)

# Each template that shows words from outside: names of files, words of the model and of the visitor, an engine's name.
WITH_WORDS: dict[str, Callable[[], str]] = {
    "section.html": lambda: section_html(HOSTILE, HOSTILE, HOSTILE),
    "cost_estimate.html": lambda: estimate_html(replace(ESTIMATE, basis=HOSTILE), draft=True),
    "comparison.html": lambda: comparison_html(MEDIUM, PIXELS, None),
    "comparison_table.html": lambda: comparison_table_html(TRACE),
    "guesses.html": lambda: guesses_html(TRACE),
    "trials.html": lambda: trials_html(
        HOSTILE,
        [TRIAL, replace(TRIAL, ended=False, answer=""), replace(TRIAL, problem=HOSTILE, medium=None)],
        note=HOSTILE,
    ),
    "accuracy_note.html": lambda: accuracy_html(AccuracyState("tokens", note=HOSTILE)),
    "accuracy_curve.html": lambda: accuracy_html(ACCURACY),
    "accuracy_table.html": lambda: accuracy_html(replace(ACCURACY, study="addresses")),
    "eyes.html": lambda: eyes_html(HOSTILE, PanelState(eyes="released")),
    "rotation_pair.html": lambda: pair_html(Rope(), replace(TRACE, tokens=(HOSTILE,) * len(TRACE)), 0, 5),
    "rotation_why.html": lambda: render("rotation_why.html", paragraphs=[HOSTILE]),
    "header.html": lambda: render(
        "header.html", sentence=HOSTILE, name=HOSTILE, description=HOSTILE, abilities=HOSTILE, chosen=True
    ),
    "runs_on.html": lambda: render("runs_on.html", name=HOSTILE, description=HOSTILE),
    "chat_export.html": lambda: export_html(
        Conversation((Turn(HOSTILE, (), True, Answer(HOSTILE, "end")),), HOSTILE), MediaStore(Path()), HOSTILE, HOSTILE
    ),
}
# Those that show constant words and numbers only.
WITHOUT_WORDS: dict[str, Callable[[], str]] = {
    "bar.html": lambda: "",
    "accuracy_parts.html": lambda: "",
    "comparison_gone.html": lambda: render("comparison_gone.html"),
    "cost_empty.html": lambda: estimate_html(None, draft=True),
    "cost_outcomes.html": lambda: outcomes_html([Outcome(ESTIMATE, {"first_token": 1.0, "decode": 1.0}, 5, 5, 0)]),
    "cost_released.html": lambda: released_html(TRACE),
    "guesses_empty.html": lambda: guesses_html(None),
}


@pytest.mark.parametrize("template", WITH_WORDS)
def test_words_from_outside_are_escaped(template: str) -> None:
    made = WITH_WORDS[template]()
    assert "<img src=x" not in made and "\"'>" not in made
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;amp;" in made


def test_every_template_is_tested() -> None:
    assert set(environment().list_templates()) == {*WITH_WORDS, *WITHOUT_WORDS}
    for make in WITHOUT_WORDS.values():
        assert "<img" not in make()


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("header.html", sentence="a", name="b")


def test_the_header_names_the_model_and_what_it_can() -> None:
    made = render(
        "header.html", sentence="Ask.", name="nano", description="on this CPU", abilities="reads signs", chosen=False
    )
    assert made.split("\n") == [
        '<div class="brand"><h1>Qwen2-VL</h1><p>Ask.</p></div>',
        '<p class="engine" title="on this CPU"><b>nano</b> <span>reads signs</span></p>',
    ]
