"""The canned server as a process, bound to the last core, for benchmarks that bind their client to the first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = Path(__file__).parent / "canned_server.py"


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    url: str
    pid: int


def on_first_core() -> None:
    """Bind this process to the first of its cores."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def on_last_core() -> None:
    """Bind this process to the last of its cores."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


@contextmanager
def canned_server() -> Iterator[Server]:
    """Give a server in a process of its own, until the end of the block."""
    with subprocess.Popen(
        [sys.executable, str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=on_last_core,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(url=f"http://127.0.0.1:{int(process.stdout.readline())}", pid=process.pid)
        finally:
            process.stdin.close()  # which ends it
