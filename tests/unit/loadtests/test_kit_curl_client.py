"""CurlClient: what arrives at the server, what comes back, and what each way of going wrong is called."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadtests.kit.curl import (
    BadAnswer,
    Broken,
    CurlAnswer,
    CurlClient,
    CurlFailed,
    CurlMulti,
    HttpVersion,
    NotConnected,
    TimedOut,
    TooLarge,
)
from loadtests.kit.curl.transfer import parse_head
from tests.unit.loadtests.kit_http2 import Http2Peer, http2_server
from tests.unit.loadtests.kit_proxy import http_proxy
from tests.unit.loadtests.kit_servers import (
    Handler,
    Request,
    answering,
    http_bytes,
    http_server,
    refused_port,
    resetting,
    sending,
    stalling,
)
from tests.unit.loadtests.kit_tls import certificate, http2_context

SHORT_S = 0.15
LONG_S = 20.0


@pytest.fixture
def multi() -> Iterator[CurlMulti]:
    multi = CurlMulti()
    yield multi
    multi.close()


@pytest.fixture
def client(multi: CurlMulti) -> CurlClient:
    return CurlClient(multi)


def get(client: CurlClient, url: str, *, follow: int = 0, proxy: str | None = None) -> CurlAnswer:
    return client.request("GET", url, limit_s=LONG_S, follow=follow, proxy=proxy)


# --- a request and its answer ---


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("GET", None),
        ("GET", b"asked with a body"),
        ("POST", None),
        ("POST", b"\x00\xff\r\n" * 5000),
        ("PUT", b"x"),
        ("PATCH", b""),
        ("DELETE", None),
        ("OPTIONS", None),
    ],
)
def test_a_request_arrives_as_it_was_given(client: CurlClient, method: str, body: bytes | None) -> None:
    with http_server(answering(200, b"hello", headers="X-One: 1\r\nX-One: 2\r\n")) as server:
        url = f"{server.url}/a?b=c"
        answer = client.request(method, url, headers={"X-Key": "1", "X-Empty": ""}, body=body, limit_s=LONG_S)
    assert (answer.status, answer.body, answer.url, answer.http_version) == (200, b"hello", url, "1.1")
    assert answer.header("x-one") == "2"
    assert [value for name, value in answer.headers if name == "x-one"] == ["1", "2"]
    assert answer.header("x-none") is None
    (request,) = server.requests
    assert (request.method, request.path, request.body) == (method, "/a?b=c", body or b"")
    assert (request.headers["x-key"], request.headers["x-empty"]) == ("1", "")
    assert "expect" not in request.headers


def test_a_head_has_no_body(client: CurlClient) -> None:
    with http_server(sending(b"HTTP/1.1 200 Word\r\nContent-Length: 5\r\n\r\n")) as server:
        answer = client.request("HEAD", server.url, limit_s=LONG_S)
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "5")
    assert server.requests[0].method == "HEAD"


@pytest.mark.parametrize("status", [204, 404, 429, 500, 503])
def test_every_status_is_an_answer(client: CurlClient, status: int) -> None:
    with http_server(answering(status, b"")) as server:
        assert get(client, server.url).status == status


def test_a_body_of_5_mb_comes_whole(client: CurlClient) -> None:
    big = bytes(range(256)) * 20_000
    with http_server(answering(200, big)) as server:
        assert get(client, server.url).body == big


@pytest.mark.parametrize("text", ["a\r\nB: c", "a\nb", "a\0b"])
def test_a_line_that_would_end_too_early_is_refused(client: CurlClient, text: str) -> None:
    for method, url, headers in [
        ("GET", "/", {"X": text}),
        ("GET", "/", {text: "x"}),
        (text, "/", {}),
        ("GET", text, {}),
    ]:
        with pytest.raises(ValueError, match="line's end"):
            client.request(method, url, headers=headers, limit_s=LONG_S)


# --- what goes wrong ---


def failure_of(client: CurlClient, handler: Handler, *, limit_s: float = LONG_S) -> CurlFailed:
    with http_server(handler) as server, pytest.raises(CurlFailed) as caught:
        client.request("GET", server.url, limit_s=limit_s)
    return caught.value


def test_nobody_listens(client: CurlClient) -> None:
    with pytest.raises(NotConnected, match="Could not connect"):
        get(client, f"http://127.0.0.1:{refused_port()}/")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://name.invalid/", "nonsense://", "http://:0/"])
def test_what_cannot_be_reached_at_all(client: CurlClient, url: str) -> None:
    with pytest.raises(NotConnected):
        get(client, url)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 Word\r\nContent-Length: 5\r\n\r\nhe"], ids=["nothing", "part"])
def test_no_whole_answer_in_time(client: CurlClient, raw: bytes) -> None:
    assert type(failure_of(client, stalling(raw), limit_s=SHORT_S)) is TimedOut


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 Word\r\nContent-Length: 5\r\n\r\nhe"])
@pytest.mark.parametrize("end", [sending, resetting])
def test_an_answer_that_breaks_off(client: CurlClient, end: object, raw: bytes) -> None:
    handler: Handler = end(raw)  # type: ignore[operator]
    assert type(failure_of(client, handler)) is Broken


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH\r\n\r\n", b"\x00" * 100, b"<html></html>"])
def test_what_is_no_http(client: CurlClient, raw: bytes) -> None:
    assert type(failure_of(client, sending(raw))) is BadAnswer


def test_no_http2_where_it_was_asked_for(client: CurlClient) -> None:
    with http_server(answering()) as server, pytest.raises(BadAnswer, match="does not support HTTP/2"):
        client.request("GET", server.url, limit_s=LONG_S, http_version=HttpVersion.HTTP_2_PRIOR_KNOWLEDGE)


@pytest.mark.parametrize("told", [True, False], ids=["length told", "length not told"])
def test_an_answer_that_is_too_long(multi: CurlMulti, told: bool) -> None:
    client = CurlClient(multi, answer_bytes_max=1000)
    long = http_bytes(200, b"x" * 5000) if told else b"HTTP/1.1 200 Word\r\n\r\n" + b"x" * 5000
    assert type(failure_of(client, sending(long))) is TooLarge
    with http_server(answering(200, b"x" * 1000)) as server:
        assert len(get(client, server.url).body) == 1000


# --- redirects, cookies, proxies ---


def redirecting(status: int = 302) -> Handler:
    """Return a handler where /n leads to /n-1, and /0 answers."""

    def answer(request: Request, connection: object) -> bool:
        left = int(request.path[1:])
        raw = http_bytes(status, b"", headers=f"Location: /{left - 1}\r\n") if left else http_bytes(200, b"here")
        connection.sendall(raw)  # type: ignore[attr-defined]
        return True

    return answer


def test_redirects_are_followed_as_often_as_allowed(client: CurlClient) -> None:
    with http_server(redirecting()) as server:
        answer = get(client, f"{server.url}/3", follow=3)
        assert (answer.status, answer.body, answer.url) == (200, b"here", f"{server.url}/0")
        assert answer.header("location") is None
        with pytest.raises(BadAnswer, match="redirects"):
            get(client, f"{server.url}/3", follow=2)
        assert get(client, f"{server.url}/3").status == 302


@pytest.mark.parametrize(("status", "method"), [(303, "GET"), (307, "PUT"), (308, "PUT")])
def test_a_redirect_says_whether_the_method_stays(client: CurlClient, status: int, method: str) -> None:
    with http_server(redirecting(status)) as server:
        client.request("PUT", f"{server.url}/1", body=b"x", limit_s=LONG_S, follow=1)
    assert [(r.method, r.body) for r in server.requests] == [("PUT", b"x"), (method, b"x" if method == "PUT" else b"")]


def test_a_redirect_to_what_is_no_http_is_refused(client: CurlClient) -> None:
    with http_server(sending(http_bytes(302, b"", headers="Location: file:///etc/hostname\r\n"))) as server:
        with pytest.raises(BadAnswer):
            get(client, server.url, follow=1)


def test_cookies_are_kept_by_the_client_that_got_them(multi: CurlMulti) -> None:
    with http_server(answering(200, b"", headers="Set-Cookie: key=value; Path=/\r\n")) as server:
        keeping, other, forgetting = CurlClient(multi, cookies=True), CurlClient(multi, cookies=True), CurlClient(multi)
        for client in (keeping, keeping, other, forgetting, forgetting):
            get(client, server.url)
    sent = [request.headers.get("cookie") for request in server.requests]
    assert sent == [None, "key=value", None, None, None]


def test_a_proxy_forwards(client: CurlClient) -> None:
    with http_server(answering(200, b"hello")) as server, http_proxy() as proxy:
        answer = client.request("POST", f"{server.url}/a", body=b"x", limit_s=LONG_S, proxy=proxy.url)
        assert (answer.status, answer.body) == (200, b"hello")
        assert get(client, server.url).body == b"hello"  # the next one goes there itself
    assert [(request.method, request.path) for request in proxy.requests] == [("POST", f"{server.url}/a")]
    assert [(request.path, request.body) for request in server.requests] == [("/a", b"x"), ("/", b"")]


def test_a_proxy_that_is_not_there(client: CurlClient) -> None:
    with http_server(answering()) as server, pytest.raises(NotConnected):
        get(client, server.url, proxy=f"http://127.0.0.1:{refused_port()}")
    assert server.requests == []


def test_no_proxy_is_taken_from_the_environment(client: CurlClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{refused_port()}")
    monkeypatch.setenv("no_proxy", "*")
    with http_server(answering(200, b"hello")) as server, http_proxy() as proxy:
        assert get(client, server.url).body == b"hello"
        get(client, server.url, proxy=proxy.url)  # no_proxy does not undo what was asked for
    assert len(proxy.requests) == 1


# --- HTTP/2 and TLS ---


def answer_with_trailers(peer: Http2Peer, stream: int, body: bytes) -> None:
    peer.head(stream, {":status": "103", "link": "early"})
    peer.head(stream, {":status": "200", "x-head": "1"})
    peer.data(stream, b"got " + body)
    peer.head(stream, {"x-sum": "5"}, end=True)


def test_http2_at_once_with_trailers(client: CurlClient) -> None:
    with http2_server(answer_with_trailers) as server:
        url = f"http://{server.address}/"
        version = HttpVersion.HTTP_2_PRIOR_KNOWLEDGE
        answer = client.request("POST", url, body=b"x", limit_s=LONG_S, http_version=version)
    assert (answer.status, answer.body, answer.http_version) == (200, b"got x", "2")
    assert (answer.headers, answer.trailers) == ([("x-head", "1")], [("x-sum", "5")])


@pytest.mark.parametrize("code", [0x2, 0x7, 0x8, 0xB], ids=["internal", "refused", "cancel", "calm"])
def test_a_stream_that_is_reset_is_broken(client: CurlClient, code: int) -> None:
    with http2_server(lambda peer, stream, _: peer.reset(stream, code)) as server:
        version = HttpVersion.HTTP_2_PRIOR_KNOWLEDGE
        with pytest.raises(Broken):
            client.request("GET", f"http://{server.address}/", limit_s=LONG_S, http_version=version)
    assert len(server.bodies) == 1


def test_http2_over_tls_if_the_certificate_is_trusted(multi: CurlMulti) -> None:
    with http2_server(answer_with_trailers, tls=http2_context()) as server:
        url = f"https://{server.address}/"
        answer = get(CurlClient(multi, ca_file=certificate()[0]), url)
        assert (answer.status, answer.body, answer.http_version) == (200, b"got ", "2")
        assert get(CurlClient(multi, verify=False), url).status == 200
        with pytest.raises(NotConnected, match="certificate"):
            get(CurlClient(multi), url)
    assert len(server.bodies) == 2


def test_a_tunnel_through_a_proxy(multi: CurlMulti) -> None:
    client = CurlClient(multi, ca_file=certificate()[0])
    with http2_server(answer_with_trailers, tls=http2_context()) as server:
        with http_proxy() as proxy:
            answer = get(client, f"https://{server.address}/", proxy=proxy.url)
            assert (answer.status, answer.http_version) == (200, "2")
            assert [(request.method, request.path) for request in proxy.requests] == [("CONNECT", server.address)]
        with http_proxy(refusing=True) as proxy, pytest.raises(NotConnected, match="403"):
            get(client, f"https://{server.address}/", proxy=proxy.url)
    assert len(server.bodies) == 1


# --- heads ---


@given(st.lists(st.binary(max_size=40)))
@example([b"HTTP/2 \xb2"])
def test_any_lines_are_a_head(lines: list[bytes]) -> None:
    head = parse_head(lines)
    assert 0 <= head.status < 10**40
    assert all(name == name.lower() for name, _ in head.headers + head.trailers)


def test_the_last_head_counts() -> None:
    lines = [b"HTTP/1.1 302 Found\r\n", b"A: 1\r\n", b"\r\n", b"HTTP/2 200 \r\n", b"B: 2\r\n", b"\r\n", b"C: 3\r\n"]
    head = parse_head(lines)
    assert (head.status, head.headers, head.trailers) == (200, [("b", "2")], [("c", "3")])
