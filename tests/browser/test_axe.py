"""axe-core finds nothing on the page that is ours to mend: `npm ci` brings it, and without it the test is skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab
from tests.browser.lens_driver import layer, open_tab

pytestmark = pytest.mark.slow

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
  .flatMap(v => v.nodes.map(n => [v.id, n.target.join(' '), n.html.slice(0, 160)]))"""
GRADIOS = {("aria-required-children", ".examples")}  # what Gradio itself draws: the list of cards


def findings(tab: Tab) -> list[Any]:
    """What axe finds, but for what is Gradio's."""
    found: list[Any] = tab.page.evaluate(RUN)
    return [f for f in found if (f[0], f[1]) not in GRADIOS]


@pytest.mark.skipif(not AXE.exists(), reason="npm ci brings axe-core")
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.large)])
def test_axe_finds_nothing_that_is_ours(visit: Visits, nano_app: App, material: Path, scheme: str) -> None:
    tab = visit(nano_app, color_scheme=scheme)
    tab.page.add_script_tag(content=AXE.read_text("utf-8"))
    assert findings(tab) == []
    tab.ask("What is in this picture?", material / "cat.png")
    for name in ("resized", "patches", "t"):
        layer(tab, name)
        assert findings(tab) == [], name
    tab.page.locator("#where .words button").first.click()
    tab.page.evaluate("() => document.querySelectorAll('#lab details').forEach(fold => (fold.open = true))")
    tab.page.locator("#lab .choice").first.wait_for()
    for name in ("all", "read"):  # each of them stops what is not finished of the one before
        tab.page.locator(f"#lab [data-part={name}]").click()
        tab.quiet()
    tab.page.locator("#lab tr").first.wait_for()
    assert findings(tab) == [], "the laboratory"
    for name in ("Prompt", "Rotation", "Variants", "Cost", "Experiments"):
        open_tab(tab, name)
        tab.unfold(name)
        tab.quiet()
        assert findings(tab) == [], name
