"""The command line: output streams, exit status and the order of the media."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from fake_engine import FakeEngine

from qwen2vl_demo import cli, console
from qwen2vl_demo.engine.remote.media_parts import clip_file
from qwen2vl_demo.geometry import MAX_PIXELS, VisionSpan, mrope_position_ids, smart_resize
from qwen2vl_demo.media import Document, TimeRange
from qwen2vl_demo.processing.messages import Image, Message, Text, Video
from tests.engine.remote.fake_server import FakeServer, refuse

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Whatever engine the command line asks for, it gets this one."""
    engine = FakeEngine(step=0, encode=0)
    monkeypatch.setattr("qwen2vl_demo.engine.factory.load_engine", lambda *_, **__: engine)
    return engine


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    """A picture of 300x400 pixels, which becomes 308x392: 11x14 merged tokens."""
    path = tmp_path / "cat.png"
    PIL.Image.new("RGB", (400, 300), "teal").save(path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip_file(np.full((8, 112, 140, 3), 90, np.uint8)))
    return path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# ask


def test_ask_streams_the_answer_and_nothing_else_to_standard_output(fake: FakeEngine, capsys: Any, cat: Path) -> None:
    assert cli.main(["ask", "--image", str(cat), "What is this?"]) == 0
    out, err = capsys.readouterr()
    assert out == "In turn 1 I see 1 files and was asked: What is this? and so on and so on \n"
    assert err == ""  # it is no terminal here


def test_ask_keeps_the_order_of_pictures_and_videos(fake: FakeEngine, cat: Path, clip: Path) -> None:
    assert (
        cli.main(["ask", "--image", str(cat), "--video", str(clip), "--system", "Be brief.", "--image", str(cat), "?"])
        == 0
    )
    messages, _ = fake.heard[-1]
    assert messages == [
        Message("system", "Be brief."),
        Message("user", [Image(str(cat)), Video(str(clip)), Image(str(cat)), Text("?")]),
    ]


def test_every_page_of_a_pdf_becomes_a_picture(fake: FakeEngine, tmp_path: Path) -> None:
    pages = [PIL.Image.new("RGB", (200, 100), color) for color in ("red", "blue")]
    pages[0].save(tmp_path / "two.pdf", save_all=True, append_images=pages[1:])
    assert cli.main(["ask", "--image", str(tmp_path / "two.pdf"), "?"]) == 0
    parts = fake.heard[-1][0][0].parts
    assert [type(part) for part in parts] == [Image, Image, Text]


def test_pages_of_a_pdf_are_chosen(fake: FakeEngine, tmp_path: Path, capsys: Any) -> None:
    pages = [PIL.Image.new("RGB", (200, 100 + number), "red") for number in range(40)]
    path = str(tmp_path / "long.pdf")
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert cli.main(["ask", "--pages", "1-2,40", "--image", path, "?"]) == 0
    names = [part.name for part in fake.heard[-1][0][0].parts[:-1]]
    assert names == [f"long.pdf, page {number} of 40" for number in (1, 2, 40)]
    assert capsys.readouterr().err == ""
    assert cli.main(["ask", "--image", path, "?"]) == 0
    assert len(fake.heard[-1][0][0].parts) == 13
    assert capsys.readouterr().err == (
        "note: long.pdf has 40 pages, of which the first 12 are read. "
        "Choose others with --pages, as in --pages 1-3,7.\n"
    )
    assert cli.main(["ask", "--max-pdf-pages", "40", "--pages", "1-", "--image", path, "?"]) == 0
    assert len(fake.heard[-1][0][0].parts) == 41
    for flags, words in (
        (["--pages", "one"], "--pages are"),
        (["--pages", "41"], "from 1 to 40"),
        (["--pages", "1-13"], "--max-pdf-pages"),
    ):
        assert cli.main(["ask", *flags, "--image", path, "?"]) == 2
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1


