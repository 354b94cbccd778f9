"""What stays: reload, restart, two tabs, export and import."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from qwen2vl_demo.resources import EXAMPLES
from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab
from tests.fake_engine import FakeEngine

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def test_a_reload_keeps_the_chat(fake: Tab, material: Path) -> None:
    fake.ask("One", material / "cat.png")
    fake.reload()
    expect(fake.questions).to_have_count(1)
    expect(fake.questions.last.locator("img")).to_have_count(1)
    expect(fake.answers.last).to_contain_text("In turn 1")
    expect(fake.numbers).to_contain_text("new tokens")
    expect(fake.panel).to_contain_text("cat.png")
    assert fake.ask("Two").startswith("In turn 2 I see 1 files")


def test_a_reload_in_the_middle_of_an_answer_keeps_what_came(fake: Tab) -> None:
    fake.send("Tell me a long story")
    expect(fake.answers.last).to_contain_text("and so on and so on and so on")
    fake.reload()
    expect(fake.questions).to_have_count(1)
    expect(fake.chat).to_contain_text("In turn 1")
    assert fake.ask("Two").startswith("In turn 2")


def test_two_tabs_do_not_see_each_other(fake_app: App, visit: Visits) -> None:
    first = visit(fake_app)
    first.ask("Secret of the first")
    second = visit(fake_app, beside=first)
    expect(second.questions).to_have_count(0)
    assert second.ask("Mine").startswith("In turn 1")
    first.reload()
    second.reload()
    expect(first.chat).to_contain_text("Secret of the first")
    expect(second.chat).not_to_contain_text("Secret of the first")
    expect(second.chat).to_contain_text("Mine")


def test_a_tab_opened_after_all_were_closed_finds_the_last_chat(fake_app: App, visit: Visits) -> None:
    first = visit(fake_app)
    first.ask("Remember me")
    keeper = first.page.context.new_page()  # a browser with no tab closes
    first.page.close()
    second = Tab(keeper, fake_app.url)
    second.open()
    expect(second.chat).to_contain_text("Remember me")
    assert second.ask("Two").startswith("In turn 2")


def test_a_restart_of_the_app_keeps_chat_and_pictures(visit: Visits, material: Path, tmp_path: Path) -> None:
    """An app of its own: tabs that other tests share would lose their connection."""
    app = App(FakeEngine(), tmp_path, [])
    tab = visit(app)
    tab.ask("Before the restart", material / "cat.png")
    app.stop()
    app.start()
    tab.reload()
    expect(tab.chat).to_contain_text("Before the restart")
    tab.page.wait_for_function("() => document.querySelector('#chat .user.message img')?.naturalWidth === 320")
    assert tab.ask("Two").startswith("In turn 2 I see 1 files")
    app.stop()


def test_a_session_that_is_lost_under_an_open_page_goes_on(fake: Tab, fake_app: App) -> None:
    """What happens when a laptop sleeps: the server takes the tab for closed while the page still stands."""
    fake.ask("One")
    for key in list(fake_app.sessions):
        fake_app.demo.parts.sessions.drop(key)
    assert fake.ask("Two").startswith("In turn 2")
    expect(fake.questions).to_have_count(2)


def test_a_chat_can_be_saved_and_opened(fake: Tab, material: Path, tmp_path: Path) -> None:
    fake.ask("Keep me", material / "cat.png")
    with fake.page.expect_download() as saving:
        fake.button("Save JSON").click()
    path = tmp_path / saving.value.suggested_filename
    saving.value.save_as(path)
    assert path.name == "chat.json" and json.loads(path.read_text())["turns"][0]["question"] == "Keep me"
    with fake.page.expect_download() as saving:
        fake.button("Save HTML").click()
    page = tmp_path / saving.value.suggested_filename
    saving.value.save_as(page)
    assert "Keep me" in page.read_text() and "data:image/png" in page.read_text()
    fake.button("New chat").click()
    expect(fake.questions).to_have_count(0)
    fake.page.locator("#open").locator("xpath=preceding-sibling::input").set_input_files(str(path))
    expect(fake.chat).to_contain_text("Keep me")
    expect(fake.questions.last.locator("img")).to_have_count(1)
    assert fake.ask("Two").startswith("In turn 2 I see 1 files")
    fake.reload()
    expect(fake.chat).to_contain_text("Keep me")


def test_a_file_that_is_no_chat_is_a_sentence(fake: Tab, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"turns": "<script>"}')
    fake.ask("Stay")
    fake.page.locator("#open").locator("xpath=preceding-sibling::input").set_input_files(str(wrong))
    expect(fake.notice).to_contain_text("not a chat of this page")
    expect(fake.questions).to_have_count(1)


def test_nothing_to_save_is_said(fake: Tab) -> None:
    fake.button("Save JSON").click()
    expect(fake.notice).to_have_text("There is nothing to save yet.")


def test_what_was_typed_while_the_server_was_away_survives_a_reload(
    visit: Visits, material: Path, tmp_path: Path
) -> None:
    app = App(FakeEngine(), tmp_path, [])
    try:
        tab = visit(app)
        app.stop()
        tab.text.fill("A question that took long to write")
        tab.page.wait_for_function("() => sessionStorage.getItem('qwen2vl.draft')")
        app.start()
        tab.reload()
        expect(tab.text).to_have_value("A question that took long to write")
        tab.ask()
        tab.page.wait_for_function("() => !sessionStorage.getItem('qwen2vl.draft')")
        tab.reload()
        expect(tab.text).to_have_value("")
        expect(tab.chat).to_contain_text("A question that took long to write")
    finally:
        app.stop()


def test_an_answer_that_the_end_of_the_app_cut_off_is_kept(visit: Visits, tmp_path: Path) -> None:
    app = App(FakeEngine(step=0.02), tmp_path, [])
    try:
        tab = visit(app)
        tab.send("A long story, please")
        tab.page.wait_for_function("() => document.querySelector('#chat .bot.message')?.innerText.includes('I see')")
        app.stop()
        app.start()
        tab.reload()
        expect(tab.chat).to_contain_text("A long story, please")
        expect(tab.answers.last).to_contain_text("I see")
        assert tab.ask("And now?")
    finally:
        app.stop()


SERVE = """
import sys, time
from pathlib import Path
from tests.browser.conftest import App
from tests.fake_engine import FakeEngine
port = int(sys.argv[2]) or None
print(App(FakeEngine(long_step=0.05), Path(sys.argv[1]), [], port).url, flush=True)
time.sleep(600)
"""


@contextmanager
def served(folder: Path, url: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A page in a process of its own, with the address that it had before where that is given."""
    folder.mkdir()
    arguments = [sys.executable, "-c", SERVE, str(folder), url.rpartition(":")[2] or "0"]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def test_a_killed_app_loses_no_word_that_was_shown(visit: Visits, material: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of an answer; the next run has another data folder, and so none of the files."""
    with served(tmp_path / "first") as (process, url):
        tab = visit(SimpleNamespace(url=url))
        tab.ask("Before", material / "cat.png")
        tab.send("Tell me a long story")
        expect(tab.answers.last).to_contain_text("and so on and so on and so on")
        process.kill()
        process.wait()
        tab.page.wait_for_timeout(1000)  # what had left the server has been drawn
        shown = tab.answers.last.inner_text().strip()
    with served(tmp_path / "second", url):
        tab.reload()
        expect(tab.questions).to_have_count(2)
        assert tab.answers.last.inner_text().strip().startswith(shown)
        tab.page.wait_for_function("() => document.querySelector('#chat .user.message img')?.naturalWidth === 320")
        assert tab.ask("And now?").startswith("In turn 3 I see 1 files")


def test_the_page_shows_its_examples_and_no_folder_of_the_machine(nano: Tab) -> None:
    for path in ("", "/config"):
        assert str(EXAMPLES) not in nano.page.request.get(nano.url + path).text()
    nano.page.wait_for_function(
        """() => { const images = [...document.querySelectorAll('#chat .examples img, #chat [class*=example] img')];
        return images.length && images.every(image => image.naturalWidth > 0); }"""
    )
