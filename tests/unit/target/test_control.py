"""The control port: orders as they go out, answers as they come back, and every way in which it can fail."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from target.control import (
    ControlledProcess,
    DevnetControl,
    Link,
    LinkControl,
    LinkMode,
    LinkRule,
    ProcessControl,
    ProcessKind,
    ProcessState,
    connect_control,
)
from target.errors import ControlError
from target.file import ControlKind, Environment, NodeEntry, TargetFile
from target.target import resolve

Answer = Callable[[str, str, Any], tuple[int, bytes]]
"""(method, path, body) to (status, body)."""


@contextmanager
def control_port(folder: Path, answer: Answer) -> Iterator[DevnetControl]:
    """Give a client of a control port on a Unix socket that answers as told."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

        def address_string(self) -> str:
            return "a Unix socket has none"

        def _reply(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answer(self.command, self.path, json.loads(sent) if sent else None)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _reply  # noqa: N815

    path = folder / "s"
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield DevnetControl(path)
        server.shutdown()
        thread.join()


def always(value: Any, status: int = 200) -> Answer:
    return lambda method, path, body: (status, json.dumps(value).encode())


PROCESSES: list[dict[str, Any]] = [
    {"name": "validator-0", "kind": "node", "state": "running", "pid": 41, "exit_code": None},
    {"name": "provider-0", "kind": "provider", "state": "exited", "pid": None, "exit_code": -9},
]
LINKS: list[dict[str, Any]] = [
    {"source": "a", "destination": "b", "rule": {"mode": "open", "latency_ms": 0.0, "rate_bytes_per_s": None}},
    {"source": "b", "destination": "a", "rule": {"mode": "black_hole", "latency_ms": 20.5, "rate_bytes_per_s": 100.0}},
]


def test_processes_are_told_as_they_are(tmp_path: Path) -> None:
    """All of them, and one by name."""
    gone = ControlledProcess(
        name="provider-0", kind=ProcessKind.PROVIDER, state=ProcessState.EXITED, pid=None, exit_code=-9
    )
    with control_port(tmp_path, always(PROCESSES)) as control:
        first, second = control.processes()
        assert first == ControlledProcess(name="validator-0", kind=ProcessKind.NODE, state=ProcessState.RUNNING, pid=41)
        assert second == gone == control.process("provider-0")
        with pytest.raises(ControlError, match="has no process 'validator-9'"):
            control.process("validator-9")


def test_orders_go_out_as_they_are_named(tmp_path: Path) -> None:
    """Each verb by its path, links as a list."""
    orders: list[tuple[str, str, Any]] = []

    def note(method: str, path: str, body: Any) -> tuple[int, bytes]:
        orders.append((method, path, body))
        return 200, b""

    rule = LinkRule(mode=LinkMode.CUT)
    with control_port(tmp_path, note) as control:
        control.kill("validator-0")
        control.start("validator-0")
        control.pause("validator-0")
        control.resume("validator-0")
        control.set_links([Link(source="a", destination="b", rule=rule)])
        control.stop_network()
    written = {"source": "a", "destination": "b", "rule": {"mode": "cut", "latency_ms": 0.0, "rate_bytes_per_s": None}}
    assert orders == [
        *(("POST", f"/v1/processes/validator-0/{verb}", None) for verb in ("kill", "start", "pause", "resume")),
        ("PUT", "/v1/links", [written]),
        ("POST", "/v1/stop", None),
    ]


def test_links_are_told_as_they_are(tmp_path: Path) -> None:
    """Both directions, with their rules."""
    with control_port(tmp_path, always(LINKS)) as control:
        first, second = control.links()
    assert first == Link(source="a", destination="b", rule=LinkRule())
    assert first.rule.is_clear
    assert second.rule == LinkRule(mode=LinkMode.BLACK_HOLE, latency_ms=20.5, rate_bytes_per_s=100.0)
    assert not second.rule.is_clear


@pytest.mark.parametrize("values", [{"latency_ms": -1.0}, {"latency_ms": 60_001.0}, {"rate_bytes_per_s": 0.0}])
def test_rule_that_no_link_can_follow_is_refused(values: dict[str, Any]) -> None:
    """Where it is made."""
    with pytest.raises(ValueError, match="; expected "):
        LinkRule(**values)
    with pytest.raises(ValueError, match="; expected "):
        replace(LinkRule(), **values)


def test_refusal_is_told_in_the_words_of_the_port(tmp_path: Path) -> None:
    """With the order that was refused."""
    with control_port(tmp_path, always({"error": "no process 'x'; expected one of validator-0"}, 400)) as control:
        with pytest.raises(ControlError) as caught:
            control.kill("x")
    assert caught.value.why == "POST /v1/processes/x/kill: no process 'x'; expected one of validator-0"
    assert caught.value.address == str(tmp_path / "s")


def test_port_that_nobody_serves_is_told(tmp_path: Path) -> None:
    """No socket, a file that is none, a path that no socket can have."""
    (tmp_path / "file").touch()
    for name in ("none", "file", "n" * 200, "nul\0"):
        with pytest.raises(ControlError, match=r"GET /v1/processes failed \("):
            DevnetControl(tmp_path / name).processes()


def test_port_that_is_silent_is_told(tmp_path: Path) -> None:
    """The supervisor hangs: the order may or may not have been carried out, and the caller goes on."""
    release = threading.Event()

    def wait(method: str, path: str, body: Any) -> tuple[int, bytes]:
        release.wait(10)
        return 200, b""

    with control_port(tmp_path, wait):
        with pytest.raises(ControlError, match="timed out"):
            DevnetControl(tmp_path / "s", timeout_s=0.2).kill("validator-0")
        release.set()


@pytest.mark.parametrize("name", ["a b", "a\nb", "é"])
def test_name_that_no_path_can_have_is_told(tmp_path: Path, name: str) -> None:
    """Nothing is sent."""
    asked: list[str] = []

    def note(method: str, path: str, body: Any) -> tuple[int, bytes]:
        asked.append(path)
        return 200, b""

    with control_port(tmp_path, note) as control:
        with pytest.raises(ControlError):
            control.kill(name)
    assert not asked


@pytest.mark.parametrize(
    "answer",
    [
        None,
        5,
        {},
        "text",
        [5],
        [None],
        [{}],
        [PROCESSES[0] | {"kind": "ghost"}],
        [PROCESSES[0] | {"state": []}],
        [LINKS[0] | {"rule": None}],
        [LINKS[0] | {"rule": {"mode": "ajar"}}],
        [LINKS[0] | {"rule": {"mode": "cut", "more": 1}}],
        [LINKS[0] | {"rule": {"mode": "cut", "latency_ms": -1}}],
        [LINKS[0] | {"rule": {"mode": "cut", "latency_ms": "fast"}}],
    ],
)
def test_answer_of_another_shape_is_told(tmp_path: Path, answer: Any) -> None:
    """Another program on the socket, or a supervisor of another version."""
    with control_port(tmp_path, always(answer)) as control:
        for ask in (control.processes, control.links):
            with pytest.raises(ControlError):
                ask()


@pytest.mark.parametrize("body", [b"", b"null", b"5", b"[]", b"{}", b"<html>", b'{"error": {"a": 1}}'])
def test_refusal_without_words_is_told(tmp_path: Path, body: bytes) -> None:
    """A bare status is enough to know that the order was not carried out."""
    with control_port(tmp_path, lambda method, path, sent: (500, body)) as control:
        with pytest.raises(ControlError, match="POST /v1/processes/a/kill"):
            control.kill("a")


def test_control_is_as_the_target_says(tmp_path: Path) -> None:
    """A target without a port has none; one with a port is not asked yet."""
    bare = TargetFile(name="t", environment=Environment.DEV, chain_id="c", node=(NodeEntry(name="n", host="h"),))
    assert connect_control(resolve(bare, source="", environ={})) is None
    path = str(tmp_path / "s")
    full = replace(bare, control=ControlKind.DEVNET, control_socket=path)
    control = connect_control(resolve(full, source="", environ={}))
    assert control is not None
    assert control.address == path
    assert isinstance(control, ProcessControl)
    assert isinstance(control, LinkControl)
