"""The control port: what can kill, pause, start and cut off parts of a target.

One small protocol a capability, so that a target which can only do some of it says so. The devnet's port is
HTTP with JSON on a Unix socket (`devnet/supervisor.py` serves it). This module orders; it does not decide
whether an order is safe: that is for the guards in `experiments/`.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from target.errors import ControlError
from target.file import ControlKind
from target.target import Target

T = TypeVar("T")

CONTROL_TIMEOUT_S = 20.0


class ProcessKind(StrEnum):
    """What a controlled process is."""

    NODE = "node"
    PROVIDER = "provider"


class ProcessState(StrEnum):
    """What a controlled process does."""

    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlledProcess:
    """One process of the target. `pid` is None when it has exited."""

    name: str
    kind: ProcessKind
    state: ProcessState
    pid: int | None
    exit_code: int | None = None


class LinkMode(StrEnum):
    """What a link between two nodes does with traffic of one direction."""

    OPEN = "open"
    CUT = "cut"
    """Connections are closed and new ones are refused."""
    BLACK_HOLE = "black_hole"
    """Connections stay and take bytes; nothing arrives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRule:
    """How one direction of a link treats its bytes."""

    mode: LinkMode = LinkMode.OPEN
    latency_ms: float = 0.0
    rate_bytes_per_s: float | None = None
    """Upper bound; None means no bound."""

    def __post_init__(self) -> None:
        if self.latency_ms < 0 or self.latency_ms > 60_000:
            raise ValueError(f"latency_ms is {self.latency_ms}; expected 0 to 60000")
        if self.rate_bytes_per_s is not None and self.rate_bytes_per_s <= 0:
            raise ValueError(f"rate_bytes_per_s is {self.rate_bytes_per_s}; expected more than 0")

    @property
    def is_clear(self) -> bool:
        return self == LinkRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One direction between two nodes: bytes that `source` sends to `destination`."""

    source: str
    destination: str
    rule: LinkRule


@runtime_checkable
class ProcessControl(Protocol):
    """Can kill, start, pause and resume processes. Each order is idempotent. All raise ControlError."""

    def processes(self) -> list[ControlledProcess]: ...

    def kill(self, name: str) -> None:
        """End the process at once (SIGKILL), as a crash would."""

    def start(self, name: str) -> None:
        """Start the process if it has exited."""

    def pause(self, name: str) -> None:
        """Stop the process where it stands (SIGSTOP)."""

    def resume(self, name: str) -> None:
        """Let a paused process go on (SIGCONT)."""


@runtime_checkable
class LinkControl(Protocol):
    """Can change links between nodes. Orders are idempotent. All raise ControlError."""

    def links(self) -> list[Link]: ...

    def set_links(self, links: Iterable[Link]) -> None: ...


class DevnetControl:
    """The devnet's control port."""

    def __init__(self, socket_path: Path, *, timeout_s: float = CONTROL_TIMEOUT_S) -> None:
        self.address = str(socket_path)
        self._timeout_s = timeout_s

    def processes(self) -> list[ControlledProcess]:
        return self._list("/v1/processes", _parse_process)

    def process(self, name: str) -> ControlledProcess:
        """Return one process. Raises ControlError when there is none of that name."""
        for process in self.processes():
            if process.name == name:
                return process
        raise ControlError(self.address, f"has no process {name!r}")

    def kill(self, name: str) -> None:
        self._call("POST", f"/v1/processes/{name}/kill")

    def start(self, name: str) -> None:
        self._call("POST", f"/v1/processes/{name}/start")

    def pause(self, name: str) -> None:
        self._call("POST", f"/v1/processes/{name}/pause")

    def resume(self, name: str) -> None:
        self._call("POST", f"/v1/processes/{name}/resume")

    def links(self) -> list[Link]:
        return self._list("/v1/links", _parse_link)

    def set_links(self, links: Iterable[Link]) -> None:
        self._call("PUT", "/v1/links", [asdict(link) for link in links])

    def stop_network(self) -> None:
        """End every process of the network and its supervisor."""
        self._call("POST", "/v1/stop")

    def _list(self, path: str, parse: Callable[[Any], T]) -> list[T]:
        answer = self._call("GET", path)
        try:
            if not isinstance(answer, list):
                raise TypeError("no list")
            return [parse(raw) for raw in answer]
        except (KeyError, TypeError, ValueError) as error:
            raise ControlError(self.address, f"GET {path} answered something else than expected ({error!r})") from None

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        connection = _UnixConnection(self.address, self._timeout_s)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, body=text, headers={"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ControlError(self.address, f"{method} {path} failed ({error})") from None
        finally:
            connection.close()
        if response.status >= 400:
            why = answer.get("error") if isinstance(answer, dict) else None
            raise ControlError(self.address, f"{method} {path}: {why or f'refused with {response.status}'}")
        return answer


def _parse_process(raw: Any) -> ControlledProcess:
    return ControlledProcess(
        name=raw["name"],
        kind=ProcessKind(raw["kind"]),
        state=ProcessState(raw["state"]),
        pid=raw["pid"],
        exit_code=raw["exit_code"],
    )


def _parse_link(raw: Any) -> Link:
    rule = LinkRule(**(raw["rule"] | {"mode": LinkMode(raw["rule"]["mode"])}))
    return Link(source=raw["source"], destination=raw["destination"], rule=rule)


def connect_control(target: Target) -> DevnetControl | None:
    """Return the target's control port, None when it has none. Nothing is sent yet."""
    if target.control is ControlKind.NONE or target.control_socket is None:
        return None
    return DevnetControl(target.control_socket)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
