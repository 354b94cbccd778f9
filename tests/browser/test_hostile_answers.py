"""What the real page makes of hostile answers: Gradio's own Markdown parser, sanitiser, KaTeX and Mermaid."""

import pytest
from playwright.sync_api import expect

from tests.browser.driver import Tab
from tests.ui.chat.hostile_markdown import HOSTILE

# What an answer may not hold: elements that load or run something, forms, what lies over the page (a box outside the
# answer that the pointer would hit), and links that show another address than theirs. Boxes of a task list may stay.
DANGER = """answer => {
  const found = [...answer.querySelectorAll(
    'img, image, picture, source, script, iframe, video, audio, object, embed, style, link, meta, base, form, ' +
    'dialog, input:not([type=checkbox][disabled]), select, textarea, .mermaid, [src], [srcset], [poster], ' +
    '[background], [popover], [style*="url("], [style*="fixed"], [onload], #composer'
  )].map(element => element.outerHTML);
  for (const button of answer.querySelectorAll('button'))
    if (!button.closest('.code_wrap')) found.push(button.outerHTML);
  const frame = answer.getBoundingClientRect();
  for (const [x, y] of [[20, 20], [700, 30], [1200, 400], [700, innerHeight - 20], [frame.right + 30, frame.top + 8]])
    if (answer.contains(document.elementFromPoint(x, y))) {
      const at = document.elementFromPoint(x, y).getBoundingClientRect();
      const inside = x >= frame.left && x <= frame.right && y >= frame.top && y <= frame.bottom;
      if (!inside) found.push(`over the page at ${x}, ${y}, ${JSON.stringify(at)}`);
    }
  for (const link of answer.querySelectorAll('a[href]')) {
    const shown = link.textContent;
    const same = ['', 'http://', 'mailto:'].some(start => {
      const href = link.getAttribute('href').replaceAll('&lt;', '<').replaceAll('&gt;', '>');
      if ([start + shown, encodeURI(start + shown).replaceAll('%25', '%')].some(a => a === href)) return true;
      if (encodeURI(start + shown) === encodeURI(decodeURI(href))) return true;
      try { return new URL(start + shown).href === link.href; } catch { return false; }
    });
    if (!same || link.username) found.push(link.outerHTML);
  }
  return found;
}"""
# What the page itself asks of its server while an answer comes.
OWN_REQUESTS = (
    "/gradio_api/queue/",
    "/gradio_api/heartbeat",
    "/gradio_api/run/",
    "/gradio_api/cancel",
    "/assets/",
    "/static/",
)
PARTS = 24  # each has texts of all kinds; in CI the first is run
BY_HAND = [pytest.param(part, marks=pytest.mark.large) for part in range(2, PARTS)]


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.large), *BY_HAND])
def test_hostile_answers_load_run_and_disguise_nothing(fake: Tab, part: int) -> None:
    requests: list[str] = []
    fake.page.on("request", lambda request: requests.append(request.url))
    address, pages = fake.page.url, fake.page.context.pages
    for text in HOSTILE[part::PARTS]:
        fake.ask(f"!say {text}")
        fake.quiet(50)  # Mermaid and KaTeX draw a little later
        assert fake.answers.last.evaluate(DANGER) == [], text
        strange = [url for url in requests if not url.startswith(tuple(fake.url + own for own in OWN_REQUESTS))]
        assert [url for url in strange if not url.startswith(("data:", "blob:"))] == [], text
    assert fake.page.evaluate("window.hacked") is None
    assert fake.page.url == address and fake.page.context.pages == pages


def test_formatting_stays(fake: Tab) -> None:
    fake.ask(
        "!say # Title\n\n**bold** *italic* ~~gone~~ `code` `<i>` $$x^2$$\nsecond line\n\n"
        "- item\n  1. nested\n\n> quote\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nif x < 1:\n    pass\n```"
    )
    answer = fake.answers.last
    for selector in ("h1", "strong", "em", "del", "li ol li", "blockquote", "table td", "br", ".katex"):
        expect(answer.locator(selector).first).to_be_attached()
    assert answer.locator(":not(pre) > code").all_inner_texts() == ["code", "<i>"]
    assert answer.locator("pre code").inner_text() == "if x < 1:\n    pass\n"


def test_a_visitors_words_are_shown_as_typed(fake: Tab) -> None:
    typed = "!say *a* _b_ $$x$$ <b>c</b> [d](https://evil.example) &lt; 1. e\n- f\n---\n# g `h` ~~i~~"
    fake.ask(typed)
    assert fake.questions.last.inner_text().strip() == typed
    expect(fake.questions.last.locator("strong, em, b, .katex, li, hr, h1, h2, code, del")).to_have_count(0)