def test_ask_passes_its_options_on(fake: FakeEngine) -> None:
    flags = "--max-pixels 100_000 --min-pixels 4000 --fps 1 --max-frames 8 --max-new-tokens 3 --temperature 0.5"
    assert cli.main(["ask", *flags.split(), "--top-p", "0.9", "--seed", "7", "hello"]) == 0
    _, options = fake.heard[-1]
    assert (options.max_new_tokens, options.temperature, options.top_p, options.seed) == (3, 0.5, 0.9, 7)
    media = options.media
    assert (media.max_pixels, media.min_pixels, media.fps, media.max_frames) == (100_000, 4000, 1, 8)


def test_ask_json_is_one_object_with_the_promised_keys(fake: FakeEngine, capsys: Any, cat: Path) -> None:
    assert cli.main(["ask", "--json", "--image", str(cat), "Was für ein 猫?"]) == 0
    out, _ = capsys.readouterr()
    record = json.loads(out)
    assert out.count("\n") == 1 and "猫" in out
    assert list(record) == ["answer", "stop_reason", "prompt_tokens", "new_tokens", "media", "timings"]
    assert record["answer"].startswith("In turn 1 I see 1 files") and record["stop_reason"] == "end"
    medium = record["media"][0]
    assert (medium["kind"], medium["original_size"], medium["resized_size"]) == ("image", [300, 400], [308, 392])
    assert (medium["grid_thw"], medium["merged_tokens"]) == ([1, 22, 28], 154)
    assert record["timings"]["total"] >= 0


