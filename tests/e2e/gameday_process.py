"""Run `gameday` as a user does, and look at what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from devnet.record import all_records, state_root

LIMIT_S = 300.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def bundle(self) -> Path:
        """The bundle that the command told of."""
        return next(Path(line.split("bundle ", 1)[1]) for line in self.err.splitlines() if "  bundle " in line)

    @property
    def verdict(self) -> dict[str, Any]:
        return dict(json.loads((self.bundle / "verdict.json").read_text()))

    def codes(self) -> set[str]:
        """The codes of every reason in the verdict, of checks and of gating budgets."""
        verdict = self.verdict
        found = {reason["code"] for check in verdict["checks"] for reason in check["reasons"]}
        gates = [result for result in verdict["budgets"] if result["budget"]["severity"] == "gate"]
        return found | {reason["code"] for result in gates for reason in result["reasons"]}

    def failed_budgets(self) -> set[str]:
        return {result["budget"]["id"] for result in self.verdict["budgets"] if result["verdict"] == "FAIL"}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "gamedays.cli", *(str(argument) for argument in arguments)]


def gameday(*arguments: str | Path, limit_s: float = LIMIT_S, **environment: str) -> Ended:
    """Run `gameday` to its end."""
    answer = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=limit_s,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Ended(code=answer.returncode, out=answer.stdout, err=answer.stderr)


@contextmanager
def started(*arguments: str | Path, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give a running `gameday`; its output goes to `log`."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(*arguments), stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=os.environ | environment
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
    """Wait for a condition. Raises AssertionError naming it when it does not come."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {limit_s:.0f} s"
        time.sleep(POLL_S)


def await_nothing_left(marks: tuple[str, ...], block: int | None) -> None:
    """Wait until no process mentions a mark and nobody listens in the block.

    Killed processes need a moment to close what they had, and may be alone by then. Raises AssertionError after 10 s.
    """
    wait_until(lambda: not processes_of(*marks), f"the end of the processes of {' and '.join(marks)}", 10)
    if block is not None:
        wait_until(lambda: not listeners_left_in(block), f"the end of the listeners in block {block}", 10)


def processes_of(*marks: str) -> list[str]:
    """Return the command lines of living processes that mention any of the marks."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(mark in line for mark in marks):
            found.append(line)
    return [line for line in found if "pytest" not in line]


def listeners_left_in(block: int) -> list[str]:
    """Return the addresses in 127.<block>.0.0/16 on which somebody listens, unless another network has taken the block.

    A network takes only a block on which nobody listens, so one that is taken again had been given up whole. Tests run
    side by side, and the next network takes the first free block.
    """
    prefix = f"127.{block}."
    before = _taken_blocks()
    listeners = [
        f"{connection.laddr.ip}:{connection.laddr.port}"
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.ip.startswith(prefix)
    ]
    return [] if block in before | _taken_blocks() else listeners


def _taken_blocks() -> set[int]:
    return {record.file.block for record in all_records()}


def homes(prefix: str) -> list[Path]:
    """Return what devnets whose name begins so have left on disk."""
    return sorted(state_root().glob(f"{prefix}*"))


def block_of(prefix: str) -> int | None:
    """Return the address block of the devnet whose name begins so, None while there is none."""
    return next((record.file.block for record in all_records() if record.network.name.startswith(prefix)), None)
