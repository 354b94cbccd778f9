"""Chromium, the page and its engines.

`nano` is a tab of the app as it ships, `fake` a tab of the app on an engine that can be made slow, can fail and writes
boxes, `none` a tab of an app without weights. They are opened once and cleared for each test; `visit` opens further
tabs. A test fails if a page logged an error or made a request to another server.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from qwen2vl_demo.engine import load_engine
from qwen2vl_demo.engine.processor_only import ProcessorOnlyEngine
from qwen2vl_demo.ui.app import build_demo, launch_options
from qwen2vl_demo.ui.example_cards import Example
from qwen2vl_demo.ui.sessions import Session
from tests.browser.driver import Tab
from tests.fake_engine import FakeEngine
from tests.ui.conftest import clip, picture

CHROMIUM = os.environ.get("CHROMIUM_PATH", "/usr/bin/chromium")
ARGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
FIRST_PORT, PORTS = 20_000, 500  # of each worker; below the ports that systems give to connections
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}

expect.set_options(timeout=60_000)  # generous, for machines that are shared; on an idle one, seconds suffice


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    extra = {"executable_path": CHROMIUM} if os.path.exists(CHROMIUM) else {}
    return {**browser_type_launch_args, **extra, "args": ARGS}


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files to attach: cat.png, dog.jpg, clip.mp4, pages.pdf, broken.png."""
    folder = tmp_path_factory.mktemp("material")
    picture(folder / "cat.png")
    picture(folder / "dog.jpg", (200, 300), "blue")
    clip(folder / "clip.mp4")
    pages = [PIL.Image.new("RGB", (200, 280), colour) for colour in ("white", "beige")]
    pages[0].save(folder / "pages.pdf", save_all=True, append_images=pages[1:])
    (folder / "broken.png").write_text("this is text and no picture")
    return folder


def own_port() -> int:
    """A free port that no other worker of pytest-xdist takes, so that an app which has ended can start there again."""
    first = FIRST_PORT + PORTS * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for port in range(first, first + PORTS):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {first} to {first + PORTS - 1} is free")


class App:
    """A launched page, which can be launched again on the same port and folder."""

    def __init__(
        self,
        engine: Any,
        folder: Path,
        examples: list[Example] | None,
        port: int | None = None,
        auth: list[tuple[str, str]] | None = None,
        **options: Any,
    ) -> None:
        """`options` are further ones of `build_demo`."""
        self.auth = auth
        self.engine, self.folder, self.examples, self.port = engine, folder, examples, port or own_port()
        self.options = options
        self.start()

    def start(self) -> None:
        self.demo = build_demo(self.engine, data_dir=self.folder, examples=self.examples, **self.options)
        _, url, _ = self.demo.launch(
            prevent_thread_lock=True,
            quiet=True,
            server_name="127.0.0.1",
            server_port=self.port,
            auth=self.auth,
            **launch_options(self.demo),
        )
        self.url = url.rstrip("/")

    def stop(self) -> None:
        """Answers under way end behind it, as they do with a process."""
        self.demo.close(verbose=False)
        for session in self.sessions.values():
            session.cancel_run()

    @property
    def sessions(self) -> dict[str, Session]:
        """The open sessions, by the key of their tab."""
        return dict(self.demo.parts.sessions._sessions)


@pytest.fixture(scope="session")
def fake_app(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[App]:
    examples = [
        Example("A picture", "What is in this picture?", (material / "cat.png",)),
        Example("Two pictures", "What differs?", (material / "cat.png", material / "dog.jpg")),
        Example("A clip", "What happens?", (material / "clip.mp4",)),
    ]
    engine = FakeEngine(step=0.002, encode=0.01, long_step=0.1)  # only answers that are stopped or watched take time
    app = App(engine, tmp_path_factory.mktemp("fake"), examples)
    yield app
    app.stop()


@pytest.fixture(scope="session")
def nano_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = App(load_engine("nano", device="cpu"), tmp_path_factory.mktemp("nano"), None)
    yield app
    app.stop()


@pytest.fixture(scope="session")
def none_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """`--model none`."""
    app = App(ProcessorOnlyEngine.load(), tmp_path_factory.mktemp("none"), [])
    yield app
    app.stop()


class Windows:
    """Browser windows (contexts) that are used again: one that has opened the page before opens it in half the time."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self._free: dict[str, list[BrowserContext]] = {}
        self._options: dict[BrowserContext, str] = {}

    def take(self, **options: Any) -> BrowserContext:
        key = repr(sorted(options.items()))
        free = self._free.setdefault(key, [])
        if free:
            return free.pop()
        context = self.browser.new_context(**options)
        context.set_default_timeout(60_000)
        context.new_page()  # stays: what a window without a tab knew is forgotten
        self._options[context] = key
        return context

    def give_back(self, context: BrowserContext) -> None:
        """Closes its tabs. What they kept is deleted when a tab is opened in it again."""
        for page in context.pages[1:]:
            page.close()
        self._free[self._options[context]].append(context)


class Visits:
    """Opens tabs, closes them, and checks them for errors and foreign requests."""

    def __init__(self, windows: Windows) -> None:
        self.windows, self.browser = windows, windows.browser
        self.tabs: list[Tab] = []
        self._taken: list[BrowserContext] = []

    def __call__(
        self, app: App, *, beside: Tab | None = None, viewport: dict[str, int] = DESKTOP, **options: Any
    ) -> Tab:
        """Opens a tab of an app, in the browser window of `beside` if that is given and else in one that kept
        nothing."""
        context = beside.page.context if beside else self.windows.take(viewport=viewport, **options)
        tab = Tab(context.new_page(), app.url)
        if not beside:
            self._taken.append(context)
            devtools = context.new_cdp_session(tab.page)
            devtools.send("Storage.clearDataForOrigin", {"origin": app.url, "storageTypes": "local_storage,indexeddb"})
            devtools.detach()
        self.tabs.append(tab)
        tab.open()
        return tab

    def check(self) -> None:
        assert [request for tab in self.tabs for request in tab.outside] == []
        assert [error for tab in self.tabs for error in tab.errors] == []

    def close(self) -> None:
        for context in self._taken:
            self.windows.give_back(context)


@pytest.fixture(scope="session")
def windows(browser: Browser) -> Windows:
    return Windows(browser)


@pytest.fixture
def visit(windows: Windows) -> Iterator[Visits]:
    """Tabs for one test."""
    visits = Visits(windows)
    yield visits
    visits.close()
    visits.check()


@pytest.fixture(scope="session")
def shared(windows: Windows) -> Iterator[Visits]:
    """Tabs shared by tests, because opening one takes seconds."""
    visits = Visits(windows)
    yield visits
    visits.close()


def _shared_tab(shared: Visits, app: App) -> Iterator[Tab]:
    opened = [tab for tab in shared.tabs if tab.url == app.url]
    tab = opened[0] if opened else shared(app)
    tab.fresh()
    yield tab
    shared.check()


@pytest.fixture
def fake(fake_app: App, shared: Visits) -> Iterator[Tab]:
    yield from _shared_tab(shared, fake_app)


@pytest.fixture
def none(none_app: App, shared: Visits) -> Iterator[Tab]:
    yield from _shared_tab(shared, none_app)


@pytest.fixture
def nano(nano_app: App, shared: Visits) -> Iterator[Tab]:
    yield from _shared_tab(shared, nano_app)


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 800x600 px with soft colours everywhere."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    small = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    PIL.Image.fromarray(small).resize((800, 600), PIL.Image.Resampling.BICUBIC).save(path)
    return path
