"""Frames, statuses and messages of gRPC on the wire."""

from __future__ import annotations

from urllib.parse import quote

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.kit.grpc_wire import GrpcStatus, NotGrpc, NotOk, from_frame, parse_answer, request_headers, to_frame

HEAD = [b"HTTP/2 200 \r\n", b"content-type: application/grpc\r\n", b"\r\n"]


@given(st.binary(max_size=2000))
def test_a_frame_gives_its_message_back(message: bytes) -> None:
    assert from_frame(to_frame(message)) == message


@given(st.binary(max_size=20))
def test_what_is_no_frame_is_refused_and_never_misread(body: bytes) -> None:
    try:
        message = from_frame(body)
    except NotGrpc:
        return
    assert to_frame(message) == body


@given(st.text(alphabet="az %\n\r:✓日ü\x00", max_size=20))
def test_a_message_is_what_was_encoded(text: str) -> None:
    trailers = [b"grpc-status: 13\r\n", b"grpc-message: " + quote(text).encode() + b"\r\n"]
    with pytest.raises(NotOk) as caught:
        parse_answer(HEAD + trailers, b"")
    assert (caught.value.status, caught.value.message) == (GrpcStatus.INTERNAL, text)


@given(st.lists(st.binary(max_size=30), max_size=8), st.binary(max_size=8))
def test_any_answer_is_one_or_is_refused(lines: list[bytes], body: bytes) -> None:
    try:
        message = parse_answer(lines, body)
    except (NotOk, NotGrpc):
        return
    assert to_frame(message) == body


def test_the_statuses_are_those_of_the_library() -> None:
    theirs = {status.name: status.value[0] for status in grpc.StatusCode}
    assert {status.name: int(status) for status in GrpcStatus} == theirs


@pytest.mark.parametrize(
    ("limit_s", "text"),
    [(5.0, "5000m"), (0.0004, "1m"), (99_999.999, "99999999m"), (100_000.0, "100000S"), (1e12, "99999999S")],
)
def test_a_limit_has_at_most_eight_digits(limit_s: float, text: str) -> None:
    assert f"grpc-timeout: {text}" in request_headers(limit_s)


def test_trailers_go_before_the_head() -> None:
    lines = [*HEAD[:2], b"grpc-status: 5\r\n", b"\r\n", b"grpc-status: 0\r\n"]
    assert parse_answer(lines, to_frame(b"x")) == b"x"


def test_a_status_in_the_head_of_an_answer_with_a_body_does_not_count() -> None:
    with pytest.raises(NotGrpc):
        parse_answer([*HEAD[:2], b"grpc-status: 0\r\n", b"\r\n"], to_frame(b"x"))
