"""The reader of answers: the same answer comes out however its bytes were cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.kit.wire import BadAnswer, Broken, TooLarge
from loadtests.kit.wire.answers import AnswerReader


def read(pieces: list[bytes], *, head_only: bool = False, ends: bool = False) -> tuple[int, bytes, bool, bool]:
    """Return status, body, whether the connection stays, and whether more came than the answer."""
    reader = AnswerReader()
    reader.begin(head_only=head_only)
    whole = False
    for piece in pieces:
        assert not whole
        whole = reader.feed(piece)
    if ends and not whole:
        reader.end("closed")
    assert reader.complete
    answer = reader.take()
    return answer.status, answer.body, reader.keep_alive, reader.extra


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % len(raw) for place in places}), len(raw)]
    return [raw[a:b] for a, b in pairwise(edges) if a < b]


PLACES = st.lists(st.integers(0, 10_000), max_size=8)
ANSWERS = st.sampled_from(
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", b"hello", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    ]
)


@given(answer=ANSWERS, places=PLACES)
def test_how_it_is_cut_does_not_matter(answer: tuple[bytes, bytes, bool], places: list[int]) -> None:
    raw, body, stays = answer
    assert read(cut(raw, places))[1:] == (body, stays, False)


@given(body=st.binary(max_size=200), places=PLACES)
def test_a_body_without_a_length_ends_with_the_connection(body: bytes, places: list[int]) -> None:
    raw = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + body
    assert read(cut(raw, places), ends=True) == (200, body, False, False)


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", b"HT", b"garbage"])
def test_what_comes_behind_the_answer_is_no_part_of_it(extra: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" + extra
    assert read([raw])[1::2] == (b"hello", True)


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\n\r\n", False),
    ],
)
def test_an_answer_to_head_has_no_body_whatever_it_says(head: bytes, stays: bool) -> None:
    assert read([head], head_only=True) == (200, b"", stays, False)
    reader = AnswerReader()
    for _ in range(2):  # and the next answer of the connection is read from its beginning
        reader.begin(head_only=True)
        assert reader.feed(head)
        reader.take()
    reader.begin(head_only=False)
    assert reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    assert reader.take().body == b"x"


def test_a_body_after_head_is_extra() -> None:
    assert read([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"], head_only=True) == (200, b"", True, True)


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"", "before anything"),
        (b"HTTP/1.1 200 O", "head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "body"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "head"),
    ],
)
def test_an_end_in_the_middle_is_broken_and_says_where(raw: bytes, where: str) -> None:
    with pytest.raises(Broken, match=where):
        read([raw] if raw else [], ends=True)


@pytest.mark.parametrize("status", [b"000", b"099", b"1x0", b"20", b"2000"])
def test_a_status_that_is_none_is_a_bad_answer(status: bytes) -> None:
    with pytest.raises(BadAnswer):
        read([b"HTTP/1.1 " + status + b" X\r\nContent-Length: 0\r\n\r\n"])


def test_sizes_are_bounded() -> None:
    head = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200
    for raw in (head, head + b"\r\n\r\n"):
        reader = AnswerReader(head_bytes_max=100)
        with pytest.raises(TooLarge, match="head"):
            reader.feed(raw)
    reader = AnswerReader(head_bytes_max=100, body_bytes_max=1000)
    assert not reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunks = (reader.feed(b"64\r\n" + b"x" * 100 + b"\r\n") for _ in range(100))
    with pytest.raises(TooLarge, match="body"):
        any(chunks)
