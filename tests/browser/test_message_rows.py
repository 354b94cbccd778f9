"""What stands under each message: versions, copying, editing, retrying, going on, and what an answer took."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Route, expect

from tests.browser.conftest import PHONE, App, Visits
from tests.browser.driver import Tab, until

pytestmark = pytest.mark.slow
AT_ONCE = "**/run/predict*"  # what Gradio asks beside its queue


def press(tab: Tab, message: str, name: str, at: int = -1) -> None:
    """A button under the question or the answer at this place; it is shown where the pointer is."""
    messages = tab.page.locator(f"#chat .{'user' if message == 'question' else 'bot'}-row")
    row = messages.nth(at) if at >= 0 else messages.last
    row.hover()
    row.locator(".under").get_by_role("button", name=name, exact=True).click()


def test_an_edited_question_is_asked_anew_with_its_files_and_the_old_one_stays(fake: Tab, material: Path) -> None:
    fake.ask("One", material / "cat.png")
    fake.ask("Two")
    fake.text.fill("not sent yet")
    press(fake, "question", "Edit", 0)
    expect(fake.page.locator("#editing")).to_contain_text("Editing question 1.")
    expect(fake.text).to_have_value("One")
    expect(fake.text).to_be_focused()
    expect(fake.attached).to_have_count(1)
    fake.attach(material / "dog.jpg")
    fake.text.fill("Uno")
    fake.send()
    expect(fake.questions).to_have_count(1)
    expect(fake.answers.last).to_contain_text("In turn 1 I see 2 files and was asked: Uno")
    fake.idle()
    expect(fake.text).to_have_value("not sent yet")  # what stood there before
    expect(fake.page.locator("#editing button")).to_have_count(0)
    expect(fake.under(fake.questions.last)).to_contain_text("2/2")
    press(fake, "question", "Version before of the question")
    expect(fake.questions).to_have_count(2)
    expect(fake.chat).to_contain_text("In turn 2 I see 1 files and was asked: Two")
    expect(fake.under(fake.questions.first)).to_contain_text("1/2")
    fake.text.fill("")
    fake.reload()  # both are kept
    expect(fake.questions).to_have_count(2)
    press(fake, "question", "Next version of the question", 0)
    expect(fake.questions).to_have_count(1)
    expect(fake.questions.last.locator("img")).to_have_count(2)
    fake.page.wait_for_function("() => document.querySelector('#chat .user.message img').naturalWidth > 0")
    expect(fake.panel).to_contain_text("dog.jpg")


def test_cancel_and_escape_leave_the_editing_and_give_the_draft_back(fake: Tab) -> None:
    fake.ask("One")
    for leave in (lambda: fake.button("Cancel").click(), lambda: fake.text.press("Escape")):
        fake.text.fill("half a thought")
        press(fake, "question", "Edit")
        expect(fake.text).to_have_value("One")
        leave()
        expect(fake.text).to_have_value("half a thought")
        expect(fake.page.locator("#editing button")).to_have_count(0)
    fake.send()
    expect(fake.questions).to_have_count(2)
    fake.idle()


def test_arrow_up_in_the_empty_line_edits_the_last_question(fake: Tab) -> None:
    fake.ask("One")
    fake.text.fill("x")
    fake.text.press("ArrowUp")
    expect(fake.text).to_have_value("x")
    fake.text.fill("")
    fake.text.press("ArrowUp")
    expect(fake.text).to_have_value("One")
    fake.text.fill("Two")
    fake.send()
    expect(fake.answers.last).to_contain_text("was asked: Two")
    fake.idle()
    expect(fake.questions).to_have_count(1)


def test_retry_keeps_the_answer_before_as_a_version(fake: Tab) -> None:
    first = fake.ask("Hello")
    press(fake, "answer", "Retry")
    expect(fake.answers.last).to_contain_text("at temperature 0.8 with seed")
    fake.idle()
    expect(fake.under(fake.answers.last)).to_contain_text("2/2")
    press(fake, "answer", "Version before of the answer")
    expect(fake.answers.last).to_have_text(first.strip())
    expect(fake.under(fake.answers.last)).to_contain_text("1/2")
    assert fake.ask("Next").startswith("In turn 2")
    press(fake, "answer", "Next version of the answer", 0)
    expect(fake.questions).to_have_count(1)
    expect(fake.answers.last).to_contain_text("at temperature 0.8")


def test_retry_with_a_changed_setting_uses_the_settings_as_they_are(fake: Tab, fake_app: App) -> None:
    fake.ask("Say much")
    fake.setting("Answer length", 3)
    press(fake, "answer", "Retry")
    expect(fake.under(fake.answers.last)).to_contain_text("Cut off at the length limit.")
    options = fake_app.engine.heard[-1][1]
    assert (options.max_new_tokens, options.temperature) == (3, 0.0)
    fake.setting("Answer length", 512)  # other tests use the same tab


def test_an_answer_that_was_cut_off_goes_on(fake: Tab) -> None:
    whole = fake.ask("Say much")
    fake.setting("Answer length", 4)
    fake.ask("Say much")
    expect(fake.under(fake.answers.last)).to_contain_text("Cut off at the length limit.")
    expect(fake.numbers).to_contain_text("4 new tokens")
    fake.setting("Answer length", 512)
    press(fake, "answer", "Continue")
    expect(fake.answers.last).to_have_text(whole.strip().replace("turn 1", "turn 2"))
    fake.idle()
    expect(fake.under(fake.answers.last)).not_to_contain_text("Cut off")
    expect(fake.questions).to_have_count(2)
    expect(fake.numbers).to_contain_text(f"{len(whole.split())} new tokens")


def test_an_end_is_no_news_and_what_it_took_is_folded(fake: Tab) -> None:
    fake.ask("Hello")
    under = fake.under(fake.answers.last)
    assert "stopped" not in (under.text_content() or "").lower()
    expect(fake.numbers).to_be_hidden()
    press(fake, "answer", "Statistics")
    expect(fake.numbers).to_be_visible()
    expect(fake.numbers).to_have_text(re.compile(r"^\d+ prompt tokens · \d+ new tokens · first token [\d.]+ s"))
    press(fake, "answer", "Statistics")
    expect(fake.numbers).to_be_hidden()


def test_questions_and_answers_can_be_copied_as_they_were_written(fake: Tab, material: Path) -> None:
    """Answers with boxes had no button, questions neither."""
    fake.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    fake.ask("!boxes", material / "cat.png")
    fake.ask("!say **bold** & <b> \\(x\\)")
    read = "navigator.clipboard.readText()"
    for message, at, text in (
        ("question", 0, "!boxes"),
        ("answer", 0, "There is the red square and a dot."),
        ("question", 1, "!say **bold** & <b> \\(x\\)"),
        ("answer", 1, "**bold** & <b> \\(x\\)"),
    ):
        press(fake, message, "Copy", at)
        fake.page.wait_for_function(f"text => {read}.then(copied => copied.trim() === text)", arg=text)


def test_a_row_can_be_reached_with_the_keyboard_and_keeps_the_focus(fake: Tab) -> None:
    fake.ask("One")
    press(fake, "answer", "Retry")
    expect(fake.under(fake.answers.last)).to_contain_text("2/2")
    fake.idle()
    before = fake.button("Version before of the answer")
    before.focus()
    fake.page.keyboard.press("Enter")
    expect(fake.under(fake.answers.last)).to_contain_text("1/2")
    expect(fake.button("Next version of the answer")).to_be_focused()  # the other has nowhere to go
    question = fake.page.locator("#chat .user-row .offers")
    fake.page.mouse.move(0, 0)
    expect(question).to_have_css("opacity", "0")
    question.get_by_role("button", name="Edit").focus()
    expect(question).to_have_css("opacity", "1")


def test_rows_are_large_enough_for_a_finger_and_nothing_jumps(fake_app: App, visit: Visits) -> None:
    tab = visit(fake_app, viewport=PHONE, has_touch=True)
    tab.ask("One")
    sizes = tab.page.evaluate(
        """() => [...document.querySelectorAll('#chat .under button')].map(b => {
          const box = b.getBoundingClientRect(); return Math.min(box.width, box.height); })"""
    )
    assert sizes and min(sizes) >= 24
    assert tab.width() <= PHONE["width"]
    height = "() => document.querySelector('#chat .user-row').getBoundingClientRect().height"
    before = tab.page.evaluate(height)
    tab.send("!endless word")
    tab.page.wait_for_function("() => document.querySelectorAll('#chat .bot-row').length === 2")
    assert tab.page.evaluate(height) == before
    tab.button("Stop").click()
    tab.idle()


def test_undo_takes_back_a_question_and_overwrites_nothing(fake: Tab, material: Path) -> None:
    fake.ask("One", material / "cat.png")
    fake.text.fill("half a thought")
    fake.attach(material / "dog.jpg")
    fake.button("Undo").click()
    expect(fake.text).to_have_value("One\n\nhalf a thought")
    expect(fake.attached).to_have_count(2)
    expect(fake.questions).to_have_count(0)


def test_a_loop_of_words_is_stopped_and_said(fake: Tab, fake_app: App) -> None:
    fake.send("!loop the cat sat on the mat and")
    fake.idle()
    expect(fake.under(fake.answers.last)).to_contain_text("It was repeating itself and was stopped.")
    assert not fake_app.engine.active
    assert fake.ask("And now?").startswith("In turn 2")


def test_a_chat_with_versions_comes_back_from_its_file(fake: Tab, material: Path, tmp_path: Path) -> None:
    fake.ask("One", material / "cat.png")
    press(fake, "question", "Edit")
    fake.page.locator("#composer .thumbnail-item button").first.click()
    expect(fake.attached).to_have_count(0)
    fake.text.fill("Uno")
    fake.send()
    expect(fake.answers.last).to_contain_text("I see 0 files and was asked: Uno")
    fake.idle()
    with fake.page.expect_download() as saving:
        fake.button("Save JSON").click()
    path = tmp_path / "chat.json"
    saving.value.save_as(path)
    saved = json.loads(path.read_text())
    assert [t["question"] for t in saved["turns"]] == ["Uno"] and [t["question"] for t in saved["aside"]] == ["One"]
    fake.button("New chat").click()
    expect(fake.questions).to_have_count(0)
    fake.page.locator("#open").locator("xpath=preceding-sibling::input").set_input_files(str(path))
    expect(fake.under(fake.questions.last)).to_contain_text("2/2")
    press(fake, "question", "Version before of the question")
    expect(fake.questions.last.locator("img")).to_have_count(1)
    fake.page.wait_for_function("() => document.querySelector('#chat .user.message img').naturalWidth > 0")


def test_a_reply_that_comes_late_does_not_take_the_answer_away(fake: Tab) -> None:
    """Another version is chosen and the next question sent right after; the reply to the first comes when the server
    has the question, and the reply to the question when it has answered."""
    fake.ask("Hello")
    press(fake, "answer", "Retry")
    fake.idle()
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        if len(held) < 2:
            held.append((route, route.fetch()))
        else:
            route.continue_()

    fake.page.route(AT_ONCE, hold)
    press(fake, "answer", "Version before of the answer")
    fake.send("Next")
    until(lambda: len(held) == 2, fake.page)
    (version, chosen), (question, begun) = held
    version.fulfill(response=chosen)
    expect(fake.answers.last).to_contain_text("In turn 2")
    question.fulfill(response=begun)
    fake.page.unroute_all()
    fake.idle()
    expect(fake.answers.last).to_contain_text("In turn 2")
    expect(fake.under(fake.answers.first)).to_contain_text("1/2")


def test_a_chat_that_is_shown_is_not_sent_again_when_its_answer_ends(fake: Tab) -> None:
    replies: list[str] = []
    fake.page.route(
        AT_ONCE, lambda route: replies.append((reply := route.fetch()).text()) or route.fulfill(response=reply)
    )
    fake.ask("“Grüße” 🙂")
    fake.page.unroute_all()
    assert "Grüße" in replies[0]  # the question
    (ended,) = [reply for reply in replies if '"submit_btn":true' in reply]
    assert "Grüße" not in ended
    assert len(replies) <= 4  # the question, its end, and after each of two refreshes what follows on one
