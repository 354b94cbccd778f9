"""A visitor chats: files, words, an answer, and the next question."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import App, Visits
from tests.browser.driver import Tab, is_an_answer, until


def test_two_pictures_a_clip_and_a_follow_up(nano: Tab, material: Path) -> None:
    """The app as it ships: pictures, numbers and panel of a real answer."""
    assert is_an_answer(nano.ask("What is in these pictures?", material / "cat.png", material / "dog.jpg"))
    expect(nano.questions.last.locator("img")).to_have_count(2)
    expect(nano.numbers).to_have_text(
        re.compile(r"^[\d,]+ prompt tokens \([\d,]+ visual\) · \d+ new tokens? · first token [\d.]+ s")
    )
    expect(nano.panel.locator(".lens-chooser button")).to_have_count(2)
    expect(nano.panel).to_contain_text(re.compile(r"200x300 → \d+x\d+ px"))
    assert is_an_answer(nano.ask("And what colour is it?"))
    assert is_an_answer(nano.ask("What moves?", material / "clip.mp4"))
    expect(nano.panel.locator(".lens-chooser button")).to_have_count(3)
    expect(nano.panel).to_contain_text("Taken at")
    expect(nano.questions).to_have_count(3)


def test_the_question_stands_there_before_anything_of_it_was_opened(
    fake: Tab, fake_app: App, material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.attach(material / "cat.png")
    fake.quiet()
    opened, prompt = threading.Event(), fake_app.engine.prompt

    def late(*arguments: Any, **named: Any) -> Any:
        opened.wait(60)
        return prompt(*arguments, **named)

    monkeypatch.setattr(fake_app.engine, "prompt", late)
    try:
        fake.send("What is it?")
        expect(fake.questions.last).to_contain_text("What is it?")
        expect(fake.button("Stop")).to_be_visible()
    finally:
        opened.set()
    fake.idle()
    expect(fake.answers.last).to_contain_text("In turn 1 I see 1 files")


def test_the_answer_streams(fake: Tab) -> None:
    fake.send("Tell me a long story")
    expect(fake.answers.last).to_contain_text("In turn 1")
    early = len(fake.answers.last.inner_text())
    longer = "early => [...document.querySelectorAll('#chat [data-testid=bot]')].at(-1).innerText.length > early"
    fake.page.wait_for_function(longer, arg=early)
    expect(fake.button("Stop")).to_be_visible()
    fake.button("Stop").click()
    fake.idle()


def test_stop_keeps_the_words_and_the_next_turn_works(fake: Tab, fake_app: App) -> None:
    fake.send("Tell me a long story")
    expect(fake.answers.last).to_contain_text("In turn 1")
    fake.button("Stop").click()
    fake.idle()
    expect(fake.under(fake.answers.last)).to_contain_text("Stopped by you.")
    kept = fake.answers.last.inner_text()
    until(lambda: not fake_app.engine.active, fake.page)
    fake.quiet()
    assert fake.answers.last.inner_text() == kept
    assert fake.ask("And now?").startswith("In turn 2")


def test_stop_in_a_long_step_frees_the_page_at_once(fake: Tab, fake_app: App) -> None:
    fake_app.engine.release.clear()
    fake_app.engine.most_active = 0
    fake.send("!slow-start")
    until(lambda: fake_app.engine.active, fake.page)
    fake.button("Stop").click()
    expect(fake.chat).to_contain_text("Stopped before the first word")
    expect(fake.page.locator("#composer").get_by_role("button", name="Submit")).to_be_visible()
    assert fake_app.engine.active == 1
    fake_app.engine.release.set()
    assert fake.ask("Quick one").startswith("In turn 1")  # the stopped question is not told
    assert fake_app.engine.most_active == 1


def test_a_waiting_visitor_sees_the_place_in_the_queue_and_is_next(fake: Tab, fake_app: App, visit: Visits) -> None:
    second, third = visit(fake_app), visit(fake_app)
    fake_app.engine.release.clear()
    fake.send("!slow-start")
    until(lambda: fake_app.engine.active, fake.page)
    second.send("Second")
    expect(second.chat).to_contain_text("1 before you")
    third.send("Third")
    expect(third.chat).to_contain_text("2 before you")
    second.button("Stop").click()
    expect(third.chat).to_contain_text("1 before you")
    fake_app.engine.release.set()
    third.idle()
    expect(third.answers.last).to_contain_text("In turn 1")
    fake.idle()


def test_files_without_words(fake: Tab, material: Path) -> None:
    fake.attach(material / "cat.png")
    fake.page.locator("#composer").get_by_role("button", name="Submit").click()
    fake.idle()
    expect(fake.questions.last).to_contain_text("Describe this picture.")
    expect(fake.questions.last).to_contain_text("Nothing was typed")


def test_a_pdf_shows_its_pages(fake: Tab, material: Path) -> None:
    fake.ask("Read it", material / "pages.pdf")
    expect(fake.questions.last.locator("img")).to_have_count(2)
    expect(fake.panel).to_contain_text("pages.pdf, page 2")


@pytest.mark.slow
def test_pages_of_a_pdf_are_chosen_in_the_settings(fake: Tab, material: Path) -> None:
    """The line of cost follows once the field is left, and the question gets the chosen page."""
    fake.attach(material / "pages.pdf")
    cost = fake.page.locator("#cost")
    expect(cost).to_contain_text("2 pictures")
    fake.choose_pages("2")
    expect(cost).to_contain_text("1 picture:")
    fake.send("Read it")
    fake.idle()
    expect(fake.questions.last.locator("img")).to_have_count(1)
    expect(fake.panel).to_contain_text("pages.pdf, page 2 of 2")
    fake.choose_pages("")  # other tests use the same tab


@pytest.mark.slow
def test_a_clip_can_be_played(fake: Tab, material: Path) -> None:
    fake.ask("What happens?", material / "clip.mp4")
    video = fake.questions.last.locator("video")
    expect(video).to_have_count(1)
    fake.page.wait_for_function("() => document.querySelector('#chat video').videoWidth > 0")


def test_the_cost_is_said_before_sending(fake: Tab, material: Path) -> None:
    fake.attach(material / "cat.png")
    expect(fake.page.locator("#cost")).to_contain_text("1 picture: 99 tokens")
    fake.ask("Go")
    expect(fake.page.locator("#cost")).not_to_contain_text("tokens")


def test_retry_varies(fake: Tab) -> None:
    fake.ask("Hello")
    fake.answers.last.hover()
    fake.button("Retry").click()
    expect(fake.answers.last).to_contain_text("at temperature 0.8 with seed")
    fake.idle()
    expect(fake.numbers).to_contain_text("temperature 0.8, seed")
    expect(fake.questions).to_have_count(1)


def test_undo_puts_everything_back_into_the_composer(fake: Tab, material: Path) -> None:
    fake.ask("One", material / "cat.png", material / "dog.jpg")
    fake.button("Undo").click()
    expect(fake.text).to_have_value("One")
    expect(fake.attached).to_have_count(2)
    expect(fake.questions).to_have_count(0)
    fake.text.fill("Two")
    fake.send()
    fake.idle()
    expect(fake.questions.last.locator("img")).to_have_count(2)
    expect(fake.panel.get_by_role("radio", name="picture 1: cat.png")).to_be_visible()  # not its name in the store


def test_a_new_chat_is_empty(fake: Tab, material: Path) -> None:
    fake.ask("One", material / "cat.png")
    fake.button("New chat").click()
    expect(fake.questions).to_have_count(0)
    expect(fake.chat).to_contain_text("What shall it look at?")
    expect(fake.panel.locator(".lens-nothing").first).to_contain_text("Nothing to see yet")
    fake.reload()
    expect(fake.questions).to_have_count(0)


def test_a_broken_file_leaves_the_composer_as_it_was(fake: Tab, material: Path) -> None:
    fake.ask("One")
    fake.attach(material / "broken.png")
    fake.send("What is it?")
    expect(fake.notice).to_contain_text("broken.png")
    expect(fake.text).to_have_value("What is it?")
    expect(fake.attached).to_have_count(1)
    expect(fake.questions).to_have_count(1)
    fake.page.locator("#composer .thumbnail-item button").first.click()
    expect(fake.attached).to_have_count(0)
    assert fake.ask("What is it?").startswith("In turn 2")
    expect(fake.notice).to_have_count(0)


def test_a_bug_in_the_engine_is_a_sentence(fake: Tab) -> None:
    fake.send("!break")
    expect(fake.notice).to_have_text("Something went wrong inside fake. The chat is kept; try again.")
    expect(fake.text).to_have_value("!break")
    assert fake.ask("Better now?").startswith("In turn 1")


def test_boxes_are_drawn_on_the_picture(fake: Tab, material: Path) -> None:
    assert "There is the red square and a dot." in fake.ask("!boxes", material / "cat.png")
    drawn = fake.page.locator("#chat .bot.message img")
    expect(drawn).to_have_count(1)
    fake.page.wait_for_function("() => document.querySelector('#chat .bot.message img').naturalWidth === 320")


def test_what_a_model_writes_cannot_load_or_run_anything(fake: Tab) -> None:
    """The page's own check of requests fails this test if one image of the answer is asked for."""
    answer = fake.ask("!markup")
    assert "<img src=" in answer and "![x](" in answer and "<script>" in answer
    expect(fake.answers.last.locator("img")).to_have_count(0)
    assert fake.page.evaluate("window.hacked") is None
    assert "<b>code</b>" in fake.answers.last.locator("code").inner_text()