def test_an_answer_cut_by_its_limit_says_so(fake: FakeEngine, capsys: Any) -> None:
    assert cli.main(["ask", "--json", "--max-new-tokens", "2", "hello"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["stop_reason"], record["new_tokens"], record["answer"]) == ("length", 2, "In turn ")


def test_the_question_may_come_from_standard_input(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    assert cli.main(["ask", "-"]) == 0
    assert fake.heard[-1][0][-1].text == "from a pipe"


def test_statuses_show_on_a_terminal_and_are_gone_before_the_answer(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, cat: Path
) -> None:
    """Both streams write to the same screen: behind the answer's first word nothing may erase its line."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    assert cli.main(["ask", "--image", str(cat), "--max-new-tokens", "5", "?"]) == 0
    statuses, _, answer = screen.getvalue().rpartition("\r\x1b[K")
    assert "Loading the model" in statuses and "Encoding 1 picture" in statuses
    assert answer == "In turn 1 I see \n(cut after 5 tokens; allow more with --max-new-tokens)\n"


# inspect


def test_a_part_of_the_videos_is_chosen(clip: Path, cat: Path, capsys: Any) -> None:
    """8 frames at 2 a second; from 1 s to 3 s are the frames 2 to 5."""
    assert cli.main(["inspect", "--json", "--part", "0:01-3", "--image", str(cat), "--video", str(clip)]) == 0
    medium = json.loads(capsys.readouterr().out)["media"][1]
    assert (medium["frame_indices"], medium["time_range"]) == ([2, 3, 4, 5], [1.0, 3.0])
    for part, words in (("4-2", "ends after it begins"), ("all", "--part is"), ("60-", "lasts 4.0 s")):
        assert cli.main(["inspect", "--part", part, "--video", str(clip)]) == 2
        assert words in capsys.readouterr().err
    assert cli.main(["ask", "--part", "1-2", "--image", str(cat), "?"]) == 2
    assert "give one with --video" in capsys.readouterr().err


def test_ask_takes_a_part_and_time_stamps(fake: FakeEngine, clip: Path) -> None:
    assert cli.main(["ask", "--part", "1-3", "--time-stamps", "--video", str(clip), "?"]) == 0
    messages, options = fake.heard[-1]
    assert messages[-1].parts[0] == Video(str(clip), time_range=TimeRange(1, 3)) and options.media.time_stamps


@pytest.mark.parametrize(("height", "width"), [(224, 224), (720, 1280), (1080, 1920), (10, 10)])
def test_inspect_uses_the_released_checkpoints_limits(height: int, width: int, tmp_path: Path, capsys: Any) -> None:
    """Without --model it is their limits that act (224x224: 64 tokens; 10x10 grows to 56x56), not nano's."""
    PIL.Image.new("RGB", (width, height)).save(tmp_path / "a.png")
    assert cli.main(["inspect", "--json", "--image", str(tmp_path / "a.png")]) == 0
    record = json.loads(capsys.readouterr().out)
    resized = list(smart_resize(height, width))
    medium = record["media"][0]
    assert (medium["original_size"], medium["resized_size"]) == ([height, width], resized)
    assert medium["merged_tokens"] == resized[0] * resized[1] // 784


def test_inspect_json_holds_ids_and_positions_that_belong_together(cat: Path, clip: Path, capsys: Any) -> None:
    assert cli.main(["inspect", "--json", "--image", str(cat), "--video", str(clip), "--system", "x", "What?"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [medium["kind"] for medium in record["media"]] == ["image", "video"]
    spans = [VisionSpan(medium["span"][0], tuple(medium["grid_thw"])) for medium in record["media"]]
    positions, delta = mrope_position_ids(len(record["input_ids"]), spans)
    assert record["position_ids"] == positions.tolist() and record["rope_delta"] == delta
    for medium in record["media"]:
        start, end = medium["span"]
        assert len(set(record["input_ids"][start:end])) == 1 and end - start == medium["merged_tokens"]


def test_inspect_takes_a_pixel_budget(cat: Path, capsys: Any) -> None:
    assert cli.main(["inspect", "--json", "--max-pixels", "78400", "--image", str(cat)]) == 0
    height, width = json.loads(capsys.readouterr().out)["media"][0]["resized_size"]
    assert (height, width) == smart_resize(300, 400, max_pixels=78400) and height * width <= 78400 < MAX_PIXELS


def test_inspect_of_nano_uses_nanos_own_limits(cat: Path, capsys: Any) -> None:
    """nano was trained on pictures of at most 64 merged tokens; the released limits would allow 154 here."""
    assert cli.main(["inspect", "--json", "--model", "nano", "--image", str(cat)]) == 0
    assert json.loads(capsys.readouterr().out)["media"][0]["merged_tokens"] <= 64


def test_inspect_prints_a_summary_for_people(cat: Path, clip: Path, capsys: Any) -> None:
    assert cli.main(["inspect", "--image", str(cat), "--video", str(clip)]) == 0
    out = capsys.readouterr().out
    assert "image cat.png" in out and "300x400 px, resized to 308x392 (height x width)" in out
    assert "grid 1x22x28 patches = 154 merged tokens" in out
    assert "8 of 8 frames, from 0.00 s to 3.50 s" in out


def test_inspect_html_is_a_page_that_needs_nothing_but_itself(
    cat: Path, clip: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "page.html"
    assert cli.main(["inspect", "--html", str(out), "--image", str(cat), "--video", str(clip)]) == 0
    page = out.read_text("utf-8")
    assert capsys.readouterr().out.strip() == str(out)
    (held,) = re.findall(r'id="lens-payload">(.*?)</script>', page)
    picture, film = json.loads(held)["media"]
    assert picture["resized_size"] == [308, 392] and picture["merged_tokens"] == 154
    assert picture["original"]["uri"].startswith("data:image/") and film["shown"]["count"] == 8
    assert "://" not in page


def test_a_file_name_cannot_write_into_the_page(tmp_path: Path) -> None:
    name = tmp_path / '<img src=x onerror=alert(1)>".png'
    PIL.Image.new("RGB", (56, 56)).save(name)
    assert cli.main(["inspect", "--html", str(tmp_path / "page.html"), "--image", str(name)]) == 0
    assert "<img src=x" not in (tmp_path / "page.html").read_text("utf-8")


def test_inspect_opens_what_the_file_limit_allows(cat: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of 257 MB (bytes behind the end of a PNG are ignored) was refused whatever the limit, and the sentence
    named a flag that does not exist."""
    os.truncate(cat, 257 * 10**6)
    assert cli.main(["inspect", "--json", "--image", str(cat)]) == 2
    assert "has 257 MB, more than the limit of 256 MB (--max-file-mb)" in capsys.readouterr().err
    assert cli.main(["inspect", "--json", "--max-file-mb", "300", "--image", str(cat)]) == 0
    monkeypatch.setenv("QWEN2VL_MAX_FILE_MB", "300")
    assert cli.main(["inspect", "--json", "--image", str(cat)]) == 0


def test_ask_opens_documents_within_the_same_limit(
    fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages are rendered before the engine is loaded; they were rendered within the default limits."""
    found = []

    def open_pdf(source: Any, limits: Any, label: str, choice: Any) -> Document:
        found.append(limits.max_file_bytes)
        return Document(1, (1,), (PIL.Image.new("RGB", (56, 56)),))

    monkeypatch.setattr("qwen2vl_demo.processing.processor.open_document", open_pdf)
    PIL.Image.new("RGB", (200, 100)).save(tmp_path / "one.pdf")
    for flags in ([], ["--max-file-mb", "300"]):
        assert cli.main(["ask", *flags, "--image", str(tmp_path / "one.pdf"), "?"]) == 0
    assert found == [256 * 10**6, 300 * 10**6]


# errors


def test_a_failure_of_a_server_is_one_line_with_its_address_and_flag(
    capsys: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeServer.running() as server:
        server.replies = [refuse(401, {"error": "no"})]
        assert cli.main(["ask", "--engine-url", server.url, "Hi"]) == 2
        out, err = capsys.readouterr()
        assert err == f"error: {server.url}/v1 refuses the key (401: no); set the right one with --engine-key or " + (
            "QWEN2VL_ENGINE_KEY.\n"
        )
    assert out == "" and not caplog.records


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "COMMAND"),
        (["dance"], "dance"),
        (["ask"], "question"),
        (["ask", "--image"], "--image"),
        (["ask", "--image", "nowhere.png", "?"], "nowhere.png"),
        (["ask", "--device", "tpu", "?"], "--device"),
        (["ask", "--max-new-tokens", "0", "?"], "--max-new-tokens"),
        (["ask", "--top-p", "7", "?"], "top_p"),
        (["ask", "!refuse"], "refuses"),
        (["inspect"], "--image"),
        (["inspect", "--video", "nowhere.mp4"], "nowhere.mp4"),
        (["inspect", "--json", "--html", "x", "--image", "y"], "--html"),
        (["inspect", "--model", "./no/such/dir", "hello"], "./no/such/dir"),
        (["inspect", "--html", "/no/such/dir/x.html", "hello"], "/no/such/dir/x.html"),
    ],
)
def test_an_error_is_one_line_on_standard_error_and_status_2(
    fake: FakeEngine, capsys: Any, argv: list[str], expected: str
) -> None:
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    assert expected in err


@pytest.mark.parametrize("seed", ["-1", str(2**63), "9" * 5000])
def test_a_seed_has_63_bits(fake: FakeEngine, capsys: Any, seed: str) -> None:
    """PyTorch raised an overflow for more, also where nothing was sampled."""
    assert cli.main(["ask", "--seed", seed, "?"]) == 2
    err = capsys.readouterr().err
    assert "seed" in err and err.count("\n") == 1 and len(err) < 700


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"What?", "What?"),
        (b"\xef\xbb\xbfWhat?\r\n", "What?"),
        (b"two\nlines\n\n", "two\nlines\n"),
        ("Was für ein Tier?\n".encode("utf-16"), "Was für ein Tier?"),
    ],
)
def test_a_mark_and_a_last_newline_are_not_part_of_the_question(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, written: bytes, read: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(written)))
    assert cli.main(["ask", "-"]) == 0
    assert fake.heard[-1][0][-1].text == read


