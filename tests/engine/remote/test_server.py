"""The event stream of a server as the client reads it: the standard's examples, and every way to cut it in two."""

from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen2vl_demo.engine.remote.server import event_data
from tests import asynchronous


def read(*pieces: bytes, content_type: str = "text/event-stream") -> list[str]:
    """What `event_data` gives for a response whose body arrives in these pieces."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def run() -> list[str]:
        response = httpx.Response(
            200,
            headers={"content-type": content_type},
            content=body(),
            request=httpx.Request("POST", "http://server/v1/chat/completions"),
        )
        return [data async for data in event_data(response)]

    return asynchronous.run(run())


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),  # example of the standard: lines join
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            ["first event", "second event", " third event"],
        ),
        (b"data\n\ndata\ndata\n\ndata:", ["\n"]),  # an event without data is skipped, an unfinished one is none
        (b"data:test\n\ndata: test\n\n", ["test", "test"]),  # one space after the colon is not data
        (b"\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\rdata: c\n\n", ["a", "b", "c"]),  # BOM, and all three line ends
        (b": ping\n\n: ping\n\n", []),
        (b"id: 7\ndata: a\n\n: ping\n\nretry: 3\n\nevent: x\n\ndata: b\n\n", ["a", "b"]),
        ("data: a\u2028b\x85c\x0bd\n\n".encode(), ["a\u2028b\x85c\x0bd"]),  # these are not line ends here
        (b"event: x\nretry: 3\ndatax: no\ndata: [DONE]\n\n", ["[DONE]"]),
    ],
)
def test_streams_of_the_standard(stream: bytes, events: list[str]) -> None:
    assert read(stream) == events


STREAM = (
    '\ufeff: hallo\r\n\r\ndata: {"a": "Grüße 🐈 猫\u2028"}\r\n\r\ndata: x\r\rdata: y\ndata: z\n\ndata: [DONE]\n\n'
).encode()


def test_a_stream_cut_at_any_byte_reads_the_same() -> None:
    whole = read(STREAM)
    assert whole == ['{"a": "Grüße 🐈 猫\u2028"}', "x", "y\nz", "[DONE]"]
    for cut in range(len(STREAM) + 1):
        assert read(STREAM[:cut], STREAM[cut:]) == whole, cut
    assert read(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == whole


def test_a_stream_is_utf_8_whatever_its_header_says() -> None:
    assert read("data: Grüße\n\n".encode(), content_type="text/event-stream; charset=latin-1") == ["Grüße"]


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_any_bytes_in_any_pieces_read_like_the_whole(pieces: list[bytes]) -> None:
    assert read(*pieces) == read(b"".join(pieces))