def test_a_page_cannot_ask_another_server(fake: Tab) -> None:
    """The content policy, should everything else fail; such a request is blocked before it is made."""
    blocked = fake.page.evaluate(
        """() => new Promise(done => { const image = new Image(); image.onload = () => done(false);
        document.addEventListener('securitypolicyviolation', () => done(true));
        image.src = 'http://127.0.0.2:9/x.png'; })"""
    )
    assert blocked
    fake.outside.clear()


def test_an_example_is_one_click_away(nano: Tab, fake: Tab) -> None:
    fake.chat.get_by_role("button", name="Select example 2: Two pictures").click()
    fake.idle()
    expect(fake.questions.last).to_contain_text("What differs?")
    expect(fake.questions.last.locator("img")).to_have_count(2)
    nano.chat.get_by_role("button", name=re.compile("Select example 1")).click()
    nano.idle()
    assert is_an_answer(nano.answers.last.inner_text())


@pytest.mark.slow
def test_a_picture_can_be_pasted(fake: Tab) -> None:
    fake.text.focus()
    fake.page.evaluate(
        """async () => { const c = document.createElement('canvas'); c.width = c.height = 60;
        const b = await new Promise(r => c.toBlob(r, 'image/png')); const d = new DataTransfer();
        d.items.add(new File([b], 'pasted.png', {type: 'image/png'}));
        document.querySelector('#composer textarea').dispatchEvent(
          new ClipboardEvent('paste', {clipboardData: d, bubbles: true, cancelable: true})); }"""
    )
    expect(fake.attached).to_have_count(1)
    fake.ask("What is it?")
    expect(fake.questions.last.locator("img")).to_have_count(1)


