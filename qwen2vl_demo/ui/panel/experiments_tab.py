"""The tab "Experiments": guesses about the visitor's own picture, experiments with the visitor's own question, and the
accuracy on many drawn scenes.

Nothing here is prepared: guesses are answered by the arithmetic that cuts pictures, everything else by the model.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from qwen2vl_demo.engine.models.pool import FIRST
from qwen2vl_demo.nano.drawn_questions import FAMILIES, family_of
from qwen2vl_demo.ui.loans import Lender
from qwen2vl_demo.ui.markup import section_html
from qwen2vl_demo.ui.panel.accuracy import MEASURED, MOST_SCENES, ONLY_NANO, SCENES, Accuracy, AccuracyState, Study
from qwen2vl_demo.ui.panel.accuracy_html import accuracy_html
from qwen2vl_demo.ui.panel.columns import AS_ASKED, MODEL, NOTHING, Experiment, columns_chosen, names_of_columns
from qwen2vl_demo.ui.panel.download_buttons import draw_download_buttons
from qwen2vl_demo.ui.panel.experiment_html import guesses_html, trials_html
from qwen2vl_demo.ui.panel.experiments import INTRODUCTIONS, Experiments
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import AT_ONCE, QUEUED, AfterRefresh, PageContext, Updates
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.sessions import Session

PAINT_INTERVAL = 0.3  # seconds between two updates of a study
COLUMNS = (AS_ASKED, "16", NOTHING)  # of a comparison, at first
LAST_QUESTION = "like the last question of the chat"
STUDIES: dict[Study, tuple[str, str, str]] = {  # title, what is done and why, label of its button
    "tokens": (
        "How many tokens does a question need?",
        "Questions like yours about drawn scenes whose answers are known, each asked with 16, 64, 256 and 1,024 tokens "
        "for its picture. An answer counts if it is right to the letter. The curve fills while the model answers; the "
        "more scenes, the narrower its bars.",
        "Measure the budgets",
    ),
    "addresses": (
        "Which questions need rows and columns?",
        "Other drawn scenes, asked about by family: with M-RoPE as trained, with h and w silenced, and with plain 1-D "
        "positions. See which families fall, and which hardly do.",
        "Measure the positions",
    ),
}


@dataclass(frozen=True)
class ExperimentComponents:
    section: gr.Column
    button: gr.Button
    trials: gr.HTML
    stop: gr.Button | None = None  # of what may take long
    columns: tuple[gr.Dropdown, ...] = ()  # of a comparison
    needs: gr.HTML | None = None  # what the models of these columns would take; None: there is one model only


@dataclass(frozen=True)
class StudyComponents:
    section: gr.Column
    button: gr.Button
    stop: gr.Button
    scenes: gr.Slider
    found: gr.HTML
    family: gr.Dropdown | None = None


@dataclass(frozen=True)
class ExperimentsComponents:
    guesses: gr.HTML
    experiments: dict[Experiment, ExperimentComponents]
    studies: dict[Study, StudyComponents]


class ExperimentsTab:
    name = "Experiments"
    components: ExperimentsComponents

    def __init__(self, experiments: Experiments, accuracy: Accuracy, lender: Lender | None = None) -> None:
        """With a `lender` visitors choose among models, which offer other things, and a column may be one."""
        self._experiments, self._accuracy, self._lender = experiments, accuracy, lender
        self._models = lender.names() if lender is not None else {}  # as the columns offer them at first

    def draw(self) -> None:
        plain: dict[str, Any] = {"apply_default_css": False}
        guesses = gr.HTML(guesses_html(None), elem_id="experiment-guesses", **plain)
        experiments: dict[Experiment, ExperimentComponents] = {}
        offered = self._experiments.offered
        for key, introduction in (offered if self._lender is None else INTRODUCTIONS).items():
            with gr.Column(visible=key in offered) as section:
                gr.HTML(section_html(introduction.title, introduction.reason), elem_classes="experiment-why", **plain)
                columns = self._draw_columns() if key == "compare" else ()
                needs = None
                if columns and self._lender is not None:
                    needs = gr.HTML("", elem_id="compare-needs", **plain)
                with gr.Row(elem_classes="experiment-buttons"):
                    button = _button(introduction.button, f"experiment-{key}")
                    stop = _button("Stop", f"experiment-{key}-stop") if columns else None
                experiments[key] = ExperimentComponents(
                    section=section,
                    button=button,
                    stop=stop,
                    trials=gr.HTML("", elem_id=f"experiment-{key}-found", **plain),
                    columns=columns,
                    needs=needs,
                )
        studies: dict[Study, StudyComponents] = {}
        if self._accuracy.offered or self._lender is not None:
            studies = {study: self._draw_study(study) for study in STUDIES}
        else:
            gr.HTML(section_html("Accuracy on drawn scenes", "", ONLY_NANO), elem_classes="experiment-why", **plain)
        draw_download_buttons(self.name, handouts=True)
        self.components = ExperimentsComponents(guesses, experiments, studies)

    @property
    def _nano_listed(self) -> bool:
        return MEASURED in self._models.values()

    def _choices(self, number: int, models: Mapping[str, str], *, positions: bool) -> list[tuple[str, str]]:
        """What column `number` of a comparison may be: words and key."""
        named = names_of_columns(positions=positions, models=models)
        return [(name, key) for key, name in named.items()] + [("no third column", NOTHING)] * (number == 3)

    def _draw_columns(self) -> tuple[gr.Dropdown, ...]:
        with gr.Row(elem_classes="experiment-choices"):
            return tuple(
                gr.Dropdown(
                    self._choices(number, self._models, positions=self._experiments.positions),
                    value=value,
                    label=f"Column {number}",
                    elem_id=f"compare-{number}",
                    min_width=150,
                    allow_custom_value=True,  # `Experiments.run` checks what comes back
                )
                for number, value in enumerate(COLUMNS, 1)
            )

    def _draw_study(self, study: Study) -> StudyComponents:
        with gr.Column(visible=self._accuracy.offered) as section:
            return self._draw_study_into(section, study)

    def _draw_study_into(self, section: gr.Column, study: Study) -> StudyComponents:
        title, reason, label = STUDIES[study]
        gr.HTML(section_html(title, reason), elem_classes="experiment-why", apply_default_css=False)
        with gr.Row(elem_classes="experiment-choices"):
            family = None
            if study == "tokens":
                family = gr.Dropdown(
                    [(LAST_QUESTION, ""), *((words, key) for key, words in FAMILIES.items())],
                    value="",
                    label="What is asked",
                    elem_id="accuracy-family",
                    min_width=230,
                    allow_custom_value=True,  # `Accuracy.run` checks what comes back
                )
            scenes = gr.Slider(
                *(4, MOST_SCENES),
                value=SCENES[study],
                step=2,
                label="Scenes" if study == "tokens" else "Scenes of each family",
                elem_id=f"accuracy-{study}-scenes",
                min_width=230,
            )
        with gr.Row(elem_classes="experiment-buttons"):
            button = _button(label, f"accuracy-{study}")
            stop = _button("Stop", f"accuracy-{study}-stop")
        found = gr.HTML("", elem_id=f"accuracy-{study}-found", apply_default_css=False)
        return StudyComponents(section, button, stop, scenes, found, family)

    def model_outputs(self) -> Sequence[Block]:
        """What `show_model` changes."""
        experiments, studies = self.components.experiments.values(), self.components.studies.values()
        columns = [column for drawn in experiments for column in drawn.columns]
        return [*(drawn.section for drawn in experiments), *(drawn.section for drawn in studies), *columns]

    def show_model(self, parts: Parts) -> Updates:
        """Offers what the model of these parts can do."""
        offered, updates = parts.experiments.offered, Updates()
        for key, drawn in self.components.experiments.items():
            updates[drawn.section] = gr.Column(visible=key in offered)
            for number, column in enumerate(drawn.columns, 1):
                choices: dict[str, Any] = {
                    "choices": self._choices(number, self._models, positions=parts.experiments.positions)
                }
                if "positions" not in offered:  # which may be what a column stands at
                    choices["value"] = COLUMNS[number - 1]
                updates[column] = gr.Dropdown(**choices)
        for study in self.components.studies.values():
            updates[study.section] = gr.Column(visible=parts.accuracy.offered)
        return updates

    def outputs(self) -> Sequence[Component]:
        return [self.components.guesses, *(e.trials for e in self.components.experiments.values())]

    def update(self, state: PanelState) -> Updates:
        """The guesses. Trials stay until the chat is empty, since they say which question they belong to."""
        updates: Updates = {self.components.guesses: guesses_html(state.trace)}
        if not state.conversation.turns:
            updates |= {e.trials: "" for e in self.components.experiments.values()}
        return updates

    def wire(self, page: PageContext) -> Sequence[AfterRefresh]:
        def stop(request: gr.Request) -> None:
            session = page.find_session(request)
            if session is not None:
                session.cancel_side_task()

        for key, components in self.components.experiments.items():

            async def run(
                request: gr.Request, *chosen: Any, experiment: Experiment = key, saved: str, **settings: Any
            ) -> AsyncGenerator[str, None]:
                session = await page.opened_session(request, saved)
                states = self._experiments.run(session, settings, experiment, chosen=chosen, lender=self._lender)
                try:
                    async for state in states:
                        yield trials_html(
                            state.question,
                            state.trials,
                            note=state.note,
                            ended=state.finished,
                            columns=experiment == "compare",
                        )
                finally:
                    await states.aclose()

            # No limit: the engine's own queue takes one at a time, and a newer experiment cancels the one before.
            components.button.click(
                run,
                list(components.columns),
                [components.trials],
                inputs_kwargs=page.inputs,
                trigger_mode="multiple",
                **QUEUED,
            )
            if components.stop is not None:
                components.stop.click(stop, None, None, **AT_ONCE)
            if self._lender is not None and components.needs is not None:
                self._wire_models(page, self._lender, components.columns, components.needs)
        for study, drawn in self.components.studies.items():

            async def measure(
                request: gr.Request, scenes: Any, family: Any = "", *, study: Study = study, saved: str
            ) -> AsyncGenerator[Any, None]:
                session = await page.opened_session(request, saved)
                family = _family(family, session)
                states = self._accuracy.run(session, study, family, int(scenes), listed=self._nano_listed)
                state, painted = AccuracyState(study), 0.0
                try:
                    async for state in states:
                        if time.monotonic() - painted >= PAINT_INTERVAL:
                            painted = time.monotonic()
                            yield accuracy_html(state)
                finally:
                    await states.aclose()
                yield accuracy_html(state)

            drawn.button.click(
                measure,
                [drawn.scenes, *([drawn.family] if drawn.family else [])],
                [drawn.found],
                inputs_kwargs={"saved": page.saved},
                trigger_mode="multiple",
                **QUEUED,
            )
            drawn.stop.click(stop, None, None, **AT_ONCE)
        return ()

    def _wire_models(self, page: PageContext, lender: Lender, columns: Sequence[gr.Dropdown], needs: gr.HTML) -> None:
        """Columns say what the models would take that they name, and offer those that are there by now."""

        def look(request: gr.Request, *chosen: Any) -> str:
            session = page.find_session(request)
            keys = columns_chosen(chosen, session.model if session else FIRST, models=True)
            models = [key.removeprefix(MODEL) for key in keys if key.startswith(MODEL)]
            said = lender.needs(models) if models else ""
            return section_html("", "", said) if said else ""

        def offer(request: gr.Request) -> Any:
            session, models = page.find_session(request), lender.names()
            if session is None or models == self._models:
                return [gr.skip()] * len(columns)
            able = lender.of(session).engine.abilities.positions
            numbers = range(1, len(columns) + 1)
            return [gr.Dropdown(choices=self._choices(number, models, positions=able)) for number in numbers]

        for column in columns:
            column.input(look, list(columns), [needs], trigger_mode="always_last", **AT_ONCE)
            column.focus(offer, None, list(columns), trigger_mode="once", **AT_ONCE)


def _family(chosen: Any, session: Session) -> str:
    """The family that was chosen; by default that of the last question, "" where it has none."""
    if isinstance(chosen, str) and chosen:
        return chosen
    with session.lock:
        last = session.conversation.last
    return (family_of(last.question) if last else None) or ""


def _button(label: str, elem_id: str) -> gr.Button:
    return gr.Button(label, size="sm", elem_id=elem_id, elem_classes="experiment-ask")
