"""A process that the conductor starts: load, experiment, observers. In a session of its own.

So the terminal's Ctrl-C reaches the conductor alone, which then ends its children in the right order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_POLL_S = 0.02


class Child:
    """One running child; its output goes to a log file."""

    def __init__(self, name: str, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Start it. Raises OSError."""
        self.name = name
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                list(argv),
                env=os.environ | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def ask(self) -> None:
        """Ask it to end, and wait for nothing: `stop` follows."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, *, grace_s: float, number: signal.Signals = signal.SIGTERM) -> bool:
        """Ask it to end, and end it and its children by force after `grace_s`; returns whether it ended by itself."""
        if self.exit_code is None:
            self._process.send_signal(number)
        if self.wait(grace_s) is not None:
            return True
        self._kill_group()
        self._process.wait()
        return False

    def wait(self, limit_s: float) -> int | None:
        """Return its exit code, None when it still runs after `limit_s`."""
        end = time.monotonic() + limit_s
        while self.exit_code is None and time.monotonic() < end:
            time.sleep(_POLL_S)
        return self.exit_code

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # its session is its own, so the group is too
        except ProcessLookupError:
            return


def tail(log: Path, lines: int = 3) -> str:
    """Return the last lines of a log as one line, for a message."""
    try:
        found = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        found = []
    return " | ".join(found[-lines:])[-300:] or "it logged nothing"
