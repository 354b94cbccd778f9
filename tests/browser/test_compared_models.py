"""Columns of a comparison that other models answer: nano, and checkpoints that are made of it here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from qwen2vl_demo.engine.models.loader import ListedModels
from qwen2vl_demo.settings import Settings
from tests.browser.conftest import App, Visits
from tests.engine.broken_checkpoints import copy_of_nano

MOST = 30  # merged tokens of a picture that "frugal" takes


@pytest.fixture
def listed_app(tmp_path_factory: pytest.TempPathFactory, nano_app: App) -> Iterator[App]:
    """nano's page with a list: "frugal" is nano with a smaller budget, "weightless" one that lost its weights."""
    shelf = tmp_path_factory.mktemp("shelf")
    limits = copy_of_nano(shelf / "frugal") / "preprocessor_config.json"
    limits.write_text(json.dumps(json.loads(limits.read_text()) | {"max_pixels": MOST * 28 * 28}))
    (copy_of_nano(shelf / "weightless") / "model.safetensors").unlink()
    loader = ListedModels(Settings(models=str(shelf), device="cpu", dtype="float32"))
    app = App(nano_app.engine, tmp_path_factory.mktemp("listed"), None, loader=loader)
    yield app
    app.stop()


@pytest.mark.slow
def test_a_column_is_answered_by_another_model_within_its_own_budget(listed_app: App, visit: Visits) -> None:
    tab = visit(listed_app)
    page = tab.page
    page.goto(f"{tab.url}/?chat=where&tab=experiments")
    tab.count("#chat .user.message", 3)
    needs = page.locator("#compare-needs")
    for number, name in ((2, "answered by frugal"), (3, "answered by weightless")):
        page.locator(f"#compare-{number} input").click()
        page.get_by_role("option", name=name, exact=True).click()
        expect(needs).to_contain_text(name.rpartition(" ")[2])
    said = r"frugal takes [\d.]+ MB, weightless takes [\d.]+ MB; .+ of memory are free\."
    expect(needs).to_contain_text(re.compile(said))
    page.locator("#experiment-compare").click()
    found = page.locator("#experiment-compare-found")
    trials = found.locator(".trial")
    expect(found).to_contain_text("The answer")  # all have ended
    expect(trials).to_have_count(3)
    expect(trials.nth(0)).to_contain_text("nano, with the budget of the settings")
    expect(trials.nth(0).locator(".trial-answer")).to_have_text("The lock is at the top.")
    expect(trials.nth(1)).to_contain_text("answered by frugal")
    assert trials.nth(1).locator(".trial-answer").inner_text().strip()
    tokens = [int(re.findall(r"(\d+) tokens", trials.nth(n).inner_text())[-1]) for n in (0, 1)]
    assert tokens[0] > MOST >= tokens[1]
    expect(trials.nth(2).get_by_role("alert")).to_contain_text("weightless")
    expect(page.locator("#model-button b")).to_have_text("nano")  # the chat's model is the same as before
    assert tab.answers.count() == 3 and listed_app.sessions
    assert {session.model for session in listed_app.sessions.values()} == {""}
