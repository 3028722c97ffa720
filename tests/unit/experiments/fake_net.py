"""A small network of fake nodes and providers with a real control port: HTTP on a Unix socket, as the devnet has it.

Nodes answer RPC on loopback ports. Killed, a node refuses connections; paused, it takes them and is mute; with links
cut, it loses peers. Heights rise only when a test says so.
"""

from __future__ import annotations

import base64
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from target.file import ControlKind, Environment, NodeEntry, ProviderEntry, TargetFile, target_toml
from target.target import Target, load_target

CHAIN_ID = "fake-1"
GENESIS = b'{"chain_id": "fake-1"}'
JOIN_LIMIT_S = 10.0


class _Handler(BaseHTTPRequestHandler):
    """Answers with what the server's owner says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        return

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.server.owner.reply(self.command, self.path, body)  # type: ignore[attr-defined]
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    do_GET = do_POST = do_PUT = _reply  # noqa: N815


class _ControlHandler(_Handler):
    """The same on a Unix socket, which has no Nagle algorithm."""

    disable_nagle_algorithm = False


class _TcpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        """End the connections that are open, as the end of a process does."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self) -> tuple[Any, Any]:
        connection, _ = super().get_request()
        return connection, ("control", 0)  # the handler wants an address of two parts


class FakePart:
    """A node or a provider: can be killed, started, paused, resumed."""

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind
        self.state = "running"
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._port = 0
        self._server: _TcpServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        if self._server is None:
            server = _TcpServer(("127.0.0.1", self._port), _Handler)
            server.owner = self  # type: ignore[attr-defined]
            self._port = int(server.server_port)
            self._server = server
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True).start()
        self.state = "running"

    def kill(self) -> None:
        self._goes_on.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.break_connections()
            self._server = None
        self.state = "exited"

    def pause(self) -> None:
        if self.state == "running":
            self._goes_on.clear()
            self.state = "paused"

    def resume(self) -> None:
        self._goes_on.set()
        if self.state == "paused":
            self.state = "running"

    def reply(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        self._goes_on.wait(JOIN_LIMIT_S)
        return self.answer(method, path, body)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        return 200, b"ok"


class FakeNode(FakePart):
    """A node of the network."""

    def __init__(self, name: str, net: FakeNet, power: int) -> None:
        self.net, self.power = net, power
        self.height, self.catching_up = 10, False
        self.chain_id = CHAIN_ID
        super().__init__(name, "node")

    @property
    def address(self) -> str:
        """The address that it signs with; a node without power has one too."""
        return f"ADDRESS-{self.name}"

    @property
    def peers(self) -> list[str]:
        """Names of the running nodes with which neither direction is cut."""
        return [
            other.name
            for other in self.net.nodes.values()
            if other is not self and other.state == "running" and not self.net.is_cut(self.name, other.name)
        ]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "GET":
            return 200, b"{}"
        call = json.loads(body)
        result = getattr(self, f"_{call['method']}")(call["params"])
        return 200, json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}).encode()

    def _status(self, parameters: dict[str, str]) -> dict[str, Any]:
        return {
            "node_info": {"id": self.name, "network": self.chain_id, "version": "0.38.19"},
            "sync_info": {
                "latest_block_height": str(self.height),
                "latest_block_hash": "AA",
                "latest_app_hash": "",
                "latest_block_time": "2026-01-01T00:00:00Z",
                "catching_up": self.catching_up,
            },
            "validator_info": {"address": self.address, "voting_power": str(self.power)},
        }

    def _net_info(self, parameters: dict[str, str]) -> dict[str, Any]:
        return {"n_peers": str(len(self.peers))}

    def _genesis_chunked(self, parameters: dict[str, str]) -> dict[str, Any]:
        return {"chunk": "0", "total": "1", "data": base64.b64encode(GENESIS).decode()}

    def _validators(self, parameters: dict[str, str]) -> dict[str, Any]:
        found = [
            {"address": node.address, "voting_power": str(node.power)} for node in self.net.nodes.values() if node.power
        ]
        found += [{"address": "ADDRESS-of-nobody", "voting_power": str(self.net.foreign_power)}]
        found = [item for item in found if item["voting_power"] != "0"]
        return {"validators": found, "count": str(len(found)), "total": str(len(found))}


