"""Chats that the server keeps for each user who has logged in (--keep-chats)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App, Visits, Windows
from tests.browser.driver import Tab
from tests.browser.test_chats import DELETED, drawer, new_chat, open_chat, row, shows_its_picture
from tests.fake_engine import FakeEngine

pytestmark = pytest.mark.slow

# Asks for another user's chat, in the ways of the page and in others; the answers, in the order of their numbers.
STEAL = """async id => {
  const answers = [];
  window.qwen2vl.serverChats.receive = text => answers.push(JSON.parse(text));
  const ask = window.qwen2vl.askServerChats;
  const up = {do: "text", id: "../" + id, re: 899};
  const odd = [up, "list", null, {do: "list", re: "x"}, {do: "text", id: [id], re: 898}];
  odd.forEach(asked => ask(asked));
  ask({do: "text", id, re: 901});
  ask({do: "note", id, name: "taken", pinned: true, re: 902});
  ask({do: "list", re: 903});
  const ours = () => answers.filter(({re}) => !(re < 890)); // the page itself may ask as well
  while (ours().length < 3) await new Promise(done => setTimeout(done, 50));
  return ours().map(({owner, ...rest}) => rest).sort((a, b) => a.re - b.re);
}"""
USERS = [("anna", "a secret"), ("ben", "another")]


@pytest.fixture(scope="module")
def kept_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("kept")
    app = App(FakeEngine(step=0.002, encode=0.0), folder, [], auth=USERS, keep_chats=folder / "users")
    yield app
    app.stop()


def log_in(visit: Visits, app: App, user: str) -> Tab:
    """A tab of a browser that has never been here."""
    context = visit.windows.browser.new_context()
    context.set_default_timeout(60_000)
    reply = context.request.post(f"{app.url}/login", form={"username": user, "password": dict(USERS)[user]})
    assert reply.ok
    tab = Tab(context.new_page(), app.url)
    visit.tabs.append(tab)
    tab.open()
    return tab


def leave(tab: Tab) -> None:
    tab.page.context.close()


def test_another_browser_finds_a_users_chats_and_nobody_elses(
    kept_app: App, visit: Visits, windows: Windows, material: Path
) -> None:
    laptop = log_in(visit, kept_app, "anna")
    laptop.ask("What is this?", material / "cat.png")
    row(laptop, "What is this?").get_by_role("button", name="Rename").click()
    laptop.page.get_by_role("textbox", name="Name").fill("My cat")
    laptop.page.keyboard.press("Enter")
    expect(drawer(laptop).locator(".summary")).to_contain_text("1 chat, in this browser and on the server")
    laptop.quiet()
    (chat,) = laptop.page.evaluate("() => qwen2vl.chats.list()")

    phone = log_in(visit, kept_app, "anna")
    open_chat(phone, "My cat", "What is this?")
    shows_its_picture(phone)
    phone.ask("And from here?")

    # Ben has none of it, whatever his browser asks for.
    ben = log_in(visit, kept_app, "ben")
    expect(drawer(ben).locator(".none")).to_have_text("No chats yet. What you ask is kept here.")
    assert ben.page.evaluate(STEAL, chat["id"]) == [{"re": 901, "text": ""}, {"re": 902}, {"re": 903, "chats": []}]
    leave(ben)

    # The laptop shows the chat as it left it, and takes over what the phone wrote when it shows another one.
    drawer(laptop).get_by_role("button", name="Close").click()
    new_chat(laptop)
    open_chat(laptop, "My cat", "And from here?")
    expect(laptop.questions).to_have_count(2)
    new_chat(laptop)

    # What is deleted in one is gone in the other, and from the server.
    new_chat(phone)
    row(phone, "My cat").get_by_role("button", name="Delete").click()
    expect(drawer(phone).locator("li")).to_have_count(0)
    phone.page.evaluate(DELETED)
    phone.quiet()
    drawer(laptop)
    expect(laptop.page.locator("#chats li")).to_have_count(0)
    users = kept_app.folder / "users"
    assert len(list(users.glob("*/index.json"))) == 1  # of anna; ben has kept nothing
    assert list(users.glob("*/files/*")) == [] and list(users.glob("*/*.txt")) == []
    leave(phone)
    leave(laptop)
