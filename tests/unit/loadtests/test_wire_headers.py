"""Heads: what a request may hold, how it is written, and how an answer's headers are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.kit.wire.headers import KEPT_MAX, Headers, RequestEncoder, parse_headers


def an_encoder() -> RequestEncoder:
    return RequestEncoder("node:26657", {"User-Agent": "us"})


def test_a_request_is_written_as_http_wants_it() -> None:
    raw = an_encoder().encode("POST", "/a?b=c", {"X-Key": "1"}, b"body")
    assert raw == (
        b"POST /a?b=c HTTP/1.1\r\nHost: node:26657\r\nUser-Agent: us\r\nX-Key: 1\r\nContent-Length: 4\r\n\r\nbody"
    )


@pytest.mark.parametrize(("method", "told"), [("GET", False), ("HEAD", False), ("POST", True), ("PUT", True)])
def test_an_empty_body_has_a_length_where_one_is_expected(method: str, told: bool) -> None:
    assert (b"Content-Length: 0\r\n" in an_encoder().encode(method, "/", None, b"")) == told


def test_a_given_header_takes_the_place_of_a_default_in_any_case() -> None:
    raw = an_encoder().encode("GET", "/", {"user-agent": "them", "HOST": "else"}, b"")
    assert raw == b"GET / HTTP/1.1\r\nuser-agent: them\r\nHOST: else\r\n\r\n"


@pytest.mark.parametrize("method", ["", "GET ", "GE T", "GET\r\n", "G\x00T", "GÉT", "GET /"])
def test_methods_that_are_none_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="method"):
        an_encoder().encode(method, "/", None, b"")


@pytest.mark.parametrize("target", ["", "/a b", "/a\r\nX: y", "/\x00", "/ü", "/a\t", "/\x7f"])
def test_targets_that_are_none_are_refused(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        an_encoder().encode("GET", target, None, b"")


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä", "a\x00", "Content-Length", "transfer-ENCODING"])
def test_header_names_that_may_not_be_are_refused(name: str) -> None:
    for _ in range(2):  # nothing refused is kept
        with pytest.raises(ValueError, match="header"):
            an_encoder().encode("GET", "/", {name: "x"}, b"")


@given(value=st.text(max_size=20))
def test_header_values_without_control_characters_are_sent_as_they_are(value: str) -> None:
    """Law: a value is either refused, or stands on its line unchanged: no value can begin another line."""
    try:
        raw = an_encoder().encode("GET", "/", {"X": value}, b"")
    except ValueError:
        assert any(ord(c) > 255 or (ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value)
        return
    assert raw.split(b"\r\n") == [
        b"GET / HTTP/1.1", b"Host: node:26657", b"User-Agent: us", b"X: " + value.encode("latin-1"), b"", b""
    ]  # fmt: skip


def test_what_is_kept_is_bounded_and_right_after_it_was_thrown_away() -> None:
    encoder = an_encoder()
    for number in range(KEPT_MAX + 10):
        raw = encoder.encode("GET", f"/{number}", {"X": str(number)}, b"")
        assert raw.startswith(b"GET /%d HTTP/1.1\r\n" % number)
        assert raw.endswith(b"X: %d\r\n\r\n" % number)
    assert len(encoder._lines) <= KEPT_MAX
    assert len(encoder._blocks) <= KEPT_MAX


def test_headers_are_found_in_any_case_and_repeated_ones_joined() -> None:
    headers = parse_headers(
        b"HTTP/1.1 200 OK\r\nA: 1\r\nset-cookie: x\r\na:  2 \r\nSet-Cookie:y\r\n\r\nbody: none\r\n\r\n"
    )
    assert (headers["A"], headers["a"]) == ("1, 2", "1, 2")
    assert headers.get_all("SET-COOKIE") == ["x", "y"]
    assert "body" not in headers
    assert "A" in headers
    assert list(headers) == ["a", "set-cookie"]
    assert headers.get("none") is None
    assert len(Headers([])) == 0


def test_headers_of_answers_before_the_answer_are_passed_over() -> None:
    raw = b"\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nB: 1\r\n\r\nHTTP/1.1 200 OK\r\nC: 2\r\n\r\n"
    assert dict(parse_headers(raw)) == {"c": "2"}
