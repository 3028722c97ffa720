"""Tell people how far a long step is: rewritten in place on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_LOG_PERIOD_S = 15.0
_BAR_WIDTH = 24


class Progress:
    """Writes to standard error, so that standard output has the result alone."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._start = time.monotonic()
        self._told_at = 0.0
        self._is_bar_open = False

    def step(self, text: str) -> None:
        """Tell that a step begins, or what happened."""
        self._close_bar()
        self._stream.write(f"{time.monotonic() - self._start:7.1f} s  {text}\n")
        self._stream.flush()
        self._told_at = time.monotonic()

    def during(self, what: str, done_s: float, whole_s: float) -> None:
        """Tell how far a wait is. May be called as often as one likes."""
        share = min(1.0, done_s / whole_s) if whole_s > 0 else 1.0
        if self._stream.isatty():
            filled = int(share * _BAR_WIDTH)
            bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
            self._stream.write(f"\r{'':9}  {what} {bar} {done_s:.0f} of {whole_s:.0f} s ")
            self._stream.flush()
            self._is_bar_open = True
        elif time.monotonic() - self._told_at > _LOG_PERIOD_S:
            self.step(f"{what}: {done_s:.0f} of {whole_s:.0f} s")

    def _close_bar(self) -> None:
        if self._is_bar_open:
            self._stream.write("\r" + " " * 70 + "\r")
            self._is_bar_open = False
