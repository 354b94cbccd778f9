"""The rows about a long chat: how smooth and how still the page is while a long answer is written into it.

A scripted model server streams the words, so that the page is measured and no model. Meanwhile a visitor selects words
of the growing answer and then types the next question.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from typing import Any

from qwen2vl_demo.bench.first_update import app, browser
from qwen2vl_demo.bench.measure import BenchRow, Series
from qwen2vl_demo.bench.model_server import ModelServer
from qwen2vl_demo.bench.packages import needed
from qwen2vl_demo.errors import UserError

TURNS, TOKENS, WORDS_A_SECOND = 20, 4000, 200.0
LINES = (
    "The *resized* picture is cut into **patches** of 14 by 14 pixels, and four patches become one token.\n\n",
    "- a row of the grid is numbered by `h`\n- a column of the grid by `w`\n\n",
    "| size | patches | tokens |\n| --- | --- | --- |\n| 448 x 448 | 1,024 | 256 |\n\n",
    "```python\ntokens = height // 28 * (width // 28)\n```\n\n",
)
DRAFT = "And what does the second picture show? "
SELECTED = "resized picture is cut"

# Notes the duration of each frame, and each shift of the layout that the visitor did not bring about.
WATCH = """() => {
  const seen = (window.longChat = {frames: [], shifts: 0, on: true});
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.shifts += entry.value;
  }).observe({type: 'layout-shift'});
  let last = performance.now();
  const frame = now => {
    seen.frames.push(now - last);
    last = now;
    if (seen.on) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
# Selects words of answer `number`, which is being written, as a mouse does: that takes the focus from the composer.
# False while they are not there, and where they were replaced before the page was told of it.
SELECT = """async ([words, number]) => {
  const answer = document.querySelectorAll('#chat .bot-row')[number - 1];
  if (!answer) return false;
  const texts = document.createTreeWalker(answer, NodeFilter.SHOW_TEXT);
  const nodes = [];
  let whole = '';
  for (let node; (node = texts.nextNode()); whole += node.data) nodes.push([whole.length, node]);
  const at = whole.indexOf(words);
  if (at < 0) return false;
  const place = offset => {
    const [start, node] = nodes.findLast(([first]) => first <= offset);
    return [node, offset - start];
  };
  document.activeElement?.blur();
  const told = new Promise(done => document.addEventListener('selectionchange', done, { once: true }));
  getSelection().setBaseAndExtent(...place(at), ...place(at + words.length));
  await told;
  return getSelection().toString() === words;
}"""

# How many answers have ended: what they took stands under them.
ANSWERS = "document.querySelectorAll('#chat .bot-row .statistics').length"


def long_chat() -> Iterator[BenchRow]:
    """page_stream_frame in ms and page_stream_shift as the sum of layout-shift scores of the turn.

    Raises UserError without playwright or Chromium, and if the page loses a key that was typed or words that were
    selected.
    """
    needed("playwright")
    answers = itertools.chain(itertools.repeat(_words(40), TURNS - 1), [_words(TOKENS)])
    with (
        ModelServer(answers, WORDS_A_SECOND) as model,
        app("--engine-url", model.url, "--max-new-tokens", "4096") as url,
        browser("page_stream_frame") as chromium,
    ):
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.locator("#composer textarea").wait_for()
        page.wait_for_timeout(1500)
        for turn in range(1, TURNS):
            _ask(page)
            page.wait_for_function(f"{ANSWERS} === {turn}", timeout=120_000)
        _ask(page)
        for _ in range(3000):  # a minute; where they never come, none is left to be kept
            if page.evaluate(SELECT, [SELECTED, TURNS]):
                break
            page.wait_for_timeout(20)
        page.evaluate(WATCH)
        page.wait_for_timeout(1000 * TOKENS / WORDS_A_SECOND / 3)
        selected = str(page.evaluate("() => getSelection().toString()"))  # a field that is typed in takes the selection
        typed = _type_until_answered(page)
        seen = page.evaluate("() => { window.longChat.on = false; return window.longChat; }")
        draft = page.locator("#composer textarea").input_value()
        length = len(page.locator("#chat [data-testid=bot]").last.inner_text())
    if draft != typed:
        raise UserError(f"Of {len(typed)} keys typed while the answer was written, the composer holds {len(draft)}.")
    if selected != SELECTED:
        raise UserError(f"Of the words selected in the growing answer, {SELECTED!r}, {selected!r} is left.")
    slow = statistics.quantiles(seen["frames"], n=20)[-1]
    check = f"{length} characters shown, {len(typed)} keys typed, the selection kept; a frame in 20 took {slow:.0f} ms"
    against = f"{TOKENS} tokens into a chat of {TURNS} turns, {WORDS_A_SECOND:.0f} a second"
    frames, shift = statistics.median(seen["frames"]), seen["shifts"]
    yield BenchRow("page_stream_frame", Series((frames,)), None, 50.0, "ms", against, check)
    yield BenchRow("page_stream_shift", Series((shift,)), None, 0.02, "score", against, check)


def _words(count: int) -> list[str]:
    """The first `count` tokens of endless Markdown; a token is a word with the space before it. Headings count up,
    since an answer that repeats itself would be stopped."""
    chapters = (f"## Step {number}\n\n" + "".join(LINES) for number in itertools.count(1))
    text = itertools.chain.from_iterable(chapter.replace(" ", "\0 ").split("\0") for chapter in chapters)
    return list(itertools.islice(text, count))


def _ask(page: Any) -> None:
    box = page.locator("#composer textarea")
    box.fill("What does the panel show?")
    box.press("Enter")


def _type_until_answered(page: Any) -> str:
    """Types the next question again and again, ten keys a second, while the answer grows."""
    page.locator("#composer textarea").click()
    typed = ""
    for key in itertools.cycle(DRAFT):
        page.keyboard.type(key, delay=100)
        typed += key
        if page.evaluate(ANSWERS) == TURNS:
            break
    return typed
