"""The tab "Experiments": guesses about the visitor's own picture, and experiments with the visitor's own question.

Nothing here is prepared: guesses are answered by the arithmetic that cuts pictures, experiments by the model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from qwen2vl_demo.ui.markup import section_html
from qwen2vl_demo.ui.panel.download_buttons import draw_download_buttons
from qwen2vl_demo.ui.panel.experiment_html import guesses_html, trials_html
from qwen2vl_demo.ui.panel.experiments import Experiment, Experiments
from qwen2vl_demo.ui.panel.state import PanelState
from qwen2vl_demo.ui.panel.tab import QUEUED, PageContext, Updates


@dataclass(frozen=True)
class ExperimentComponents:
    button: gr.Button
    trials: gr.HTML


@dataclass(frozen=True)
class ExperimentsComponents:
    guesses: gr.HTML
    experiments: dict[Experiment, ExperimentComponents]


class ExperimentsTab:
    name = "Experiments"
    components: ExperimentsComponents

    def __init__(self, experiments: Experiments) -> None:
        self._experiments = experiments

    def draw(self) -> None:
        plain: dict[str, Any] = {"apply_default_css": False}
        guesses = gr.HTML(guesses_html(None), elem_id="experiment-guesses", **plain)
        experiments: dict[Experiment, ExperimentComponents] = {}
        for key, introduction in self._experiments.offered.items():
            gr.HTML(section_html(introduction.title, introduction.reason), elem_classes="experiment-why", **plain)
            experiments[key] = ExperimentComponents(
                button=gr.Button(
                    introduction.button, size="sm", elem_id=f"experiment-{key}", elem_classes="experiment-ask"
                ),
                trials=gr.HTML("", elem_id=f"experiment-{key}-found", **plain),
            )
        draw_download_buttons(self.name, figures=False)
        self.components = ExperimentsComponents(guesses, experiments)

    def outputs(self) -> Sequence[Component]:
        return [self.components.guesses, *(e.trials for e in self.components.experiments.values())]

    def update(self, state: PanelState) -> Updates:
        """The guesses. Trials stay until the chat is empty, since they say which question they belong to."""
        updates: Updates = {self.components.guesses: guesses_html(state.trace)}
        if not state.conversation.turns:
            updates |= {e.trials: "" for e in self.components.experiments.values()}
        return updates

    def wire(self, page: PageContext) -> None:
        for key, components in self.components.experiments.items():

            async def run(
                request: gr.Request, saved: str, *, experiment: Experiment = key, **settings: Any
            ) -> AsyncGenerator[str, None]:
                states = self._experiments.run(await page.opened_session(request, saved), settings, experiment)
                try:
                    async for state in states:
                        yield trials_html(state.question, state.trials, note=state.note, ended=state.finished)
                finally:
                    await states.aclose()

            # No limit: the engine's own queue takes one at a time, and a newer experiment cancels the one before.
            components.button.click(
                run, None, [components.trials], inputs_kwargs=page.inputs, trigger_mode="multiple", **QUEUED
            )
