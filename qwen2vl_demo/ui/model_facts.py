"""What the browser knows of the model that answers its tab: what it can do and what it cannot.

Scripts read `window.qwen2vl.model` and hear of another one by the event "model-told", so that no sentence of theirs
stays with the model that the page started with.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from qwen2vl_demo.ui.parts import Parts

TELL = """
const tell = () => {
  (window.qwen2vl ||= {}).model = props.value;
  document.dispatchEvent(new Event('model-told'));
};
tell();
watch('value', tell);
"""


def model_facts(parts: Parts, *, chosen: bool = False) -> dict[str, Any]:
    """{"name", "chosen": whether the visitor may choose another one, "positions": whether it answers with other
    positions than M-RoPE, "regions": whether it was trained on questions about a region, as far as is known,
    "laboratory": why its answers cannot be looked into, "" where they can}."""
    abilities = parts.engine.abilities
    return {
        "name": parts.engine.name,
        "chosen": chosen,
        "positions": abilities.positions,
        "regions": abilities.regions,
        "laboratory": parts.laboratory.unavailable,
    }


def draw_model_facts(facts: dict[str, Any]) -> gr.HTML:
    """The unseen component that holds them, into the open Gradio context."""
    return gr.HTML(facts, html_template="<i></i>", js_on_load=TELL, elem_id="model-facts", visible="hidden")
