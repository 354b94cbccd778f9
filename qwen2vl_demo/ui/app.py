"""The way in: `build_demo` makes the page for an engine, `launch_options` what to launch it with.

    demo = build_demo(engine, data_dir=..., max_file_mb=50, defaults=GenerationOptions())
    demo.launch(server_port=7860, **launch_options(demo, max_file_mb=50))

Nothing happens at import; `build_demo` makes the folder for the visitors' media.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from qwen2vl_demo.decoding import Decoding
from qwen2vl_demo.engine.models.pool import Loader
from qwen2vl_demo.engine.protocol import Engine, GenerationOptions
from qwen2vl_demo.media import MediaLimits
from qwen2vl_demo.ui import theme
from qwen2vl_demo.ui.api import Api
from qwen2vl_demo.ui.chat.page_update import report
from qwen2vl_demo.ui.chat_sync import ChatSync
from qwen2vl_demo.ui.events import PageEvents
from qwen2vl_demo.ui.example_cards import Example, load_examples
from qwen2vl_demo.ui.gate.calls import Calls
from qwen2vl_demo.ui.gate.gate import Gate, GateRules
from qwen2vl_demo.ui.gate.logins import Logins
from qwen2vl_demo.ui.gate.uploads import MB, Uploads
from qwen2vl_demo.ui.gradio_sessions import MAX_STATES, release_closed
from qwen2vl_demo.ui.layout import draw_page
from qwen2vl_demo.ui.lesson.lesson import Lesson
from qwen2vl_demo.ui.media_store import DAY, MediaStore
from qwen2vl_demo.ui.model_menu import ModelMenu
from qwen2vl_demo.ui.models import Models
from qwen2vl_demo.ui.panel.comparisons import Comparisons
from qwen2vl_demo.ui.panel.cost_tab import CostTab
from qwen2vl_demo.ui.panel.experiments_tab import ExperimentsTab
from qwen2vl_demo.ui.panel.eyes_switch import EyesSwitch
from qwen2vl_demo.ui.panel.panel import Panel
from qwen2vl_demo.ui.panel.picture_tab import PictureTab
from qwen2vl_demo.ui.panel.prompt_tab import PromptTab
from qwen2vl_demo.ui.panel.rotation_tab import RotationTab
from qwen2vl_demo.ui.panel.variants_tab import VariantsTab
from qwen2vl_demo.ui.parts import Parts
from qwen2vl_demo.ui.prepared_chats import link_targets, load_prepared_chats
from qwen2vl_demo.ui.user_chats import UserChats
from qwen2vl_demo.ui.workspace import MEDIA

AUTH_MESSAGE = "After some wrong passwords the next one is looked at only when a pause has passed; it grows each time."
KEPT = "/chat-media"  # how a browser names the folder of its chats' files, which is another one after a restart
TIDY_INTERVAL = 5.0  # seconds between two looks for what no tab needs any more


def default_data_dir() -> Path:
    """Where the page keeps the visitors' media unless it is told otherwise."""
    return Path.home() / ".cache" / "qwen2vl-demo"


