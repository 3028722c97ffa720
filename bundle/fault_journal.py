"""The fault journal, `faults.jsonl`: one line an event of a lease, on disk before it is acted on.

A fault's life: planned → applied → effect seen → healed → heal seen. `failed` says that a step could
not be done, `expired` that the deadline passed first. This module writes and reads; it judges nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path

from bundle.document import document, parse_document
from bundle.errors import DocumentError, Problem


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
        line = json.dumps(asdict(event), sort_keys=True) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_fault_journal(path: Path) -> list[FaultEvent]:
    """Return the events in file order; empty when there is no file. Raises DocumentError.

    A last line without its end is left out: the writer died while writing it, so it was not acted on.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            raw = json.loads(line)
        except ValueError:
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
