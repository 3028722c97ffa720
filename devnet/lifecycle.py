"""Bring networks up, find them, take them down.

A network that a run owns ends with the process that started it, also when that process is killed: the
supervisor notices the end of a pipe. A network from `gameday devnet up` stays until `gameday devnet down`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bundle import DocumentError
from devnet.build import Say, build_chain
from devnet.errors import AddressTaken, NoSuchNetwork, StartFailed
from devnet.genesis import write_network_files
from devnet.network import FIRST_BLOCK, LAST_BLOCK, Network, NetworkSpec
from devnet.record import (
    RECORD_FILE,
    NetworkRecord,
    RecordFile,
    all_records,
    find_record,
    network_home,
    read_record,
    socket_path,
    state_root,
)
from target.control import DevnetControl, ProcessKind, ProcessState
from target.errors import ControlError, TargetError
from target.http import HttpClient
from target.rpc import RpcClient

READY_HEIGHT = 2
"""A network is ready when every node has this block: by then all of them have signed."""
START_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
_POLL_S = 0.1


@dataclass(slots=True, kw_only=True)
class RunningNetwork:
    """A network that is up. `close` ends one that is owned; on any other it does nothing."""

    record: NetworkRecord
    supervisor: subprocess.Popen[bytes]
    owner_end: int | None = None

    @property
    def network(self) -> Network:
        return self.record.network

    def close(self) -> None:
        if self.owner_end is None:
            return
        os.close(self.owner_end)
        self.owner_end = None
        _end(self.supervisor)
        take_down(self.record)


def bring_up(name: str, spec: NetworkSpec, say: Say, *, owned: bool, block: int | None = None) -> RunningNetwork:
    """Return the network, every node at height 2 and every provider healthy.

    `block` fixes the address block 127.<block>.0.0/16; without it a free one is chosen. Raises DevnetError.
    """
    binary = build_chain(say, tags=spec.build_tags)
    with _registry_lock():
        record = _claim(name, spec, binary, owned=owned, block=block)
    running: RunningNetwork | None = None
    try:
        say(f"devnet {name}: writing genesis of {spec.validators} validators and {spec.accounts} accounts")
        write_network_files(record)
        running = _launch(record, owned=owned)
        _wait_ready(running, say)
    except BaseException:
        if running is not None:
            _end(running.supervisor)
            if running.owner_end is not None:
                os.close(running.owner_end)
        shutil.rmtree(record.network.home, ignore_errors=True)
        raise
    return running


def take_down(record: NetworkRecord, *, keep_files: bool = False) -> None:
    """End every process of a network and, unless asked otherwise, delete its files. Works on a dead one too.

    Raises StartFailed when its supervisor does not end, or when it is still being started.
    """
    fresh = _reread(record)
    keeper = fresh.keeper()
    if keeper is not None and keeper.pid != os.getpid():
        if not fresh.file.is_supervised:
            raise StartFailed(f"devnet {fresh.network.name} is being started by process {keeper.pid}: end that one")
        with contextlib.suppress(ControlError):
            DevnetControl(fresh.socket, timeout_s=3.0).stop_network()
        if not _gone(keeper, STOP_LIMIT_S):
            keeper.kill()  # its children die with it
            if not _gone(keeper, STOP_LIMIT_S):
                raise StartFailed(f"devnet {fresh.network.name}: its supervisor (pid {keeper.pid}) does not end")
    fresh.socket.unlink(missing_ok=True)
    if not keep_files:
        shutil.rmtree(fresh.network.home, ignore_errors=True)


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    """End our own supervisor and reap it; its children end with it."""
    supervisor.terminate()
    try:
        supervisor.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def sweep_dead() -> list[str]:
    """Delete the files of networks whose supervisor is gone, and of starts that never got so far. Returns names."""
    swept = []
    with _registry_lock():
        for record in all_records():
            if record.keeper() is None:
                take_down(record)
                swept.append(record.network.name)
        for home in sorted(state_root().glob("*/")):
            if not (home / RECORD_FILE).is_file():
                shutil.rmtree(home, ignore_errors=True)
                swept.append(home.name)
    return swept


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkStatus:
    """How a network is, in one line a process."""

    record: NetworkRecord
    alive: bool
    lines: tuple[str, ...]


def describe(record: NetworkRecord) -> NetworkStatus:
    """Return how the network is now, by asking it."""
    if record.keeper() is None:
        return NetworkStatus(record=record, alive=False, lines=("its supervisor is gone: take it down",))
    network = record.network
    hosts = {name: network.validator_host(i) for i, name in enumerate(network.validator_names)}
    hosts |= {name: network.provider_host(i) for i, name in enumerate(network.provider_names)}
    lines = []
    try:
        for process in DevnetControl(record.socket).processes():
            text = f"{process.name:<14} {hosts[process.name]:<14} {process.state:<8}"
            if process.kind is ProcessKind.NODE and process.state is ProcessState.RUNNING:
                text += f" {_height(hosts[process.name])}"
            lines.append(text.rstrip())
    except ControlError as error:
        lines.append(str(error))
    return NetworkStatus(record=record, alive=True, lines=tuple(lines))


def _height(host: str) -> str:
    try:
        return f"height {RpcClient(f'http://{host}:26657', timeout_s=1.0).status().height}"
    except TargetError as error:
        return error.why


def _claim(name: str, spec: NetworkSpec, binary: Path, *, owned: bool, block: int | None) -> NetworkRecord:
    """Return the record of a new network in a free place. Raises AddressTaken."""
    home = network_home(name)
    if (home / RECORD_FILE).is_file():
        raise AddressTaken(f"a devnet called {name!r} exists: take it down with `gameday devnet down {name}` first")
    taken = {record.file.block for record in all_records()}
    candidates = [block] if block is not None else [b for b in range(FIRST_BLOCK, LAST_BLOCK + 1) if b not in taken]
    problem = ""
    for candidate in candidates:
        problem = _taken_address(Network(name=name, block=candidate, home=home, spec=spec))
        if not problem:
            home.mkdir(parents=True, exist_ok=True)
            socket_file = str(socket_path(home))
            file = RecordFile(
                name=name,
                block=candidate,
                spec=spec,
                chain_binary=str(binary),
                socket=socket_file,
                owned=owned,
                keeper_pid=0,
                keeper_started_at_s=0.0,
            )
            return NetworkRecord(home, file).kept_by_me(as_supervisor=False)
    raise AddressTaken(problem or "every address block 127.10 to 127.250 is in use by a devnet")


def _taken_address(network: Network) -> str:
    """Return a sentence about the first address that somebody else holds; empty when all are free."""
    for what, host, port in network.addresses():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return f"{host}:{port} ({what}) cannot be used: {error.strerror}"
                return f"{host}:{port} ({what}) is taken by {_holder(port, host)}: end it, or choose another --block"
    return ""


def _holder(port: int, host: str) -> str:
    """Return who listens there, as far as this user may know."""
    for connection in psutil.net_connections("tcp"):
        local = connection.laddr
        if (
            connection.status == psutil.CONN_LISTEN
            and local
            and local.port == port
            and local.ip in (host, "0.0.0.0", "::")
        ):
            if connection.pid:
                with contextlib.suppress(psutil.Error):
                    return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            break
    return "another program"


def _launch(record: NetworkRecord, *, owned: bool) -> RunningNetwork:
    """Start the supervisor, detached from our terminal and session."""
    network = record.network
    command = [sys.executable, "-m", "devnet.supervisor", str(network.home)]
    read_end, write_end = os.pipe() if owned else (None, None)
    if read_end is not None:
        command += ["--owner-fd", str(read_end)]
    try:
        with network.log("supervisor").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=() if read_end is None else (read_end,),
            )
    except BaseException:
        if write_end is not None:
            os.close(write_end)
        raise
    finally:
        if read_end is not None:
            os.close(read_end)
    return RunningNetwork(record=record, supervisor=process, owner_end=write_end)


def _wait_ready(running: RunningNetwork, say: Say) -> None:
    """Wait until every node has block 2 and every provider answers. Raises StartFailed with the reason."""
    network, control = running.network, DevnetControl(running.record.socket, timeout_s=3.0)
    waiting = {name: f"http://{network.validator_host(i)}:26657" for i, name in enumerate(network.validator_names)}
    waiting |= {name: f"http://{network.provider_host(i)}:8080" for i, name in enumerate(network.provider_names)}
    limit = time.monotonic() + START_LIMIT_S + network.spec.accounts / 1000
    told = time.monotonic()
    while waiting:
        if running.supervisor.poll() is not None:
            raise StartFailed(f"devnet {network.name}: the supervisor ended; {_log_tail(network, 'supervisor')}")
        _raise_if_ended(network, control)
        for name in [name for name, url in waiting.items() if _is_ready(name, url, network)]:
            del waiting[name]
        if waiting and time.monotonic() > limit:
            names = ", ".join(waiting)
            raise StartFailed(
                f"devnet {network.name}: {names} not ready in time; {_log_tail(network, next(iter(waiting)))}"
            )
        if waiting and time.monotonic() - told > 2:
            told = time.monotonic()
            say(f"devnet {network.name}: waiting for {', '.join(waiting)}")
        time.sleep(_POLL_S)


def _raise_if_ended(network: Network, control: DevnetControl) -> None:
    with contextlib.suppress(ControlError):  # the supervisor may not serve yet
        for process in control.processes():
            if process.state is ProcessState.EXITED and process.exit_code is not None:
                raise StartFailed(
                    f"devnet {network.name}: {process.name} ended with code {process.exit_code};"
                    f" {_log_tail(network, process.name)}"
                )


def _is_ready(name: str, url: str, network: Network) -> bool:
    try:
        if name in network.validator_names:
            return RpcClient(url, timeout_s=1.0).status().height >= READY_HEIGHT
        return HttpClient(url, timeout_s=1.0).get("/health").status == 200
    except TargetError:
        return False


def _log_tail(network: Network, name: str) -> str:
    """Return the last lines that a process logged, as part of a sentence."""
    try:
        lines = network.log(name).read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{name} logged: {' | '.join(lines[-3:])[-500:]}" if lines else f"{name} logged nothing"


def _reread(record: NetworkRecord) -> NetworkRecord:
    try:
        return read_record(record.network.home)
    except DocumentError:  # the record given is all that there is
        return record


def _gone(process: psutil.Process, limit_s: float) -> bool:
    """Return whether the process is gone, after at most `limit_s`; reaps it where it is our own child."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


@contextmanager
def _registry_lock() -> Iterator[None]:
    """Hold the lock under which networks claim names and address blocks."""
    root = state_root()
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


__all__ = [
    "NetworkStatus",
    "NoSuchNetwork",
    "RunningNetwork",
    "bring_up",
    "describe",
    "find_record",
    "sweep_dead",
    "take_down",
]
