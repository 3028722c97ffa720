"""Logs and the shell of a deployment: plain text or a WebSocket. The shell is an echo, as in the real daemon.

There are never log lines, because nothing runs. Errors are plain text, not JSON.
Source: `pkg/provider_daemon/portal_api.go` (handleLogs, handleShellSession, handleShell).
"""

from __future__ import annotations

import asyncio
import re
from enum import IntEnum

from aiohttp import WSCloseCode, WSMsgType, web

from devnet.provider.answers import Refused, json_answer, plain_error
from devnet.provider.auth import Principal
from devnet.provider.bodies import decode_object
from devnet.provider.flags import Options
from devnet.provider.gotext import format_rfc3339, parse_int
from devnet.provider.guards import Guard, Handler
from devnet.provider.sessions import SessionRefused, ShellSession, ShellSessions

GREETING = b"Connected to VirtEngine shell.\r\n"
# How long a closing WebSocket waits for the other side, so that the daemon ends within a second.
CLOSE_TIMEOUT_S = 0.3

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ShellCode(IntEnum):
    """The first byte of a binary frame. Only STDIN is answered; FAILURE, RESULT and STDERR are never sent."""

    STDOUT = 100
    STDERR = 101
    RESULT = 102
    FAILURE = 103
    STDIN = 104
    RESIZE = 105


class Streams:
    """Handlers for logs and shell, and the WebSockets that are open."""

    def __init__(self, *, options: Options, guard: Guard, sessions: ShellSessions) -> None:
        self._options = options
        self._guard = guard
        self._sessions = sessions
        self._open: set[web.WebSocketResponse] = set()

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """200 with no lines, or a WebSocket that stays open and silent until the client leaves."""
        await self._guard.lease_holder(request)
        if _wants_websocket(request):
            socket = await self._upgraded(request)
            try:
                if request.query.get("follow") != "0":
                    async for _ in socket:
                        pass
            finally:
                await self._close(socket)
            return socket
        answer = web.Response(text="")
        if request.query.get("download") == "1":
            # Go puts a space for a line end in a header's value; other control characters aiohttp refuses to send.
            deployment_id = _CONTROL.sub(" ", request.match_info["deployment_id"])
            name = f"deployment-{deployment_id}-logs.txt"
            answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    async def issue_session(self, request: web.Request) -> web.StreamResponse:
        """200 with a token; 401, or 403 for want of a lease or a VEID score."""
        principal = await self._guard.lease_holder(request)
        self._check_veid(request)
        deployment_id = request.match_info["deployment_id"]
        session = self._sessions.issue(deployment_id, principal.name)
        return json_answer(
            {
                "container": await _container(request),
                "deployment": deployment_id,
                "expires_at": format_rfc3339(session.expires_at_s, fraction=False),
                "session_ttl": int(self._options.shell_session_ttl_s),
                "token": session.token,
            }
        )

    async def shell(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket that echoes; 401, 403, or 400 where the client does not ask for a WebSocket."""
        principal = await self._guard.lease_holder(request)
        self._check_veid(request)
        session = self._session(request, principal)
        if not _wants_websocket(request):
            raise Refused(400, "Bad Request")
        socket = await self._upgraded(request)
        try:
            await socket.send_bytes(bytes([ShellCode.STDOUT]) + GREETING)
            await self._echo(socket, session)
        except ConnectionError:
            pass  # The client left while an answer was on its way; the socket closes below.
        finally:
            await self._close(socket)
        return socket

    async def close_all(self, _app: web.Application) -> None:
        """Close every open WebSocket, so that a stop need not wait for clients."""
        closing = (socket.close(code=WSCloseCode.GOING_AWAY) for socket in tuple(self._open))
        await asyncio.gather(*closing, return_exceptions=True)

    async def _echo(self, socket: web.WebSocketResponse, session: ShellSession | None) -> None:
        # The real daemon looks at the clock only between frames: the first frame after expiry is still answered.
        while session is None or not self._sessions.is_over(session):
            message = await socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            if message.type is WSMsgType.BINARY and message.data[:1] == bytes([ShellCode.STDIN]) and message.data[1:]:
                await socket.send_bytes(bytes([ShellCode.STDOUT]) + message.data[1:])
        await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"session expired")

    async def _upgraded(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=CLOSE_TIMEOUT_S, compress=False)
        if not socket.can_prepare(request).ok:
            raise Refused(400, "Bad Request")
        await socket.prepare(request)
        self._open.add(socket)
        return socket

    async def _close(self, socket: web.WebSocketResponse) -> None:
        self._open.discard(socket)
        await socket.close()

    def _check_veid(self, request: web.Request) -> None:
        """Return if the client claims a high enough score; the daemon believes the claim."""
        if not self._options.require_veid:
            return
        text = request.headers.get("X-VEID-Score", "") or request.query.get("veid_score", "")
        if not text:
            raise Refused(403, "missing VEID score")
        try:
            score = parse_int(text)
        except ValueError as problem:
            raise Refused(403, "invalid VEID score") from problem
        if score < self._options.veid_score_min:
            raise Refused(403, f"VEID score {score} below minimum {self._options.veid_score_min}")

    def _session(self, request: web.Request, principal: Principal) -> ShellSession | None:
        """The session of the request's token; None without one, where insecure requests are allowed."""
        token = request.query.get("token", "")
        if not token:
            if self._options.allow_insecure:
                return None
            raise Refused(401, "missing session token")
        try:
            return self._sessions.check(token, request.match_info["deployment_id"], principal.name)
        except SessionRefused as problem:
            raise Refused(401, str(problem)) from problem


def in_plain_text(handler: Handler) -> Handler:
    """`handler`, with its refusals as plain text."""

    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refusal:
            return plain_error(refusal.status, refusal.text)

    return answered


def _wants_websocket(request: web.Request) -> bool:
    connection = (token.strip().lower() for token in request.headers.get("Connection", "").split(","))
    return "upgrade" in connection and request.headers.get("Upgrade", "").strip().lower() == "websocket"


async def _container(request: web.Request) -> str:
    """The container that the body names, or "": the daemon ignores a body that it cannot read."""
    try:
        return decode_object(await request.read()).text("container")
    except Refused:
        return ""