def test_a_question_in_the_encoding_of_the_locale_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getencoding", lambda: "ISO-8859-1")
    assert console.decode(b"caf\xe9") == "café" and console.decode("café".encode()) == "café"


@pytest.mark.parametrize(("flags", "sentence"), [([], "What is"), (["--json"], "answer")])
def test_a_full_disk_is_one_line(fake: FakeEngine, capsys: Any, flags: list[str], sentence: str) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert cli.main(["ask", *flags, "hello"]) == 2
    assert capsys.readouterr().err == (
        "error: Standard output cannot be written (No space left on device); send it to another place.\n"
    )


def test_an_answer_does_not_steer_the_terminal(
    fake: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    """The fake engine repeats the question. A pipe gets what was said, a terminal no control characters."""
    said = "\x1b]0;title\x07\x9b2J\b"
    assert cli.main(["ask", said]) == 0
    assert said in capsys.readouterr().out
    assert cli.main(["ask", "--json", said]) == 0
    out = capsys.readouterr().out
    assert said in json.loads(out)["answer"] and not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert cli.main(["ask", said]) == 0
    assert "\ufffd]0;title\ufffd\ufffd2J\ufffd" in screen.getvalue()
    assert console.without_controls("a\r\tb\n") == "a\ufffd\tb\n"
    assert cli.main(["ask", "--image", str(tmp_path / "no\x1b[31m\nfile.png"), "?"]) == 2
    assert cli.main(["ask", "--device", "\x1b[31m", "?"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 2 and "\x1b" not in err


def test_a_dumb_terminal_gets_no_status_line(fake: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "dumb")
    assert cli.main(["ask", "?"]) == 0
    assert screen.getvalue() == ""


def run(*argv: str, **how: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qwen2vl_demo", *argv], cwd=ROOT, capture_output=True, text=True, timeout=300, **how
    )


def test_a_wrong_flag_is_found_without_loading_anything() -> None:
    done = run("ask", "--divice", "cpu", "?", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert len(lines) == 1 and "--divice" in lines[0]
    assert "| torch" not in done.stderr


def test_nano_answers_from_a_fresh_process(cat: Path) -> None:
    done = run("ask", "--json", "--max-new-tokens", "4", "--image", str(cat), "What is this?")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert 1 <= record["new_tokens"] <= 4 and record["media"][0]["original_size"] == [300, 400]
    assert done.stderr == ""


SLOW = """
import sys
from fake_engine import FakeEngine
from qwen2vl_demo import cli, console
from qwen2vl_demo.engine import factory as start
start.load_engine = lambda *_, **__: FakeEngine(step=0.05)
sys.exit(cli.main(["ask", "a long answer please"]))
"""


@pytest.fixture
def slow_answer() -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a long answer."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.read(9) == "In turn 1"
    yield process
    process.kill()
    process.communicate()


def test_ctrl_c_ends_with_130_and_no_traceback(slow_answer: subprocess.Popen[str]) -> None:
    slow_answer.send_signal(signal.SIGINT)
    _, err = slow_answer.communicate(timeout=60)
    assert slow_answer.returncode == 130 and "Traceback" not in err


def test_a_reader_that_has_enough_is_no_error(slow_answer: subprocess.Popen[str]) -> None:
    """As in `... ask ... | head -c 9`."""
    assert slow_answer.stdout is not None and slow_answer.stderr is not None
    slow_answer.stdout.close()
    assert slow_answer.stderr.read() == ""
    assert slow_answer.wait(timeout=60) == 0


# streams, names and addresses, in real processes


def shell(line: str, cwd: Path, **variables: str) -> tuple[int, bytes, str]:
    """(status, standard output, standard error) of a line of bash in which `q` is the command."""
    line = f'q() {{ "{sys.executable}" -m qwen2vl_demo "$@"; }}; {line}'
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(["bash", "-c", line], cwd=cwd, capture_output=True, timeout=300, env=environ)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("q ask - <&-", "Standard input is closed"),
        ("q ask --image - ? <&-", "Standard input is closed"),
        (r"printf 'caf\xe9' | LC_ALL=C.UTF-8 q ask -", "not text in UTF-8"),
        (r"printf 'caf\xe9' | LC_ALL=C q ask -", "not text in UTF-8"),
        (r"q ask $'caf\xe9'", "not UTF-8"),
        (r"q ask --system $'caf\xe9' hello", "not UTF-8"),
        ("q ask hello >&-", "Standard output cannot be written (it is closed)"),
        ("q --version >/dev/full", "Standard output cannot be written (No space left on device)"),
        ("q --help >/dev/full", "Standard output cannot be written (No space left on device)"),
        ("q ask --image - - <cat.png", "can be read once"),
        ("q inspect --image file://elsewhere/cat.png", "another machine"),
        ("q inspect --image 'data:image/png;base64'", "comma"),
        ("q inspect --image 'data:image/png;base64,A'", "base64"),
        (r"ulimit -t 60; q ask --image <(head -c 300M /dev/zero) ?", "more than 256,000,000 bytes"),
    ],
)
def test_a_stream_that_cannot_be_used_is_one_line_and_status_2(cat: Path, line: str, words: str) -> None:
    status, out, err = shell(line, cat.parent)
    assert (status, out, err.count("\n")) == (2, b"", 1), err
    assert err.startswith("error: ") and words in err


@pytest.mark.parametrize("line", ["q ask hello >&- 2>&-", "q ask - 2>&- <&-", "q ask - 2>/dev/full <&-"])
def test_without_anywhere_to_complain_the_status_is_2(tmp_path: Path, line: str) -> None:
    assert shell(line, tmp_path)[:2] == (2, b"")


@pytest.mark.slow
def test_the_page_is_served_without_standard_streams(tmp_path: Path) -> None:
    """Its log did not expect a closed standard output, and the server ended with a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = (
        f"q serve --model none --port {port} --data-dir . <&- >&- 2>&- & pid=$!; for i in $(seq 600); do sleep 0.2; "
        f"(: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo up && break; kill -0 $pid || break; done; kill $pid"
    )
    assert shell(line, tmp_path)[1] == b"up\n"


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    status, _, err = shell("q --help | true; exit ${PIPESTATUS[0]}", tmp_path)
    assert (status, err) == (0, "")


def test_pictures_come_from_pipes_addresses_and_odd_names(cat: Path, clip: Path) -> None:
    """One process reads all of them. It must not write to a closed standard error either, whose number another file
    could get."""
    folder = cat.parent
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9 1%.png")).write_bytes(cat.read_bytes())
    line = (
        r"mkfifo named; cat cat.png > named & "
        r"q inspect --html o$'\xe9'.html --image <(cat cat.png) --image - --image named "
        r"--image file://$PWD/caf%E9%201%25.png --image FILE:cat.png --image caf$'\xe9'\ 1%.png "
        r'--image "data:image/png;base64,$(base64 -w0 cat.png)" --video file://localhost$PWD/clip.mp4 What? '
        r"<cat.png 2>&-"
    )
    status, out, _ = shell(line, folder)
    assert status == 0 and out.endswith(b".html\n")
    page = Path(os.fsdecode(bytes(folder) + b"/o\xe9.html")).read_text("utf-8")
    (held,) = re.findall(r'id="lens-payload">(.*?)</script>', page)
    names = [medium["name"] for medium in json.loads(held)["media"]]
    assert names[1:] == [
        "standard input", "named", "caf\ufffd 1%.png", "cat.png", "caf\ufffd 1%.png", "data: address", "clip.mp4"
    ]  # fmt: skip
