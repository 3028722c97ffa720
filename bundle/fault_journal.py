"""The fault journal, `faults.jsonl`: one line an event of a lease, on disk before it is acted on.

A fault's life: planned → applied → effect seen → healed → heal seen. `failed` says that a step could
not be done, `expired` that the deadline passed first. This module writes and reads; it judges nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path

from bundle.document import document, load_json, parse_document
from bundle.errors import DocumentError, Problem

_LOCK_LIMIT_S = 10.0
_LOCK_LOOK_S = 0.01


class FaultEventKind(StrEnum):
    """A step in the life of a fault."""

    PLANNED = "planned"
    APPLIED = "applied"
    EFFECT_SEEN = "effect seen"
    HEALED = "healed"
    HEAL_SEEN = "heal seen"
    EXPIRED = "expired"
    FAILED = "failed"


@document
class Undo:
    """How to take a fault away again: a verb of the control port and what it acts on.

    Undoing twice does no harm. Targets are names, never process ids, so that an undo still finds its
    target after a restart.
    """

    verb: str
    targets: tuple[str, ...]


@document
class FaultEvent:
    """One line of the journal."""

    lease: str
    event: FaultEventKind
    at_s: float
    fault: str
    targets: tuple[str, ...]
    undo: Undo | None = None
    deadline_at_s: float | None = None
    evidence: str = ""
    """What was seen, in words: "process 412 of validator-3 is gone", "height stood at 81 for 6.0 s"."""


class FaultJournal:
    """Appends events to a journal file. Every event is on disk (fsync) when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: FaultEvent) -> None:
        """Append one event. Raises OSError; then the caller must not act."""
        line = (json.dumps(asdict(event), sort_keys=True) + "\n").encode()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _lock(descriptor)
            _cut_torn_line(descriptor)
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Wait until no other writer has the journal; closing it gives it back. Raises OSError when it takes too long."""
    end = time.monotonic() + _LOCK_LIMIT_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(_LOCK_LOOK_S)


def _cut_torn_line(descriptor: int) -> None:
    """Take away a last line without its end, or the next event would be written into it and both be lost."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.ftruncate(descriptor, end)


def read_fault_journal(path: Path) -> list[FaultEvent]:
    """Return the events in file order; empty when there is no file. Raises DocumentError.

    A last line without its end is left out: the writer died while writing it, so it was not acted on.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        found = "is a folder" if isinstance(error, IsADirectoryError) else f"cannot be read ({error.strerror})"
        raise DocumentError(str(path), (Problem(where="", found=found, expected="a fault journal"),)) from None
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            raw = load_json(line)
        except (ValueError, RecursionError):
            problem = Problem(where="", found="is not valid JSON", expected="one fault event")
            raise DocumentError(f"{path}: line {number}", (problem,)) from None
        events.append(parse_document(FaultEvent, raw, source=f"{path}: line {number}"))
    return events


def open_leases(events: list[FaultEvent]) -> list[FaultEvent]:
    """Return the `planned` event of each lease whose heal was not seen, oldest first.

    A lease past its deadline is still open until somebody has seen it healed.
    """
    healed = {event.lease for event in events if event.event is FaultEventKind.HEAL_SEEN}
    return [event for event in events if event.event is FaultEventKind.PLANNED and event.lease not in healed]