@pytest.mark.slow
def test_a_picture_can_be_dropped(fake: Tab) -> None:
    fake.page.evaluate(
        """async () => { const c = document.createElement('canvas'); c.width = c.height = 60;
        const b = await new Promise(r => c.toBlob(r, 'image/png')); const d = new DataTransfer();
        d.items.add(new File([b], 'dropped.png', {type: 'image/png'}));
        const target = document.querySelector('#composer .full-container');
        for (const kind of ['dragenter', 'dragover', 'drop'])
          target.dispatchEvent(new DragEvent(kind, {dataTransfer: d, bubbles: true, cancelable: true})); }"""
    )
    expect(fake.attached).to_have_count(1)


@pytest.mark.slow
def test_the_webcam_can_be_closed_and_is_off_then(fake: Tab) -> None:
    """It stayed on until a picture was taken or the page was loaded again."""
    fake.page.evaluate(
        """() => {
          const media = navigator.mediaDevices, plain = media.getUserMedia.bind(media);
          window.tracks = [];
          media.getUserMedia = async options => {
            const stream = await plain(options);
            window.tracks.push(...stream.getTracks());
            return stream;
          };
        }"""
    )
    fake.button("Webcam").click()
    camera = fake.page.locator("#camera")
    camera.get_by_role("button", name=re.compile("access|webcam", re.I)).first.click()
    fake.page.wait_for_function("window.tracks.some(track => track.readyState === 'live')")
    fake.button("Close the webcam").click()
    expect(camera).to_have_count(0)
    fake.page.wait_for_function("window.tracks.every(track => track.readyState === 'ended')")
    expect(fake.button("Webcam")).to_be_visible()


def test_a_snapshot_of_the_webcam_is_attached(fake: Tab) -> None:
    fake.button("Webcam").click()
    camera = fake.page.locator("#camera")
    camera.get_by_role("button", name=re.compile("access|webcam", re.I)).first.click()
    fake.page.wait_for_function("() => document.querySelector('#camera video')?.videoWidth > 0")
    two_frames = "v => new Promise(done => v.requestVideoFrameCallback(() => v.requestVideoFrameCallback(done)))"
    camera.locator("video").evaluate(f"v => ({two_frames})(v).then(() => null)")
    camera.get_by_role("button", name=re.compile("capture|photo", re.I)).first.click()
    expect(fake.attached).to_have_count(1)


def test_settings_reach_the_engine(fake: Tab, fake_app: App) -> None:
    fake.setting("Answer length", 3)
    fake.ask("Say much")
    expect(fake.numbers).to_contain_text("3 new tokens")
    expect(fake.under(fake.answers.last)).to_contain_text("Cut off at the length limit.")
    assert fake_app.engine.heard[-1][1].max_new_tokens == 3
    fake.setting("Answer length", 512)  # other tests use the same tab


def test_a_closed_tab_ends_its_answer_and_is_forgotten(fake_app: App, visit: Visits) -> None:
    before = set(fake_app.sessions)
    other = visit(fake_app)
    (mine,) = set(fake_app.sessions) - before
    other.send("Tell me a long story")
    expect(other.answers.last).to_contain_text("In turn")
    assert fake_app.engine.active == 1
    other.page.close()
    until(lambda: not fake_app.engine.active and mine not in fake_app.sessions)
