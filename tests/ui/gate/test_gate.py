"""The page over HTTP, as strangers see it: forged calls, uploads, and what is deleted when."""

import errno
import hashlib
import json
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import starlette.datastructures

from qwen2vl_demo.ui.app import build_demo, launch_options
from qwen2vl_demo.ui.gate.gate import MAX_CALL
from qwen2vl_demo.ui.media_store import KEEP_AFTER_CLOSE
from tests.fake_engine import FakeEngine
from tests.ui.conftest import picture
from tests.waiting import wait_until

HUGE = 10**400
SAVED = '{"format":"qwen2vl-demo chat","version":1,"turns":[{"question":"q","answer":{"text":"a","ending":"end"}}]}'
ODD = (
    *(None, True, 0, -1, 1.5, 2**63, HUGE, "", "x", "9" * 6000, "\ud800", "\x00", [], [None], [[]], {}, {"a": 1}),
    *({"text": None, "files": None}, {"text": 1, "files": [1]}, {"text": {}, "files": {"path": 1}}, {"path": None}),
    {"text": "x", "files": [], "more": 1},
    {"text": "x", "files": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]},
    {"path": "x", "url": "http://127.0.0.1/", "meta": {"_type": "gradio.FileData"}},
    *("open nothing", "0,1,x", "9" * 6000 + ",1,x", [1, 2, 3], {"__type__": "update"}, SAVED, "[" * 9000),
    SAVED.replace('"end"}', '"end","numbers":{"prompt_tokens":' + "9" * 400 + "}}"),
)
EVENTS = (
    *(None, {}, "x", [], 5, {"index": None, "value": None}, {"index": "x", "value": []}, {"index": [1], "value": {}}),
    *({"index": HUGE, "value": HUGE}, {"index": 0, "value": "9" * 5000}, {"index": True, "value": True}),
    {"index": 0, "value": {"answer": "", "word": HUGE, "choice": "all"}},
    {"index": 0, "value": {"answer": 1, "word": None, "choice": None}},
)


