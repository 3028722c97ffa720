"""Logs and the shell: plain text, WebSockets, VEID scores and session tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from devnet.provider.auth import hmac_message, hmac_signature
from devnet.provider.embedded import Address, ManualClock, embedded, options_for
from devnet.provider.sessions import SessionRefused, ShellSessions

SECRET = "portal secret"
WAIT_S = 10
SCORE = {"X-VEID-Score": "80"}
GREETING = b"\x64Connected to VirtEngine shell.\r\n"
PREFIXES = ["", "/api/v1"]

Talk = Callable[[aiohttp.ClientWebSocketResponse], Awaitable[Any]]


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture
def portal(time: ManualClock) -> Iterator[Address]:
    with embedded(clock=time.clock) as address:
        yield address


def talk(portal: Address, path: str, conversation: Talk, headers: dict[str, str] | None = None) -> Any:
    """What `conversation` returns about a WebSocket on `path`."""

    async def hold() -> Any:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{portal.url}{path}", headers=headers or {}) as socket,
            asyncio.timeout(WAIT_S),
        ):
            return await conversation(socket)

    return asyncio.run(hold())


@pytest.mark.parametrize("prefix", PREFIXES)
def test_logs_are_empty_text(portal: Address, prefix: str) -> None:
    answer = portal.call("GET", f"{prefix}/deployments/d1/logs?tail=10&level=info&search=x")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    download = portal.call("GET", f"{prefix}/deployments/d1/logs?download=1")
    assert download.headers["Content-Disposition"] == 'attachment; filename="deployment-d1-logs.txt"'


def test_an_id_cannot_add_a_header(portal: Address) -> None:
    answer = portal.call("GET", "/deployments/d1%0d%0aX-Added:%201%00/logs?download=1")
    assert answer.status == 200
    assert "X-Added" not in answer.headers
    assert answer.headers["Content-Disposition"] == 'attachment; filename="deployment-d1  X-Added: 1 -logs.txt"'


def test_a_log_stream_ends_when_it_does_not_follow(portal: Address) -> None:
    async def first(socket: aiohttp.ClientWebSocketResponse) -> WSMsgType:
        return (await socket.receive()).type

    assert talk(portal, "/deployments/d1/logs?follow=0", first) is WSMsgType.CLOSE


def test_a_log_stream_stays_open_until_the_client_leaves(portal: Address) -> None:
    async def leave(socket: aiohttp.ClientWebSocketResponse) -> bool:
        await socket.ping()
        await socket.close()
        return socket.closed

    assert talk(portal, "/deployments/d1/logs", leave)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_shell_echoes_input(portal: Address, prefix: str) -> None:
    async def converse(socket: aiohttp.ClientWebSocketResponse) -> list[bytes]:
        said = [await socket.receive_bytes()]
        await socket.send_bytes(b"\x68ls -l\n")
        said.append(await socket.receive_bytes())
        # Nothing answers a resize, an empty input, an unknown code, an empty frame or text.
        for frame in (b"\x69\x00\x50", b"\x68", b"\x01x", b"\x64out", b""):
            await socket.send_bytes(frame)
        await socket.send_str("text")
        await socket.send_bytes(b"\x68\x00\xff")
        said.append(await socket.receive_bytes())
        return said

    said = talk(portal, f"{prefix}/deployments/d1/shell", converse, SCORE)
    assert said == [GREETING, b"\x64ls -l\n", b"\x64\x00\xff"]


def test_the_shell_needs_a_websocket(portal: Address) -> None:
    answer = portal.call("GET", "/deployments/d1/shell", headers=SCORE)
    assert (answer.status, answer.text) == (400, "Bad Request\n")
    half = {"Connection": "Upgrade", "Upgrade": "websocket"} | SCORE
    assert portal.call("GET", "/deployments/d1/shell", headers=half).status == 400


SCORES = [
    ({}, 403, "missing VEID score\n"),
    ({"X-VEID-Score": "79"}, 403, "VEID score 79 below minimum 80\n"),
    ({"X-VEID-Score": "high"}, 403, "invalid VEID score\n"),
    ({"X-VEID-Score": "80.5"}, 403, "invalid VEID score\n"),
]


@pytest.mark.parametrize(("headers", "status", "text"), SCORES)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/deployments/d1/shell/session"), ("GET", "/deployments/d1/shell")]
)
def test_the_shell_asks_for_a_score(
    portal: Address, method: str, path: str, headers: dict[str, str], status: int, text: str
) -> None:
    answer = portal.call(method, path, headers=headers)
    assert (answer.status, answer.text) == (status, text)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_score_may_be_in_the_query(portal: Address) -> None:
    assert portal.call("POST", "/deployments/d1/shell/session?veid_score=100").status == 200


def test_the_score_is_an_option(time: ManualClock) -> None:
    with embedded(options_for(portal_require_veid="false"), time.clock) as portal:
        assert portal.call("POST", "/deployments/d1/shell/session").status == 200
    with embedded(options_for(portal_min_veid_score="50"), time.clock) as portal:
        assert portal.call("POST", "/deployments/d1/shell/session", headers={"X-VEID-Score": "50"}).status == 200


def test_a_session_is_issued(portal: Address) -> None:
    body = {"container": "web"}
    issued = portal.call("POST", "/api/v1/deployments/d1/shell/session", body=body, headers=SCORE)
    assert issued.status == 200
    assert issued.json == {
        "token": issued.json["token"],
        "deployment": "d1",
        "container": "web",
        "session_ttl": 600,
        "expires_at": "2025-06-15T15:16:40Z",
    }
    assert len(issued.json["token"]) == 64
    careless = portal.call("POST", "/deployments/d1/shell/session", body=b"not JSON", headers=SCORE)
    assert (careless.status, careless.json["container"]) == (200, "")


def test_a_session_opens_its_shell_until_it_expires(portal: Address, time: ManualClock) -> None:
    token = portal.call("POST", "/deployments/d1/shell/session", headers=SCORE).json["token"]
    path = f"/deployments/d1/shell?token={token}"

    async def outlive(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
        said: list[Any] = [await socket.receive_bytes()]
        await socket.send_bytes(b"\x68first")
        said.append(await socket.receive_bytes())
        time.advance(601)
        await socket.send_bytes(b"\x68last")
        ended = await socket.receive()
        # The daemon looks at the clock between frames. If it did so before the clock moved, it waits for a frame,
        # and answers that one before it looks again.
        if ended.type is WSMsgType.BINARY:
            assert ended.data == b"\x64last"
            ended = await socket.receive()
        return [*said, ended.data, ended.extra]

    assert talk(portal, path, outlive, SCORE) == [GREETING, b"\x64first", 1008, "session expired"]
    expired = portal.call("GET", path, headers=SCORE)
    assert (expired.status, expired.text) == (401, "session expired\n")


def test_a_token_opens_no_other_shell(portal: Address) -> None:
    token = portal.call("POST", "/deployments/d1/shell/session", headers=SCORE).json["token"]
    for path, text in (
        (f"/deployments/d2/shell?token={token}", "session deployment mismatch\n"),
        ("/deployments/d1/shell?token=00", "invalid session token\n"),
    ):
        answer = portal.call("GET", path, headers=SCORE)
        assert (answer.status, answer.text) == (401, text)


def test_sessions_belong_to_a_principal_and_their_number_has_a_bound(time: ManualClock) -> None:
    sessions = ShellSessions(clock=time.clock, ttl_s=60, sessions_max=2)
    first, second, third = (sessions.issue("d1", "alice") for _ in range(3))
    with pytest.raises(SessionRefused, match="invalid session token"):
        sessions.check(first.token, "d1", "alice")
    with pytest.raises(SessionRefused, match="session principal mismatch"):
        sessions.check(second.token, "d1", "bob")
    assert sessions.check(third.token, "d1", "alice") == third


STREAMS = [
    ("GET", "/deployments/d1/logs"),
    ("POST", "/deployments/d1/shell/session"),
    ("GET", "/deployments/d1/shell"),
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("method", "path"), STREAMS)
def test_errors_of_streams_are_plain_text(time: ManualClock, prefix: str, method: str, path: str) -> None:
    options = options_for(portal_allow_insecure="false", portal_auth_secret=SECRET)
    with embedded(options, time.clock) as portal:
        nobody = portal.call(method, prefix + path, headers=SCORE)
        assert (nobody.status, nobody.text) == (401, "missing signed request headers\n")
        timestamp = str(int(time.wall_at_s))
        message = hmac_message(method=method, path=prefix + path, raw_query="", principal="a", timestamp=timestamp)
        proof = {"X-VE-Principal": "a", "X-VE-Timestamp": timestamp, "X-VE-Signature": hmac_signature(SECRET, message)}
        somebody = portal.call(method, prefix + path, headers=SCORE | proof)
        assert (somebody.status, somebody.text) == (403, "lease query unavailable\n")
