"""What one load process says of itself in the bundle: that it is ready, that it started, that it came to its end."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Any

from bundle import BundleLayout, LoadNote, LoadStep, write_load_note
from loadtests.kit.clock_offset import ClockOffset


class Notes:
    """The notes of one process; without a bundle there is nowhere to write to."""

    def __init__(self, layout: BundleLayout | None, name: str) -> None:
        self._layout = layout
        self.name = name
        """Of the process, and of its parts of the bundle's tables."""
        self.core: int | None = None
        self.offset: ClockOffset | None = None
        self._written: set[LoadStep] = set()

    def write(self, step: LoadStep, **figures: Any) -> None:
        """Write one line, with the offsets of this process's clocks and what the step says (fields of LoadNote)."""
        self._written.add(step)
        if self._layout is None:
            return
        now, steady = time.time(), time.monotonic()
        note = LoadNote(
            worker=self.name,
            event=step,
            at_s=now,
            pid=os.getpid(),
            wall_minus_monotonic_s=now - steady,
            host=socket.gethostname(),
            core=self.core,
            master_minus_own_s=self.offset.offset_s if self.offset else None,
            clock_error_s=self.offset.error_s if self.offset else None,
            **figures,
        )
        try:
            self._layout.logs.mkdir(parents=True, exist_ok=True)
            write_load_note(self._layout.load_notes, note)
        except OSError:
            # Locust goes on without; the run misses the note and says so.
            logging.getLogger(__name__).exception("cannot write to %s", self._layout.load_notes)

    def write_once(self, step: LoadStep) -> None:
        """Write one line, unless there is one of this step already."""
        if step not in self._written:
            self.write(step)