def build_demo(
    engine: Engine,
    *,
    data_dir: Path | None = None,
    examples: Sequence[Example] | None = None,
    max_file_mb: int = 50,
    visitor_files_mb: int = 1000,
    all_files_mb: int = 8000,
    max_image_mp: int = 120,
    max_pdf_pages: int = 12,
    defaults: GenerationOptions | None = None,
    share_cache: bool = False,
    decoding: Decoding | None = None,
    loader: Loader | None = None,
    keep_chats: Path | None = None,
    keep_chats_mb: int = 500,
) -> gr.Blocks:
    """The page. `examples` are the cards of the empty chat (None: those in assets/examples), `defaults` what the
    settings start with, `max_file_mb` what `launch_options` was told, `max_image_mp` and `max_pdf_pages` the settings
    of these names; all files of one visitor, and of all visitors, may have `visitor_files_mb` and `all_files_mb`. With
    `share_cache` visitors share what is computed. `decoding` is where the files of visitors are decoded, by default in
    this process; for strangers give what `serve` gives. With a `loader` visitors choose among the models that it offers
    beside `engine`. In the folder `keep_chats` the chats of each user who has logged in are kept, up to `keep_chats_mb`
    of each. The Blocks that is returned has the parts of the page as its
    attribute `parts`, and its models as `models`.
    """
    limits = MediaLimits.for_uploads(max_file_mb, max_image_mp=max_image_mp, max_pdf_pages=max_pdf_pages)
    folder = data_dir or default_data_dir()
    store = MediaStore(folder / MEDIA, limits=limits, max_bytes=all_files_mb * MB, decoding=decoding)
    received = Path(get_upload_folder())
    uploads = Uploads(
        received,
        visitor_mb=max(visitor_files_mb, max_file_mb),
        all_mb=max(all_files_mb, max_file_mb),
        alone=received.is_relative_to(folder),
    )
    parts = Parts.build(engine, store, defaults, uploads, share_cache=share_cache)
    models = Models(parts, loader)
    kept = None if keep_chats is None else UserChats(keep_chats, store, keep_chats_mb * MB)
    sync = None if kept is None else ChatSync(kept, parts.threads)
    preview, attention = models.part(lambda own: own.preview), models.part(lambda own: own.attention)
    experiments, laboratory = models.part(lambda own: own.experiments), models.part(lambda own: own.laboratory)
    tried = ExperimentsTab(experiments, models.part(lambda own: own.accuracy), models if models.offered else None)
    menu = ModelMenu(models, [tried]) if models.offered else None
    panel = Panel(
        [
            PictureTab(engine.pixel_limits, preview, attention, laboratory, parts.threads),
            PromptTab(),
            RotationTab(lambda session: (models.of(session) if session else parts).engine.config),
            VariantsTab(),
            CostTab(Comparisons()),
            tried,
        ],
        EyesSwitch(engine.name, engine.pixel_limits, chosen=models.offered),
    )
    lesson = Lesson(parts, experiments)
    engine.warm_up()
    cards = load_examples() if examples is None else tuple(examples)
    chats = load_prepared_chats()
    # Served from where they lie: Gradio would hash and copy them again with every word of an answer.
    files = {*lesson.files, *(file for card in cards for file in card.files)}
    gr.set_static_paths([store.folder, *files])
    # Uploads are Gradio's to delete; what a conversation needs was copied to the store.
    with gr.Blocks(title="Qwen2-VL", fill_width=True, analytics_enabled=False, delete_cache=(3600, DAY)) as demo:
        page = draw_page(parts, panel, lesson, cards, link_targets(cards, chats), max_file_mb, menu)
        if sync is not None:
            sync.draw()
            sync.wire()
        Api(models).wire()  # first, since Gradio numbers the names of functions that are called alike
        PageEvents(page, parts, panel, lesson, cards, chats, models, menu, sync).wire(demo)
    demo.parts, demo.models = parts, models
    shown = sorted({file.parent for file in files})
    calls = Calls(demo, [uploads.folder, store.folder, *shown], uploads.named)
    names = {str(folder): f"/examples-{number}" for number, folder in enumerate(shown, 1)} | {str(store.folder): KEPT}
    demo.gate_rules = GateRules(calls, uploads, Logins(), names)
    return demo.queue(max_size=64, default_concurrency_limit=8)


def launch_options(demo: Any, *, max_file_mb: int = 50, mcp: bool = False) -> dict[str, Any]:
    """Keyword arguments for `demo.launch()`, where `demo` is what `build_demo` made: looks, the gate before Gradio, the
    task that frees what closed tabs left, limits, and everything that calls home switched off. With `mcp` the endpoints
    are also tools of an MCP server."""
    rules = replace(demo.gate_rules, mcp=mcp)

    @asynccontextmanager
    async def tidying(app: Any) -> AsyncIterator[None]:
        async def tidy() -> None:
            while True:
                await asyncio.sleep(TIDY_INTERVAL)
                try:
                    await asyncio.to_thread(demo.parts.tidy)
                    await asyncio.to_thread(demo.models.tidy)
                    release_closed(app, set(demo.parts.sessions.keys()))
                except Exception as problem:
                    report(problem, "tidying up")

        task = asyncio.create_task(tidy())
        yield
        task.cancel()

    return {
        "app_kwargs": {"middleware": [Middleware(Gate, rules=rules)], "lifespan": tidying},
        "auth_message": AUTH_MESSAGE,
        "theme": theme.theme(),
        "js": theme.js(),
        "head": theme.head(),
        "favicon_path": theme.STATIC / "favicon.svg",
        "max_file_size": f"{max_file_mb}mb",
        "state_session_capacity": MAX_STATES,
        "footer_links": ["api"],  # opens ?view=api; the footer itself is hidden
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": mcp,
        "show_error": True,
    }
