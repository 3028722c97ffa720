"""A proxy between load and a network's nodes that lies about known transactions, and writes down what it did.

    python -m tests.e2e.filter_proxy LOG SCRIPT NODE_URL…

Each node gets a port of the proxy; the ports are printed, one line, when it listens. All is passed on but the
transactions that SCRIPT picks. SCRIPT is JSON: how many of a thousand transactions each Action gets, by the
transaction's hash, so that it is known beforehand which. LOG gets one JSON line a broadcast. It runs until its standard
input ends.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from aiohttp import ClientSession, ClientTimeout, ClientWebSocketResponse, TCPConnector, WSMsgType, web

BEYOND_THE_CLIENTS_LIMIT_S = 6.0
"""The load waits 5 s for an answer."""
_JSON = "application/json"


class Action(StrEnum):
    """What happens to a transaction."""

    PASS = "pass"
    DROP = "drop"
    """Answered as accepted, and forwarded nowhere."""
    DUPLICATE = "duplicate"
    """Forwarded twice."""
    DELAY = "delay"
    """Forwarded when the client has given up."""
    MUTE = "mute"
    """Forwarded nowhere, and not answered before the client has given up."""
    REJECT_CHECKTX = "reject_checktx"
    REJECT_SEQUENCE = "reject_sequence"
    REJECT_RATE_LIMIT = "reject_rate_limit"
    REJECT_MEMPOOL_FULL = "reject_mempool_full"
    REJECT_IN_CACHE = "reject_in_cache"
    BREAK = "break"
    """Answered with an HTTP error, and forwarded nowhere."""
    REJECT_AND_FORWARD = "reject_and_forward"
    """Answered as rejected, and forwarded all the same."""


Script = Mapping[Action, int]

_REFUSALS: dict[Action, tuple[str, int, str]] = {
    Action.REJECT_CHECKTX: ("sdk", 11, "out of gas in location: ReadFlat: out of gas"),
    Action.REJECT_SEQUENCE: ("sdk", 32, "account sequence mismatch, expected 4, got 7: incorrect account sequence"),
    Action.REJECT_RATE_LIMIT: ("ratelimit", 1, "account rate limited: too many transactions in this block"),
    Action.REJECT_AND_FORWARD: ("sdk", 13, "insufficient fee: insufficient fee"),
}
_NODE_ERRORS = {
    Action.REJECT_MEMPOOL_FULL: "mempool is full: number of txs 5000 (max: 5000), total txs bytes 1 (max: 2)",
    Action.REJECT_IN_CACHE: "tx already exists in cache",
}


def action_of(tx_hash: str, script: Script) -> Action:
    """Return what the script has in store for a transaction."""
    place = int(tx_hash[:12], 16) % 1000
    for action, count in script.items():
        if place < count:
            return Action(action)
        place -= count
    return Action.PASS


class FilterProxy:
    """One node's filter."""

    def __init__(self, node_url: str, script: Script, log: TextIO, session: ClientSession) -> None:
        self._node_url = node_url
        self._script = script
        self._log = log
        self._session = session

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._stream(request)
        body = await request.read()
        call = _call_in(body)
        if call is not None and call.get("method") == "broadcast_tx_sync":
            # Whatever becomes of the client, what was begun is done.
            return await asyncio.shield(asyncio.ensure_future(self._broadcast(call, body)))
        status, answer = await self._forward(request.method, request.path_qs, body)
        return web.Response(status=status, body=answer, content_type=_JSON)

    async def _broadcast(self, call: dict[str, Any], body: bytes) -> web.Response:
        tx_hash = hashlib.sha256(base64.b64decode(call["params"]["tx"])).hexdigest().upper()
        action = action_of(tx_hash, self._script)
        forwards = {Action.PASS: 1, Action.DELAY: 1, Action.REJECT_AND_FORWARD: 1, Action.DUPLICATE: 2}.get(action, 0)
        if action in (Action.DELAY, Action.MUTE):
            await asyncio.sleep(BEYOND_THE_CLIENTS_LIMIT_S)
        answers = [await self._forward("POST", "/", body) for _ in range(forwards)]
        line = {"tx_hash": tx_hash, "action": action, "node_took": [_is_accepted(answer) for _, answer in answers]}
        print(json.dumps(line), file=self._log, flush=True)
        if action is Action.BREAK:
            return web.Response(status=502, text="bad gateway")
        if action in _NODE_ERRORS:
            return _answer(call, error={"code": -32603, "message": "Internal error", "data": _NODE_ERRORS[action]})
        if action in _REFUSALS:
            codespace, code, log = _REFUSALS[action]
            return _answer(call, result={"code": code, "codespace": codespace, "log": log, "data": "", "hash": tx_hash})
        if not answers:
            return _answer(call, result={"code": 0, "codespace": "", "log": "", "data": "", "hash": tx_hash})
        status, answer = answers[0]
        return web.Response(status=status, body=answer, content_type=_JSON)

    async def _forward(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": _JSON} if body else {}
        async with self._session.request(method, self._node_url + path, data=body, headers=headers) as answer:
            return answer.status, await answer.read()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Pass a WebSocket through, until either side ends it."""
        client = web.WebSocketResponse(max_msg_size=0)
        await client.prepare(request)
        async with self._session.ws_connect(self._node_url + request.path_qs, max_msg_size=0) as node:
            ways = {asyncio.ensure_future(_pump(client, node)), asyncio.ensure_future(_pump(node, client))}
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
        await client.close()
        return client


async def _pump(
    source: web.WebSocketResponse | ClientWebSocketResponse, sink: web.WebSocketResponse | ClientWebSocketResponse
) -> None:
    with contextlib.suppress(ConnectionError):  # the other side may have gone: then this one ends as well
        async for message in source:
            if message.type is WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await sink.send_bytes(message.data)


def _call_in(body: bytes) -> dict[str, Any] | None:
    try:
        call = json.loads(body)
    except ValueError:
        return None
    return call if isinstance(call, dict) else None


def _is_accepted(answer: bytes) -> bool:
    result = (_call_in(answer) or {}).get("result")
    return isinstance(result, dict) and result.get("code") == 0


def _answer(call: dict[str, Any], **content: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": call["id"], **content})


async def _serve(log: TextIO, script: Script, node_urls: list[str]) -> None:
    connector = TCPConnector(limit=0, force_close=True)  # a kept one may end just when it is used
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=30), auto_decompress=False) as session:
        runners, ports = [], []
        for url in node_urls:
            app = web.Application(client_max_size=2**24)
            app.router.add_route("*", "/{path:.*}", FilterProxy(url, script, log, session).handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=BEYOND_THE_CLIENTS_LIMIT_S)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            runners.append(runner)
            ports.append(runner.addresses[0][1])
        print(*ports, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for runner in runners:
            await runner.cleanup()


if __name__ == "__main__":
    with Path(sys.argv[1]).open("w", encoding="utf-8") as file:
        asyncio.run(_serve(file, json.loads(sys.argv[2]), sys.argv[3:]))
