"""What the real page makes of hostile answers: Gradio's own Markdown parser, sanitiser, KaTeX and Mermaid."""

import pytest
from playwright.sync_api import expect

from tests.browser.driver import Tab
from tests.ui.chat.hostile_markdown import HOSTILE

# What an answer may not hold: elements that load or run something, and links that show another address than theirs.
DANGER = """answer => {
  const found = [...answer.querySelectorAll(
    'img, image, script, iframe, video, audio, object, embed, style, form, .mermaid, [src], [style*="url("], [onload]'
  )].map(element => element.outerHTML);
  for (const link of answer.querySelectorAll('a[href]')) {
    const shown = link.textContent;
    const same = ['', 'http://', 'mailto:'].some(start => {
      if (encodeURI(start + shown).replaceAll('%25', '%') === link.getAttribute('href')) return true;
      try { return new URL(start + shown).href === link.href; } catch { return false; }
    });
    if (!same) found.push(link.outerHTML);
  }
  return found;
}"""


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 8))])
def test_hostile_answers_load_run_and_disguise_nothing(fake: Tab, part: int) -> None:
    for text in HOSTILE[part::8]:
        fake.ask(f"!say {text}")
        fake.page.wait_for_timeout(150)  # Mermaid and KaTeX draw a little later
        assert fake.answers.last.evaluate(DANGER) == [], text
    assert fake.page.evaluate("window.hacked") is None


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
