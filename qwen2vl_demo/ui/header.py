"""What the page says of the model: what it can do, and, for whoever points at it, what it runs on."""

from __future__ import annotations

from qwen2vl_demo.engine.cost import flops
from qwen2vl_demo.engine.protocol import Engine
from qwen2vl_demo.ui.markup import render
from qwen2vl_demo.ui.settings_form import TOKEN_PIXELS

SENTENCE = "Show it a picture, a clip or a page, and ask."


def header_html(engine: Engine, *, chosen: bool = False) -> str:
    """The page's name and the model's; `chosen`: this is a button, with which another one is chosen."""
    about = {"name": engine.name, "description": engine.description, "abilities": abilities(engine)}
    return render("header.html", sentence=SENTENCE, chosen=chosen, **about)


def runs_on_html(engine: Engine) -> str:
    return render("runs_on.html", name=engine.name, description=engine.description)


def abilities(engine: Engine) -> str:
    """Parameters, the largest picture and the context of a checkpoint that is loaded here; of any other engine its own
    description."""
    config = engine.config
    if config is None:
        return engine.description
    count = flops.parameters(config).total
    size = f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"
    tokens = engine.pixel_limits[1] // TOKEN_PIXELS
    context = config.text.max_position_embeddings
    return f"{size} parameters, up to {tokens:,} tokens per picture, context {context:,} tokens"