class Stranger:
    """Talks to a launched page without a browser."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.demo: Any = build_demo(
            FakeEngine(step=0, encode=0), data_dir=folder, examples=[], max_file_mb=1, visitor_files_mb=1
        )
        options = launch_options(self.demo, max_file_mb=1)
        _, url, _ = self.demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", **options)
        self.http = httpx.Client(base_url=url, timeout=60)
        self.ids = {d["api_name"]: d["id"] for d in self.demo.config["dependencies"]}

    def call(self, name: str, *data: Any, tab: str = "tab", **more: Any) -> httpx.Response:
        body = {"data": data, "session_hash": tab, "fn_index": self.ids[name], **more}
        return self.post(f"gradio_api/run/{name}", json.dumps(body).encode())

    def post(self, path: str, body: bytes) -> httpx.Response:
        return self.http.post(path, content=body, headers={"content-type": "application/json"})

    def upload(self, path: Path) -> dict[str, Any]:
        sent = self.http.post("gradio_api/upload", files={"files": (path.name, path.read_bytes(), "image/png")})
        sent.raise_for_status()
        # Gradio moves the file behind its answer; until then nothing is deleted, since it may be the same one.
        wait_until(lambda: not self.demo.parts.uploads._arriving)
        return {"path": sent.json()[0], "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}

    def refresh(self, *files: dict[str, Any], tab: str = "tab") -> httpx.Response:
        """The event that shows what is attached; it stores the files."""
        numbers = [d for d in self.demo.config["dependencies"] if d["api_name"].startswith("refresh")]
        event = next(d for d in numbers if len(d["inputs"]) > 2)
        data = []
        for block in self.demo.fns[event["id"]].inputs:
            value = getattr(block, "value", None)
            kind = block.get_block_name()
            data.append({"text": "", "files": list(files)} if kind == "multimodaltextbox" else value or None)
            if kind == "slider":
                data[-1] = block.value
            if kind == "html":
                data[-1] = ""
        return self.call(event["api_name"], *data, tab=tab)

    def files(self, pattern: str) -> list[Path]:
        return sorted(path for path in self.folder.rglob(pattern) if path.is_file())


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        made = Stranger(folder)
        yield made
        made.demo.close(verbose=False)


def test_no_forged_call_ends_in_a_traceback(stranger: Stranger, capfd: pytest.CaptureFixture[str]) -> None:
    """Every event of the page with odd arguments: a call is refused in one sentence, or it does what it says."""
    chance = random.Random(4)
    for event in stranger.demo.config["dependencies"]:
        count = len(event["inputs"])
        for number in range(5):
            data = [[], [None] * count, [chance.choice(ODD) for _ in range(count)]][min(number, 2)]
            tab = chance.choice(["s1", "s2", None, "", "x" * 1000, 5, {}])
            body = {"data": data, "session_hash": tab, "fn_index": event["id"], "event_data": chance.choice(EVENTS)}
            text = json.dumps(body | ({"trigger_id": chance.choice([None, 1, "x", [], HUGE])} if number > 3 else {}))
            answered = stranger.post(f"gradio_api/run/{event['api_name']}", text.encode())
            if event["api_name"] not in ("ask", "inspect"):  # they answer what is wrong with an error of Gradio's
                assert answered.status_code in (200, 422), (text[:500], answered.text[:300])
            if answered.status_code == 422:
                assert answered.json()["detail"].count(".") == 1 and len(answered.json()["detail"]) < 200
    assert "Traceback" not in "".join(capfd.readouterr())
    for tab in ("s1", "s2"):  # an example may have been asked there, and the chat saved
        stranger.call("new_chat", {"text": "", "files": []}, tab=tab)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'"x"', b"\xff", b'{"data": {}}', b'{"data": [], "fn_index": 1e9}', b"[" * 9999]
)
def test_what_is_no_call_is_refused(stranger: Stranger, body: bytes) -> None:
    assert stranger.post("gradio_api/queue/join", body).status_code == 422


def test_a_call_has_a_limit_of_length(stranger: Stranger) -> None:
    """A chat of 38 MB once took 80 MB of every session."""
    assert stranger.post("gradio_api/queue/join", b'{"data": ["' + b"x" * MAX_CALL + b'"]}').status_code == 413


def test_a_forged_chat_of_many_media_is_not_looked_up(stranger: Stranger) -> None:
    """25,600 references stalled the event loop for 17 seconds."""
    media = [{"kind": "image", "file": f"{n:064x}.png", "name": "x"} for n in range(251)]
    chat = {"format": "qwen2vl-demo chat", "version": 1, "turns": [{"question": "q", "media": media}] * 2}
    answered = stranger.call("load", json.dumps(chat), tab="many")
    assert answered.status_code == 200
    assert stranger.demo.parts.sessions.find("many").conversation.turns == ()


@pytest.mark.parametrize(
    "path",
    [
        *(
            "gradio_api/file=https://example.com/x.png",
            "gradio_api/file=HTTP://example.com",
            "gradio_api/proxy=https://x",
        ),
        *("gradio_api/process_recording", "gradio_api/component_server", "gradio_api/vibe-edit", "monitoring"),
        *(
            "gradio_api/call/v2/ask",
            "gradio_api/deep_link",
            "gradio_api/token",
            "gradio_api/dev/reload",
            "gradio_api/mcp",
        ),
    ],
)
def test_what_the_page_does_not_use_is_not_there(stranger: Stranger, path: str) -> None:
    assert stranger.http.get(path).status_code == 404
    assert stranger.post(path, b"{}").status_code == 404


def test_no_picture_logs_a_visitor_out(stranger: Stranger) -> None:
    assert stranger.http.get("logout", headers={"sec-fetch-dest": "image"}).status_code == 403


def test_the_page_is_there_and_says_nothing_of_the_disk(stranger: Stranger) -> None:
    for path in ("", "config", "theme.css", "gradio_api/info"):
        assert stranger.http.get(path).status_code == 200
    assert str(stranger.folder) not in stranger.http.get("config").text


def test_a_deleted_chat_takes_uploads_copies_and_exports_along(stranger: Stranger, tmp_path: Path) -> None:
    file = stranger.upload(picture(tmp_path / "mine.png", colour="green"))
    assert stranger.refresh(file).status_code == 200
    assert len(stranger.files("uploads/*/mine.png")) == len(stranger.files("media/*.png")) == 1
    for path in [*stranger.files("uploads/*/*"), *stranger.files("media/*")]:
        assert path.stat().st_mode & 0o077 == 0
    stranger.call("forget", {"text": "", "files": []}, "")
    assert stranger.files("uploads/*/*") == stranger.files("media/*") == []


def saved(*files: str) -> str:
    """A chat with these pictures, as a browser keeps it."""
    media = [{"kind": "image", "file": file, "name": "x.png"} for file in files]
    turn = {"question": "q", "media": media, "answer": {"text": "a", "ending": "end"}}
    return json.dumps({"format": "qwen2vl-demo chat", "version": 1, "turns": [turn], "cache_salt": "c" * 32})


def test_a_new_chat_deletes_uploads_and_leaves_the_media_to_the_browser_for_a_moment(
    stranger: Stranger, tmp_path: Path
) -> None:
    """It fetches them, to keep them with the chat that was left."""
    file = stranger.upload(picture(tmp_path / "left.png", colour="brown"))
    assert stranger.refresh(file).status_code == 200
    stranger.call("new_chat", {"text": "", "files": []})
    assert stranger.files("uploads/*/*") == [] and len(stranger.files("media/*.png")) == 1
    parts = stranger.demo.parts
    parts.store.release_unused(parts.sessions.files(), time.time() + KEEP_AFTER_CLOSE + 1)
    assert stranger.files("media/*") == []


def test_a_kept_chat_brings_its_files_and_takes_them_along_when_it_is_deleted(
    stranger: Stranger, tmp_path: Path
) -> None:
    path = picture(tmp_path / "kept.png", colour="purple")
    name = hashlib.sha256(path.read_bytes()).hexdigest() + ".png"
    wrong = tmp_path / "wrong.png"
    wrong.write_text("no picture")
    brought = [stranger.upload(path), stranger.upload(wrong)]
    nothing = {"text": "", "files": []}
    assert stranger.call("open_chat", nothing, saved(name), brought, tab="kept").status_code == 200
    session = stranger.demo.parts.sessions.find("kept")
    assert (
        [m.file for m in session.conversation.turns[0].media] == [name] == [p.name for p in stranger.files("media/*")]
    )
    assert stranger.files("uploads/*/*") == []
    assert stranger.http.get(f"gradio_api/file=/chat-media/{name}").content == path.read_bytes()
    stranger.call("forget", nothing, saved(name), tab="somebody else")  # who has the very same chat
    assert len(stranger.files("media/*")) == 1
    stranger.call("new_chat", nothing, tab="kept")
    stranger.call("forget", nothing, saved(name), tab="kept")  # it is in the list, and no longer shown
    assert stranger.files("media/*") == []
    assert stranger.http.get(f"gradio_api/file=/chat-media/{name}").status_code == 403


def test_a_deleted_chat_leaves_what_the_composer_and_others_show(stranger: Stranger, tmp_path: Path) -> None:
    file = stranger.upload(picture(tmp_path / "both.png", colour="yellow"))
    stranger.refresh(file, tab="ann")
    stranger.refresh(file, tab="bob")
    stranger.call("forget", {"text": "", "files": []}, "", tab="ann")
    assert len(stranger.files("uploads/*/both.png")) == len(stranger.files("media/*.png")) == 1
    stranger.call("forget", {"text": "", "files": [file]}, "", tab="bob")
    assert len(stranger.files("uploads/*/both.png")) == 1
    stranger.call("forget", {"text": "", "files": []}, "", tab="bob")
    assert stranger.files("uploads/*/*") == []


def test_a_deleted_chat_leaves_a_file_that_has_just_arrived_once_more(stranger: Stranger, tmp_path: Path) -> None:
    """Both lie in one place, as Gradio names uploads by their content."""
    path = picture(tmp_path / "twice.png", colour="pink")
    stranger.refresh(stranger.upload(path), tab="ann")
    again = stranger.upload(path)  # by somebody else, or by Ann, who deleted her chat a moment ago
    stranger.call("forget", {"text": "", "files": []}, "", tab="ann")
    assert len(stranger.files("uploads/*/twice.png")) == 1
    assert stranger.refresh(again, tab="bob").status_code == 200
    stranger.call("forget", {"text": "", "files": []}, "", tab="bob")
    assert stranger.files("uploads/*/*") == []


def test_a_closed_tab_leaves_nothing(stranger: Stranger, tmp_path: Path) -> None:
    file = stranger.upload(picture(tmp_path / "gone.png", colour="black"))
    server = stranger.http.base_url
    with socket.create_connection((server.host, server.port)) as heartbeat:
        heartbeat.sendall(b"GET /gradio_api/heartbeat/leaving HTTP/1.1\r\nHost: x\r\n\r\n")
        assert heartbeat.recv(100)
        stranger.call("load", "", tab="leaving")
        stranger.refresh(file, tab="leaving")
    parts = stranger.demo.parts
    until = time.monotonic() + 20
    while stranger.files("uploads/*/gone.png") and time.monotonic() < until:
        time.sleep(0.1)
    assert stranger.files("uploads/*/gone.png") == []
    parts.tidy()
    assert len(stranger.files("media/*.png")) == 1  # the page may be loading again
    parts.store.release_unused(parts.sessions.files(), time.time() + KEEP_AFTER_CLOSE + 1)
    assert stranger.files("media/*.png") == []


def test_a_visitor_may_fill_so_much_and_no_more(stranger: Stranger, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(600_000))
    file = stranger.upload(large)
    large.write_bytes(bytes(600_001))
    with pytest.raises(httpx.HTTPStatusError) as refused:
        stranger.upload(large)
    assert refused.value.response.status_code == 413 and "press New chat" in refused.value.response.text
    stranger.refresh(file, tab="full")
    stranger.call("forget", {"text": "", "files": []}, "", tab="full")
    stranger.call("forget", {"text": "", "files": []}, "", tab="full")
    stranger.upload(large)


def test_an_upload_to_a_full_disk_is_one_sentence_and_leaves_nothing(
    stranger: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def full(self: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = stranger.files("*")
    monkeypatch.setattr(starlette.datastructures.UploadFile, "write", full)
    with pytest.raises(httpx.HTTPStatusError) as refused:
        stranger.upload(picture(tmp_path / "full.png", colour="white"))
    assert refused.value.response.status_code == 507 and "disk" in refused.value.response.text
    assert stranger.files("*") == before and "Traceback" not in "".join(capfd.readouterr())
