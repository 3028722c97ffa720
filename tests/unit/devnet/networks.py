"""Look at what networks leave: processes, listeners, files. And run one from a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from devnet.network import Network, NetworkSpec

LIMIT_S = 60.0
ROOT = Path(__file__).resolve().parents[3]
SMALL = NetworkSpec(validators=1, providers=0, accounts=2, timeout_commit_ms=50)
"""The smallest network there is: one node, which is up in a second."""

FIRST = 100 + os.getpid() % 7 * 20
LAST = FIRST + 19
"""The address blocks of this test process: other tests and other people have networks on the same machine."""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds. Raises AssertionError naming it when it does not come in time."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {LIMIT_S:.0f} s"
        time.sleep(0.01)


def listeners(network: Network) -> list[str]:
    """Return the addresses of the network on which somebody listens."""
    found = []
    for what, host, port in network.addresses():
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex((host, port)) == 0:
                found.append(f"{what} at {host}:{port}")
    return found


def processes_of(network: Network) -> list[psutil.Process]:
    """Return the living processes that have the network's home or one of its addresses on their command line."""
    marks = (str(network.home), f"127.{network.block}.")
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(mark in line for mark in marks):
            found.append(process)
    return found


def await_the_end(network: Network) -> None:
    """Wait until no process and no listener is left.

    A process that is ending loses its command line before its sockets: to see none is not enough.
    """
    wait_for(lambda: not processes_of(network), "the end of its processes")
    wait_for(lambda: not listeners(network), "the end of its listeners")


def assert_gone(network: Network) -> None:
    """Nothing of the network is left: no process, no listener, no file."""
    await_the_end(network)
    wait_for(lambda: not network.home.exists(), "the end of its files")


@contextmanager
def owner_process(code: str) -> Iterator[subprocess.Popen[str]]:
    """Run code that may bring networks up; it is killed at the end of the block, when it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
