"""Formulas, task lists and tables of an answer, as a visitor sees them."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.driver import Tab

HEAD = "| Price | Description of everything | Supercalifragilistic | Quantity | Colour | Also | End |"
LINES = "e => { const r = document.createRange(); r.selectNodeContents(e); return r.getClientRects().length; }"


def test_formulas_in_brackets_are_set_and_prices_are_not(fake: Tab) -> None:
    fake.ask("!say Here \\(a^2 + b^2\\) stands for \\[c^2 < 7\\] and costs $5 or $6, see `\\(x\\)`.")
    expect(fake.answers.last.locator(".katex")).to_have_count(2)
    expect(fake.answers.last.locator(".katex-display")).to_have_count(1)
    expect(fake.answers.last).to_contain_text("costs $5 or $6")
    expect(fake.answers.last.locator("code")).to_have_text("\\(x\\)")


def test_cells_break_between_words_and_a_wide_table_scrolls(fake: Tab) -> None:
    fake.ask(f"!say {HEAD}\n{'|---' * 7}|\n| 12.50 | {'word ' * 30}| x | 3 | a | b | c |")
    cell = fake.answers.last.get_by_text("Supercalifragilistic")
    assert cell.evaluate(LINES) == 1
    assert fake.width() <= 1440


def test_a_ticked_task_looks_ticked(fake: Tab) -> None:
    fake.ask("!say - [x] done\n- [ ] open")
    boxes = fake.answers.last.locator("input[type=checkbox]")
    expect(boxes).to_have_count(2)
    ticked, empty = (boxes.nth(n).screenshot() for n in (0, 1))
    assert ticked != empty
    assert boxes.first.evaluate("e => getComputedStyle(e).appearance") == "auto"
