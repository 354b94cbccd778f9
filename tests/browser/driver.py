"""A visitor's hands and eyes: what a test does to a tab of the page, and what it reads there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Locator, Page, expect


class Tab:
    """One open tab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.outside: list[str] = []
        self.errors: list[str] = []
        page.on("request", self._requested)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _requested(self, request: object) -> None:
        address = str(request.url)  # type: ignore[attr-defined]
        if not address.startswith((self.url, "data:", "blob:")):
            self.outside.append(address)

    def open(self) -> None:
        self.page.goto(self.url)
        self.ready()

    def reload(self) -> None:
        self.page.reload()
        self.ready()

    def ready(self) -> None:
        """Until the page is there and has asked for what its browser kept."""
        self.text.wait_for()
        self.page.wait_for_function("() => sessionStorage.getItem('qwen2vl.tab')")
        self.page.wait_for_timeout(600)

    def fresh(self) -> None:
        """Back to an empty chat and an empty composer, whatever the last visitor left."""
        stop = self.button("Stop")
        if stop.count():
            stop.click()
        with self.page.expect_response(lambda r: r.request.method == "POST" and "/gradio_api/" in r.url):
            self.button("Clear").click()
        while self.attached.count():
            self.page.locator("#composer .thumbnail-item button").first.click()
        self.text.fill("")
        self.page.get_by_role("tab", name="Picture", exact=True).click()
        expect(self.questions).to_have_count(0)
        self.outside.clear()
        self.errors.clear()

    # What stands on the page

    @property
    def text(self) -> Locator:
        return self.page.locator("#composer textarea")

    @property
    def chat(self) -> Locator:
        return self.page.locator("#chat")

    @property
    def answers(self) -> Locator:
        return self.page.locator("#chat [data-testid=bot]")

    @property
    def questions(self) -> Locator:
        return self.page.locator("#chat .user.message")

    @property
    def attached(self) -> Locator:
        return self.page.locator("#composer .thumbnail-item")

    @property
    def notice(self) -> Locator:
        return self.page.locator("#notice [role=alert]")

    @property
    def numbers(self) -> Locator:
        return self.page.locator("#numbers [role=status]")

    @property
    def panel(self) -> Locator:
        tab = self.page.get_by_role("tab", name="Numbers", exact=True)
        if tab.is_visible():
            tab.click()
        return self.page.locator("#numbers-tab")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    # What a visitor does

    def attach(self, *paths: Path | str) -> None:
        before = self.attached.count()
        with self.page.expect_file_chooser() as chooser:
            self.page.locator("#composer .upload-button").first.click()
        chooser.value.set_files([str(path) for path in paths])
        expect(self.attached).to_have_count(before + len(paths))

    def send(self, text: str = "") -> None:
        if text:
            self.text.fill(text)
        self.text.press("Enter")

    def ask(self, text: str = "", *paths: Path | str) -> str:
        """Sends and waits for the end; the answer."""
        if paths:
            self.attach(*paths)
        before = self.questions.count()
        self.send(text)
        expect(self.questions).to_have_count(before + 1)
        self.idle()
        return self.answers.last.inner_text()

    def idle(self) -> None:
        """Until an answer has ended: its numbers stand there, and Send is back."""
        expect(self.page.locator("#composer").get_by_role("button", name="Submit")).to_be_visible(timeout=60_000)
        expect(self.numbers).to_contain_text("stopped:", timeout=60_000)
        self.page.wait_for_timeout(100)

    def setting(self, name: str, value: float) -> None:
        self.button("Settings").click()
        field = self.page.get_by_label(f"number input for {name}")
        field.fill(str(value))
        field.press("Enter")
        self.button("Settings").click()

    def choose_pages(self, pages: str) -> None:
        self.button("Settings").click()
        field = self.page.locator("#pages input, #pages textarea")
        field.fill(pages)
        field.blur()
        self.button("Settings").click()

    def width(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


def is_an_answer(text: str, expected: Sequence[str] = ()) -> bool:
    """Whether some words came back; with `expected`, whether one of these stands in them."""
    said = text.strip().lower()
    return bool(re.search(r"\w", said)) and (not expected or any(word.lower() in said for word in expected))
