"""LoadClient: it asks as Locust's users expect, and every request is reported once, whatever becomes of it."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from typing import Any

import gevent
import pytest
from locust.env import Environment
from locust.exception import LocustError, ResponseError, StopUser

from bundle import ErrorKind, Outcome
from loadtests.kit.calls import CallFailed
from loadtests.kit.client import LoadClient
from tests.unit.loadtests.kit_servers import (
    Request,
    answering,
    http_bytes,
    http_server,
    refused_port,
    sending,
    stalling,
    wait_for,
)
from tests.unit.loadtests.kit_session import an_environment

Fired = list[dict[str, Any]]
LONG_S = 20.0


@pytest.fixture
def environment() -> Environment:
    return an_environment()


@pytest.fixture
def fired(environment: Environment) -> Fired:
    found: Fired = []
    environment.events.request.add_listener(lambda **event: found.append(event))
    return found


def paths(answers: dict[str, bytes]) -> Any:
    """Return a handler that sends the raw answer of each path, and 404 elsewhere."""

    def answer(request: Request, connection: socket.socket) -> bool:
        connection.sendall(answers.get(request.path) or http_bytes(404, b""))
        return True

    return answer


def redirect(status: int, location: str) -> bytes:
    return http_bytes(status, b"moved", headers=f"Location: {location}\r\n")


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options", "head"])
def test_each_method_asks_and_is_reported_once(environment: Environment, fired: Fired, method: str) -> None:
    with http_server(answering(200, b"" if method == "head" else b'{"a": 1}', headers="X-Key: v\r\n")) as server:
        response = getattr(LoadClient(environment, server.url), method)("/page?x=1", name="page")
    assert (response.status_code, response.ok, response.headers["x-key"]) == (200, True, "v")
    assert response.url == f"{server.url}/page?x=1"
    assert [(each.method, each.path) for each in server.requests] == [(method.upper(), "/page?x=1")]
    if method != "head":
        assert (response.content, response.text, response.json()) == (b'{"a": 1}', '{"a": 1}', {"a": 1})
    assert [(e["request_type"], e["name"], e["exception"]) for e in fired] == [(method.upper(), "page", None)]
    assert (fired[0]["response"], fired[0]["url"]) == (response, response.url)
    assert fired[0]["response_length"] == len(response.content)
    assert response.elapsed > 0
    assert fired[0]["context"]["call"].endpoint == server.url.removeprefix("http://")


def test_without_a_name_the_path_is_the_operation(environment: Environment, fired: Fired) -> None:
    with http_server(answering()) as server:
        client = LoadClient(environment, server.url)
        client.get("/a")
        client.get(f"{server.url}/b")
    assert [event["name"] for event in fired] == ["/a", f"{server.url}/b"]


def test_latency_counts_from_the_intended_time(environment: Environment, fired: Fired) -> None:
    with http_server(answering()) as server:
        call = LoadClient(environment, server.url).get("/", intended_at_s=1000.0).call
    assert call.intended_at_s == 1000.0 < call.sent_at_s < (call.ended_at_s or 0)
    assert fired[0]["response_time"] == call.latency_ms == ((call.ended_at_s or 0) - 1000.0) * 1000


@pytest.mark.parametrize(
    ("options", "body", "kind"),
    [
        ({"data": b"\x00\xff"}, b"\x00\xff", None),
        ({"data": "grüße"}, "grüße".encode(), None),
        ({"data": {"a": "1 2", "b": ["x", "y"]}}, b"a=1+2&b=x&b=y", "application/x-www-form-urlencoded"),
        ({"data": [("a", "1"), ("a", "2")]}, b"a=1&a=2", "application/x-www-form-urlencoded"),
        ({"json": {"a": None}}, b'{"a": null}', "application/json"),
        ({"json": [], "headers": {"content-type": "application/x"}}, b"[]", "application/x"),
        ({"data": b"x", "json": {}}, b"x", None),
        ({}, b"", None),
    ],
)
def test_bodies_are_sent_as_what_they_are(
    environment: Environment, options: dict[str, Any], body: bytes, kind: str | None
) -> None:
    with http_server(answering()) as server:
        LoadClient(environment, server.url).post("/", **options)
    assert (server.requests[0].body, server.requests[0].headers.get("content-type")) == (body, kind)


def test_parameters_and_odd_characters_are_quoted(environment: Environment) -> None:
    with http_server(answering()) as server:
        client = LoadClient(environment, server.url + "/api/")
        client.get("/a b/ü", params={"q": "x&y", "l": [1, 2]})
        client.get("/c?d=%20#part", params=[("e", "f")])
    assert [each.path for each in server.requests] == ["/api/a%20b/%C3%BC?q=x%26y&l=1&l=2", "/api/c?d=%20&e=f"]


def test_credentials_come_from_the_call_the_client_or_the_url(environment: Environment) -> None:
    with http_server(answering()) as server:
        LoadClient(environment, server.url).get("/", auth=("user", "pass:word"))
        LoadClient(environment, server.url, auth=("a", "b")).get("/")
        LoadClient(environment, server.url.replace("//", "//a%40b:c@")).get("/")
        LoadClient(environment, server.url).get("/")
    sent = [each.headers.get("authorization") for each in server.requests]
    assert sent == ["Basic dXNlcjpwYXNzOndvcmQ=", "Basic YTpi", "Basic YUBiOmM=", None]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, ErrorKind.CLIENT_ERROR),
        (500, ErrorKind.SERVER_ERROR),
        (503, ErrorKind.SERVER_ERROR),
        (429, ErrorKind.BACK_PRESSURE),
    ],
)
def test_statuses_from_400_on_are_failures_and_never_raised(
    environment: Environment, fired: Fired, status: int, kind: ErrorKind
) -> None:
    with http_server(answering(status)) as server:
        response = LoadClient(environment, server.url).get("/")
    assert (response.status_code, response.ok) == (status, False)
    assert response.call.failure is not None
    assert (response.call.failure.kind, response.call.outcome) == (kind, Outcome.FAIL)
    assert (fired[0]["exception"] is None) == (kind is ErrorKind.BACK_PRESSURE)
    with pytest.raises(CallFailed):
        response.raise_for_status()


def test_what_has_no_answer_has_status_0_and_an_error(environment: Environment, fired: Fired) -> None:
    with http_server(sending(b"")) as broken, http_server(stalling()) as stalled:
        ends = [
            LoadClient(environment, url, limit_s=limit_s).get("/")
            for url, limit_s in (
                (f"http://127.0.0.1:{refused_port()}", LONG_S),
                (broken.url, LONG_S),
                (stalled.url, 0.05),
            )
        ]
    assert [(end.status_code, end.content, end.text, end.ok, dict(end.headers)) for end in ends] == [
        (0, b"", "", False, {})
    ] * 3
    kinds = [(end.error.kind, end.error.outcome) for end in ends if end.error]
    assert kinds == [
        (ErrorKind.REFUSED, Outcome.FAIL),
        (ErrorKind.BROKEN, Outcome.UNKNOWN),
        (ErrorKind.TIMEOUT, Outcome.UNKNOWN),
    ]
    assert [event["exception"] for event in fired] == [end.error for end in ends]


@pytest.mark.parametrize(
    ("path", "options"),
    [("/", {"headers": {"X": "a\r\nY: b"}}), ("/", {"headers": {"X y": "a"}}), ("gopher://x", {})],
)
def test_what_cannot_be_sent_is_the_scenarios_error_and_not_counted(
    environment: Environment, fired: Fired, path: str, options: dict[str, Any]
) -> None:
    with http_server(answering()) as server:
        with pytest.raises(ValueError):
            LoadClient(environment, server.url if path == "/" else "").get(path, **options)
    assert fired == []
    assert server.requests == []


# --- judging by hand ---


def test_a_block_reports_at_its_end(environment: Environment, fired: Fired) -> None:
    with http_server(answering()) as server:
        with LoadClient(environment, server.url).get("/", catch_response=True) as response:
            assert fired == []
            response.call.tx_hash = "AB"
    assert [(event["exception"], event["context"]["call"].tx_hash) for event in fired] == [(None, "AB")]


def test_success_and_failure_count_for_more_than_the_status(environment: Environment, fired: Fired) -> None:
    with http_server(answering(404)) as server:
        client = LoadClient(environment, server.url)
        with client.get("/", catch_response=True) as response:
            response.success()
            response.raise_for_status()
        with client.get("/", catch_response=True) as response:
            response.failure("not that one")
        with client.get("/", catch_response=True) as response:
            response.failure(CallFailed(ErrorKind.NOT_INCLUDED, "no block", outcome=Outcome.UNKNOWN))
        with client.get("/", catch_response=True):
            pass
    assert fired[0]["exception"] is None
    failures = [event["context"]["call"].failure for event in fired[1:]]
    assert [(each.kind, each.outcome, each.detail) for each in failures] == [
        (ErrorKind.BAD_ANSWER, Outcome.FAIL, "not that one"),
        (ErrorKind.NOT_INCLUDED, Outcome.UNKNOWN, "no block"),
        (ErrorKind.CLIENT_ERROR, Outcome.FAIL, "HTTP 404"),
    ]


def test_errors_that_judge_the_response_end_in_the_block(environment: Environment, fired: Fired) -> None:
    with http_server(answering()) as server:
        client = LoadClient(environment, server.url)
        with client.get("/", catch_response=True):
            raise ResponseError("no good")
        with client.get("/", catch_response=True):
            raise CallFailed(ErrorKind.BAD_ANSWER, "neither")
    assert [event["exception"].detail for event in fired] == ["no good", "neither"]


@pytest.mark.parametrize("error", [KeyError("x"), StopUser(), gevent.GreenletExit()], ids=repr)
def test_other_errors_go_on_and_the_request_is_counted(
    environment: Environment, fired: Fired, error: BaseException
) -> None:
    with http_server(answering()) as server:
        with pytest.raises(type(error)), LoadClient(environment, server.url).get("/", catch_response=True):
            raise error
    assert [event["context"]["call"].failure.kind for event in fired] == [ErrorKind.BROKEN]


def test_a_response_is_marked_only_in_its_block(environment: Environment) -> None:
    with http_server(answering()) as server:
        response = LoadClient(environment, server.url).get("/")
    for misuse in (response.success, lambda: response.failure("x"), response.__enter__):
        with pytest.raises(LocustError):
            misuse()


def test_a_user_killed_in_mid_request_is_reported_once(environment: Environment, fired: Fired) -> None:
    with http_server(stalling()) as server:
        client = LoadClient(environment, server.url, limit_s=LONG_S)
        user = gevent.spawn(client.get, "/", catch_response=True)
        wait_for(lambda: len(server.requests) == 1, "the request")
        user.kill()
    assert [event["context"]["call"].failure.kind for event in fired] == [ErrorKind.BROKEN]
    assert fired[0]["context"]["call"].ended_at_s is None


# --- redirects, cookies, compression ---


def test_redirects_are_followed_within_one_call(environment: Environment, fired: Fired) -> None:
    with http_server(answering(200, b"there")) as other:
        answers = {
            "/a": redirect(301, "b?x=1"),
            "/b?x=1": redirect(302, f"{other.url}/c"),
        }
        with http_server(paths(answers)) as server:
            client = LoadClient(environment, server.url, auth=("a", "b"))
            response = client.get("/a")
            kept = client.get("/a", allow_redirects=False)
    assert (response.status_code, response.content, response.url) == (200, b"there", f"{other.url}/c")
    assert response.call.endpoint == other.url.removeprefix("http://")
    assert (kept.status_code, kept.headers["location"]) == (301, "b?x=1")
    assert [event["name"] for event in fired] == ["/a", "/a"]
    # Credentials do not go to another origin.
    assert "authorization" in server.requests[1].headers
    assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "PUT", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
        (301, "PUT", "PUT"),
    ],
)
def test_what_is_asked_for_behind_a_redirect(environment: Environment, status: int, method: str, then: str) -> None:
    raw = f"HTTP/1.1 {status} Moved\r\nContent-Length: 0\r\nLocation: /b\r\n\r\n".encode()
    with http_server(paths({"/a": raw, "/b": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"})) as server:
        LoadClient(environment, server.url).request(method, "/a", json={"x": 1} if method != "HEAD" else None)
    last = server.requests[-1]
    assert (last.method, last.path) == (then, "/b")
    assert (last.body, "content-type" in last.headers) == (
        (b"", False) if then != method else (last.body, method != "HEAD")
    )
    if then == method and method != "HEAD":
        assert json.loads(last.body) == {"x": 1}


def test_redirects_without_end_and_to_nowhere_are_bad_answers(environment: Environment, fired: Fired) -> None:
    answers = {"/loop": redirect(302, "/loop"), "/odd": redirect(302, "ftp://x/"), "/none": http_bytes(302, b"")}
    with http_server(paths(answers)) as server:
        client = LoadClient(environment, server.url, redirects_max=3)
        ends = [client.get(path) for path in ("/loop", "/odd", "/none")]
        assert len(server.requests) == 4 + 1 + 1
    assert [end.error.kind if end.error else None for end in ends] == [ErrorKind.BAD_ANSWER] * 2 + [None]
    assert [end.status_code for end in ends] == [0, 0, 302]
    assert len(fired) == 3


def test_the_limit_counts_for_all_redirects_together(environment: Environment, fired: Fired) -> None:
    def slowly(request: Request, connection: socket.socket) -> bool:
        gevent.sleep(0.02)
        connection.sendall(redirect(302, "/on"))
        return True

    with http_server(slowly) as server:
        response = LoadClient(environment, server.url, redirects_max=10_000).get("/", limit_s=0.2)
    assert response.error is not None
    assert response.error.kind is ErrorKind.TIMEOUT
    assert len(fired) == 1


def test_cookies_are_kept_by_each_client_for_itself(environment: Environment) -> None:
    answers = {
        "/in": http_bytes(200, b"", headers="Set-Cookie: a=1\r\nset-cookie: b=2; Path=/b\r\n"),
        "/moved": http_bytes(302, b"", headers="SET-COOKIE: c=3\r\nLocation: /x\r\n"),
    }
    with http_server(paths(answers)) as server:
        one, other = LoadClient(environment, server.url), LoadClient(environment, server.url)
        for client, path in ((one, "/x"), (one, "/in"), (one, "/x"), (one, "/b"), (other, "/x"), (one, "/moved")):
            client.get(path)
    sent = [(each.path, each.headers.get("cookie")) for each in server.requests]
    assert sent == [
        ("/x", None),
        ("/in", None),
        ("/x", "a=1"),
        ("/b", "b=2; a=1"),
        ("/x", None),
        ("/moved", "a=1"),
        ("/x", "a=1; c=3"),
    ]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
def test_bodies_are_unpacked_when_compression_was_asked_for(environment: Environment, coding: str) -> None:
    packed = {
        "gzip": gzip.compress(b"hello" * 99),
        "deflate": zlib.compress(b"hello" * 99),
        "raw deflate": zlib.compress(b"hello" * 99)[2:-4],
    }[coding]
    raw = http_bytes(200, packed, headers=f"Content-Encoding: {coding.split()[-1]}\r\n")
    with http_server(paths({"/": raw})) as server:
        assert LoadClient(environment, server.url, compressed=True).get("/").content == b"hello" * 99
        assert LoadClient(environment, server.url).get("/").content == packed
    assert [each.headers.get("accept-encoding") for each in server.requests] == ["gzip, deflate", None]


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(b"hello" * 99)[:-9]], ids=["none", "cut"])
def test_what_cannot_be_unpacked_is_a_bad_answer(environment: Environment, fired: Fired, body: bytes) -> None:
    with http_server(paths({"/": http_bytes(200, body, headers="Content-Encoding: gzip\r\n")})) as server:
        response = LoadClient(environment, server.url, compressed=True).get("/")
    assert response.error is not None
    assert (response.status_code, response.error.kind) == (0, ErrorKind.BAD_ANSWER)
    assert len(fired) == 1


def test_text_is_read_in_the_charset_that_the_answer_names(environment: Environment) -> None:
    answers = {
        "/latin": http_bytes(200, b"\xfc", headers='Content-Type: text/plain; charset="ISO-8859-1"\r\n'),
        "/none": http_bytes(200, "ü".encode()),
        "/odd": http_bytes(200, "ü".encode(), headers="Content-Type: text/plain; charset=klingon\r\n"),
    }
    with http_server(paths(answers)) as server:
        client = LoadClient(environment, server.url)
        assert [client.get(path).text for path in answers] == ["ü"] * 3