class FakeNet:
    """Four equal validators and a provider, unless told otherwise."""

    def __init__(self, folder: Path, powers: tuple[int, ...] = (10, 10, 10, 10)) -> None:
        self.folder = folder
        self.foreign_power = 0
        """Power of validators that are no node of the target."""
        self.nodes: dict[str, FakeNode] = {}
        for place, power in enumerate(powers):
            node = FakeNode(f"validator-{place}", self, power)
            self.nodes[node.name] = node
        self.providers = {"provider-0": FakePart("provider-0", "provider")}
        self.rules = {(a, b): {"mode": "open", "latency_ms": 0.0, "rate_bytes_per_s": None} for a, b in self._pairs()}
        self.orders: list[str] = []
        """What the control port was told: "kill validator-3", "links 6"."""
        self.failing: set[str] = set()
        """Orders that fail."""
        self.socket = folder / "control.sock"
        self._control = _UnixServer(str(self.socket), _ControlHandler)
        self._control.owner = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(
            target=self._control.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True
        )
        self._thread.start()

    @property
    def parts(self) -> dict[str, FakePart]:
        return {**self.nodes, **self.providers}

    def target_file(
        self,
        *,
        environment: Environment = Environment.DEV,
        control: ControlKind = ControlKind.DEVNET,
        genesis_hash: str | None = None,
    ) -> Path:
        """Write the Target file and return its path."""
        entries = tuple(NodeEntry(name=node.name, rpc=node.url) for node in self.nodes.values())
        providers = tuple(ProviderEntry(name=part.name, url=part.url) for part in self.providers.values())
        file = TargetFile(
            name="fake",
            environment=environment,
            chain_id=CHAIN_ID,
            genesis_hash=genesis_hash,
            control=control,
            control_socket=str(self.socket) if control is ControlKind.DEVNET else None,
            node=entries,
            provider=providers,
        )
        path = self.folder / "target.toml"
        path.write_text(target_toml(file, with_secrets=True))
        return path

    def target(self, **settings: Any) -> Target:
        return load_target(self.target_file(**settings))

    def advance(self, *names: str, blocks: int = 1) -> None:
        """Raise the heights of these nodes; of all without a name."""
        for node in self.nodes.values():
            if not names or node.name in names:
                node.height += blocks

    def is_cut(self, one: str, other: str) -> bool:
        return "cut" in (self.rules[one, other]["mode"], self.rules[other, one]["mode"])

    def cut_links(self) -> set[tuple[str, str]]:
        return {pair for pair, rule in self.rules.items() if rule["mode"] == "cut"}

    def close_control(self) -> None:
        """End the control port: it refuses connections."""
        self._control.shutdown()
        self._control.server_close()
        self.socket.unlink(missing_ok=True)

    def close(self) -> None:
        for part in self.parts.values():
            part.kill()
        if self.socket.exists():
            self.close_control()
        self._thread.join(JOIN_LIMIT_S)

    def reply(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Answer one order at the control port."""
        match [method, *path.strip("/").split("/")[1:]]:
            case ["GET", "processes"]:
                return self._json([self._describe(part) for part in self.parts.values()])
            case ["GET", "links"]:
                return self._json([{"source": a, "destination": b, "rule": r} for (a, b), r in self.rules.items()])
            case ["PUT", "links"]:
                links = json.loads(body)
                order = f"links {len(links)}"
                if not self._note(order):
                    return self._refusal(order)
                for link in links:
                    self.rules[link["source"], link["destination"]] = link["rule"]
                return self._json([])
            case ["POST", "processes", name, verb]:
                order = f"{verb} {name}"
                if not self._note(order) or name not in self.parts:
                    return self._refusal(order)
                getattr(self.parts[name], verb)()
                return self._json({})
        return 404, b'{"error": "no such path"}'

    def _note(self, order: str) -> bool:
        self.orders.append(order)
        return order not in self.failing

    def _refusal(self, order: str) -> tuple[int, bytes]:
        return 400, json.dumps({"error": f"cannot {order}"}).encode()

    def _json(self, value: Any) -> tuple[int, bytes]:
        return 200, json.dumps(value).encode()

    def _describe(self, part: FakePart) -> dict[str, Any]:
        is_exited = part.state == "exited"
        ends = {"pid": None, "exit_code": -9} if is_exited else {"pid": 1, "exit_code": None}
        return {"name": part.name, "kind": part.kind, "state": part.state, **ends}

    def _pairs(self) -> list[tuple[str, str]]:
        return [(a, b) for a in self.nodes for b in self.nodes if a != b]


@contextmanager
def fake_net(folder: Path, powers: tuple[int, ...] = (10, 10, 10, 10)) -> Iterator[FakeNet]:
    """Give a network that ends with the block."""
    net = FakeNet(folder, powers)
    try:
        yield net
    finally:
        net.close()
