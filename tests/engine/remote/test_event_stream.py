"""The event stream of a server as the client reads it: the standard's examples, and every way to cut it in two."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen2vl_demo.engine.remote.event_stream import MAX_BYTES, Event, EventReader, TooLong


def events_of(*pieces: bytes) -> list[Event]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)] + reader.finish()


def read(*pieces: bytes) -> list[str]:
    """The data of the events of a response whose body arrives in these pieces."""
    return [event.data for event in events_of(*pieces)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),  # example of the standard: lines join
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            ["first event", "second event", " third event"],
        ),
        (b"data\n\ndata\ndata\n\ndata:", ["\n"]),  # an event without data is skipped
        (b"data:test\n\ndata: test\n\n", ["test", "test"]),  # one space after the colon is not data
        (b"\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\rdata: c\n\n", ["a", "b", "c"]),  # BOM, and all three line ends
        (b": ping\n\n: ping\n\n", []),
        (b"id: 7\ndata: a\n\n: ping\n\nretry: 3\n\nevent: x\n\ndata: b\n\n", ["a", "b"]),
        ("data: a\u2028b\x85c\x0bd\n\n".encode(), ["a\u2028b\x85c\x0bd"]),  # these are not line ends here
        (b"event: x\nretry: 3\ndatax: no\ndata: [DONE]\n\n", ["[DONE]"]),
        (b"data: Gr\xc3\xbc\xff\n\n", ["Grü\ufffd"]),
        # Unlike the standard: what the end of the stream cuts off before its blank line is delivered.
        (b"data: a\n\ndata: b", ["a", "b"]),
        (b"data: a\n\ndata: b\n", ["a", "b"]),
        (b"data: a\r", ["a"]),
    ],
)
def test_streams_of_the_standard(stream: bytes, events: list[str]) -> None:
    assert read(stream) == events


def test_an_event_has_the_name_that_was_given_before_its_data() -> None:
    assert events_of(b"event: error\ndata: a\n\ndata: b\n\n") == [Event("a", "error"), Event("b")]


def test_json_and_html_that_stand_in_place_of_events_are_kept() -> None:
    reader = EventReader()
    assert reader.feed(b'{"error":\n "x"}\n<html>\n') == [] and reader.finish() == []
    assert reader.stray == b'{"error":\n<html>\n'


STREAM = (
    '\ufeff: hallo\r\n\r\ndata: {"a": "Grüße 🐈 猫\u2028"}\r\n\r\ndata: x\r\rdata: y\ndata: z\n\ndata: [DONE]\n\n'
).encode()


def test_a_stream_cut_at_any_byte_reads_the_same() -> None:
    whole = read(STREAM)
    assert whole == ['{"a": "Grüße 🐈 猫\u2028"}', "x", "y\nz", "[DONE]"]
    for cut in range(len(STREAM) + 1):
        assert read(STREAM[:cut], STREAM[cut:]) == whole, cut
    assert read(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == whole


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_any_bytes_in_any_pieces_read_like_the_whole(pieces: list[bytes]) -> None:
    assert read(*pieces) == read(b"".join(pieces))


@pytest.mark.parametrize("beginning", [b"data: ", b"x", b": "])
def test_a_line_without_an_end_is_refused_at_its_largest_size(beginning: bytes) -> None:
    reader = EventReader()
    reader.feed(beginning)
    with pytest.raises(TooLong):
        for _ in range(2 * MAX_BYTES // 2**16):
            reader.feed(b"x" * 2**16)


def test_an_event_of_endless_lines_is_refused() -> None:
    reader, lines = EventReader(), b"data: " + b"x" * 2**16 + b"\n"
    with pytest.raises(TooLong):
        for _ in range(2 * MAX_BYTES // 2**16):
            reader.feed(lines)


def test_the_work_is_linear_in_the_bytes() -> None:
    """Many pieces, of one line or of empty ones: sixteen times as much takes about sixteen times
    as long, and quadratic work would take 256 times."""

    def seconds(piece: bytes, pieces: int) -> float:
        reader, began = EventReader(), time.process_time()
        for _ in range(pieces):
            reader.feed(piece)
        reader.finish()
        return time.process_time() - began

    for piece in (b"x" * 64, b"\n" * 8, b"\r" * 8):
        little = min(seconds(piece, 2**9) for _ in range(5))
        assert min(seconds(piece, 2**13) for _ in range(3)) < 128 * little
