"""A visitor's hands and eyes: what a test does to a tab of the page, and what it reads there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from playwright.sync_api import Error, Locator, Page, Request, TimeoutError

# Notes which events of Gradio's queue have not ended. The stream that tells it can stay open for longer.
WATCH = """(() => {
const plain = window.fetch, ended = new Set();
const unfinished = (window.unfinished = new Set());
window.fetch = async (...request) => {
  const url = String(request[0]?.url || request[0]);
  const response = await plain(...request);
  if (url.includes("/queue/join")) {
    const { event_id } = await response.clone().json();
    if (event_id && !ended.has(event_id)) unfinished.add(event_id);
  }
  if (!url.includes("/queue/data") || !response.body) return response;
  let rest = "";
  const decoder = new TextDecoder();
  const read = new TransformStream({
    transform(chunk, out) {
      const text = rest + decoder.decode(chunk, { stream: true });
      for (const [, id] of text.matchAll(/"msg":"process_completed","event_id":"([^"]+)"/g)) {
        unfinished.delete(id);
        ended.add(id);
      }
      rest = text.slice(-100);
      out.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(read), response);
};
})()"""
# Resolves when the page has painted and has nothing left to do, to whether all events have ended; timers that were set
# before, and are shorter than `pause` milliseconds, have run by then.
IDLE = """pause => new Promise(done => {
  const painted = () => requestAnimationFrame(() => requestAnimationFrame(
    () => requestIdleCallback(() => done(!window.unfinished.size))
  ));
  setTimeout(() => requestIdleCallback(painted), pause);
})"""
# Whether an answer has ended: what it took stands under it, and Send is back.
ANSWERED = """() => [...document.querySelectorAll('#chat .bot-row .under')].at(-1)?.querySelector('.statistics')
  && document.querySelector('#composer .submit-button')?.checkVisibility()"""
PATIENCE = 60.0  # seconds, for machines that are shared; on an idle one, few suffice


def until(condition: Callable[[], object], page: Page | None = None) -> None:
    """Waits for a condition outside the page. With `page` its events are handled meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        if page is None:
            time.sleep(0.02)
        else:
            page.wait_for_timeout(20)


class Tab:
    """One open tab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.outside: list[str] = []
        self.errors: list[str] = []
        self.asked = 0  # requests so far
        self.waiting: set[Request] = set()  # those that have not ended
        page.add_init_script(WATCH)
        page.on("request", self._requested)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)
        page.on("pageerror", self._failed)

    def _failed(self, error: Error) -> None:
        if "play() request was interrupted" not in str(error):  # Gradio closes its camera before the picture has begun
            self.errors.append(str(error))

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.outside.append(request.url)
        if not re.search("/gradio_api/(heartbeat|queue/data)", request.url):  # which stay open
            self.asked += 1
            self.waiting.add(request)

    def _answered(self, request: Request) -> None:
        self.waiting.discard(request)

    def open(self) -> None:
        self.page.goto(self.url)
        self.ready()

    def reload(self) -> None:
        """By hand, or by the page in the same moment: it does so as soon as a server that it had lost is back."""
        self.waiting.clear()
        try:
            self.page.evaluate("() => { window.left = true; }")
            self.page.reload()
        except Error as error:
            if not re.search("ERR_ABORTED|context was destroyed", str(error)):
                raise
        self.page.wait_for_function("() => !window.left", polling=50)
        self.ready()

    def ready(self) -> None:
        """Until the page is there and shows what its browser kept."""
        self.text.wait_for()
        self.page.wait_for_function("() => sessionStorage.getItem('qwen2vl.tab')", polling=50)
        self.quiet()

    def quiet(self, pause: int = 0) -> None:
        """Until all that the page asked of its server has been answered and drawn, and nothing was asked since; with
        `pause`, including what it asks for so many milliseconds later."""
        deadline = time.monotonic() + PATIENCE
        while True:
            asked = self.asked
            ended = self.page.evaluate(IDLE, pause)
            if ended and not self.waiting and asked == self.asked:
                return
            assert time.monotonic() < deadline, f"no reply to {[request.url for request in self.waiting]}"
            self.page.wait_for_timeout(20)

    def fresh(self) -> None:
        """Back to an empty chat and an empty composer, whatever the last visitor left."""
        with suppress(TimeoutError):  # the answer may end in this moment, and the button with it
            stop = self.page.locator("#composer .stop-button:visible")
            if stop.count():
                stop.click(timeout=2_000)
        self.page.evaluate("() => document.querySelectorAll('dialog[open]').forEach(dialog => dialog.close())")
        with self.page.expect_response(lambda r: r.request.method == "POST" and "/gradio_api/" in r.url):
            self.button("New chat").click()
        self.detach()
        self.text.fill("")
        self.page.get_by_role("tab", name="Picture", exact=True).click()
        self.count("#chat .user.message", 0)
        self.quiet()
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
        """What the last answer took; folded, until "Statistics" is pressed."""
        return self.page.locator("#chat .under .statistics").last

    def under(self, message: Locator) -> Locator:
        """The row under a message."""
        return message.locator("xpath=ancestor::*[contains(@class, 'flex-wrap')]").locator(".under")

    @property
    def panel(self) -> Locator:
        """The tab "Picture", with the numbers of the picture or clip that it shows."""
        tab = self.page.get_by_role("tab", name="Picture", exact=True)
        if tab.is_visible():
            tab.click()
        return self.page.locator("#lens-picture")

    def count(self, selector: str, number: int) -> None:
        """Until so many elements are there; `expect` would look less and less often."""
        self.page.wait_for_function(
            "([selector, number]) => document.querySelectorAll(selector).length === number",
            arg=[selector, number],
            polling=50,
        )

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    # What a visitor does

    def attach(self, *paths: Path | str) -> None:
        before = self.attached.count()
        with self.page.expect_file_chooser() as chooser:
            self.page.locator("#composer .upload-button").first.click()
        chooser.value.set_files([str(path) for path in paths])
        self.count("#composer .thumbnail-item", before + len(paths))

    def detach(self) -> None:
        """Takes all files out of the composer."""
        for left in reversed(range(self.attached.count())):
            self.page.locator("#composer .thumbnail-item button").first.click()
            self.count("#composer .thumbnail-item", left)

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
        self.count("#chat .user.message", before + 1)
        self.idle()
        return self.answers.last.inner_text()

    def idle(self) -> None:
        """Until an answer has ended, and the panel shows it."""
        self.page.wait_for_function(ANSWERED, polling=50)
        self.quiet()

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

    def unfold(self, name: str) -> None:
        """Opens what is folded in a tab of the panel."""
        inside = self.page.locator(f"#tab-{name.lower()}")
        inside.locator("details:not([open]) > summary").evaluate_all("all => all.forEach(fold => fold.click())")
        for fold in inside.locator(".panel-fold > button").all():
            if "open" not in (fold.get_attribute("class") or ""):
                fold.click()

    def width(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


def is_an_answer(text: str, expected: Sequence[str] = ()) -> bool:
    """Whether some words came back; with `expected`, whether one of these stands in them."""
    said = text.strip().lower()
    return bool(re.search(r"\w", said)) and (not expected or any(word.lower() in said for word in expected))
