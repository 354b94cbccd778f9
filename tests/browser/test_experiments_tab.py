"""The tab Experiments in a browser: the real app, the real nano, on a desk and on a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, App, Visits
from tests.browser.lens_driver import open_tab
from tests.browser.test_axe import AXE, findings

CAT = Path(__file__).resolve().parents[2] / "assets" / "examples" / "cat.png"


@pytest.mark.slow
@pytest.mark.parametrize("view", [DESKTOP, pytest.param(PHONE, marks=pytest.mark.large)], ids=["desk", "phone"])
def test_a_question_is_asked_again_with_one_thing_changed(nano_app: App, visit: Visits, view: dict[str, int]) -> None:
    tab = visit(nano_app, viewport=view)
    page = tab.page
    open_tab(tab, "Experiments")
    expect(page.locator("#experiment-guesses")).to_contain_text("Attach a picture")
    page.locator("#experiment-budget").click()
    expect(page.locator("#experiment-budget-found")).to_contain_text("Ask something about a picture")
    tab.ask("Where is the cat?", CAT)
    page.locator("#experiment-guesses summary").first.click()
    expect(page.locator("#experiment-guesses details p").first).to_be_visible()
    answer = tab.answers.last.inner_text().strip()
    for kind in ("budget", "positions"):
        page.locator(f"#experiment-{kind}").click()
        cards = page.locator(f"#experiment-{kind}-found .trial")
        expect(page.locator(f"#experiment-{kind}-found")).to_contain_text("The answer")
        expect(cards).to_have_count(3)
        expect(cards.first.locator(".trial-answer")).to_have_text(answer)
        widths = cards.evaluate_all("cards => cards.map(c => c.getBoundingClientRect().right)")
        assert max(widths) <= view["width"]
    assert tab.answers.count() == 1  # nothing of it stands in the chat


def test_answers_side_by_side_and_a_curve_that_fills_until_stop(nano_app: App, visit: Visits) -> None:
    tab = visit(nano_app)
    page = tab.page
    page.goto(f"{tab.url}/?chat=where&tab=experiments")
    tab.count("#chat .user.message", 3)
    page.locator("#compare-3 input").click()
    page.get_by_role("option", name="the same position for the whole picture").click()
    page.locator("#experiment-compare").click()
    found = page.locator("#experiment-compare-found")
    expect(found.locator(".trial")).to_have_count(3)
    expect(found).to_contain_text("The answer differs from the first in")
    expect(found.locator(".trial-answer").first).to_have_text("The lock is at the top.")
    tops = found.locator(".trial").evaluate_all("trials => trials.map(trial => trial.offsetTop)")
    assert len(set(tops)) == 1  # columns
    marked = found.locator(".trial.differs mark").all_inner_texts()
    assert marked and "top." not in " ".join(marked)
    page.locator("#accuracy-tokens").click()
    curve = page.locator("#accuracy-tokens-found")
    page.wait_for_function("() => document.querySelector('#accuracy-tokens-found progress')?.value >= 4")
    page.locator("#accuracy-tokens-stop").click()
    expect(curve.locator("[role=alert]")).to_contain_text("of 80 answers")
    expect(curve).to_contain_text("questions about where something is")  # as the last question of the chat
    expect(curve.locator("circle")).to_have_count(4)
    if AXE.exists():
        page.add_script_tag(content=AXE.read_text("utf-8"))
        assert findings(tab) == []
        page.evaluate("() => window.qwen2vl.lesson.forClass()")
        assert findings(tab) == []
