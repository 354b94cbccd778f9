"""No event is lost at the moment in which Gradio's stream of events closes (ui/static/event-stream.js)."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import App
from tests.browser.driver import Tab
from tests.browser.lens_driver import seen

# A slow network: the message that closes a stream arrives only after the reply to the next event that joins.
LATE_CLOSE = """
const plain = window.fetch;
window.joined = window.late = 0;
window.fetch = async (...request) => {
  const url = String(request[0]?.url || request[0]);
  const response = await plain(...request);
  if (url.includes("/queue/join")) setTimeout(() => window.joined++, 50);
  if (!url.includes("/queue/data")) return response;
  const held = new TransformStream({
    async transform(chunk, out) {
      if (new TextDecoder().decode(chunk).includes('"close_stream"')) {
        const before = window.joined;
        for (let i = 0; i < 400 && window.joined === before; i++) await new Promise(done => setTimeout(done, 25));
        if (window.joined > before) window.late++;
      }
      out.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(held), response);
};
"""


@pytest.mark.large
def test_an_event_that_joins_while_the_stream_closes_is_answered(
    browser: Browser, fake_app: App, material: Path
) -> None:
    context = browser.new_context()
    context.set_default_timeout(60_000)
    context.add_init_script(LATE_CLOSE)
    try:
        tab = Tab(context.new_page(), fake_app.url)
        tab.open()
        # How many events meet a closing stream depends on how fast the machine is: attach files until two have.
        for number, name in enumerate(["cat.png", "dog.jpg", "clip.mp4"] * 4, start=1):
            tab.attach(material / name)
            seen(tab, number, draft=True)
            if tab.page.evaluate("window.late") >= 2:
                break
        assert tab.page.evaluate("window.late") >= 2
    finally:
        context.close()
