"""The event stream parser, against the standard's own examples and against every way to cut a stream in two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen2vl_demo.engine.remote.sse import EventParser


def parse(*pieces: bytes) -> list[str]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),  # example of the standard: lines join
        (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", None),
        (b"data\n\ndata\ndata\n\ndata:", ["", "\n"]),  # empty data is an event; the unfinished last one is not
        (b"data:test\n\ndata: test\n\n", ["test", "test"]),  # one space behind the colon is not data
        (b"\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\rdata: c\n\n", ["a", "b", "c"]),  # BOM, and all three line ends
        (b": ping\n\n: ping\n\n", []),
        ("data: a\u2028b\x85c\x0bd\n\n".encode(), ["a\u2028b\x85c\x0bd"]),  # these are no line ends here
        (b"event: x\nretry: 3\ndatax: no\ndata: [DONE]\n\n", ["[DONE]"]),
    ],
)
def test_streams_of_the_standard(stream: bytes, events: list[str] | None) -> None:
    assert parse(stream) == (["first event", "second event", " third event"] if events is None else events)


STREAM = ': hallo\r\n\r\ndata: {"a": "Grüße 🐈 猫"}\r\n\r\ndata: x\r\rdata: y\ndata: z\n\ndata: [DONE]\n\n'.encode()


def test_a_stream_cut_at_any_byte_reads_the_same() -> None:
    whole = parse(STREAM)
    assert whole == ['{"a": "Grüße 🐈 猫"}', "x", "y\nz", "[DONE]"]
    for cut in range(len(STREAM) + 1):
        assert parse(STREAM[:cut], STREAM[cut:]) == whole, cut
    assert parse(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == whole


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_any_bytes_in_any_pieces_read_like_the_whole(pieces: list[bytes]) -> None:
    assert parse(*pieces) == parse(b"".join(pieces))
