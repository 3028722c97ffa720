"""The load's notes about itself, `logs/load.jsonl`: one line a step of one Locust process.

A process notes that it is ready, that its users have begun, and that it came to its end. One that was killed has no
last note: that is how the run knows. This module writes and reads; it judges nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path

from bundle.document import document, load_json, parse_document
from bundle.errors import DocumentError, Problem

MASTER = "master"
"""Name of a Locust process that has no users of its own."""


class LoadStep(StrEnum):
    """A step in the life of a load process."""

    READY = "ready"
    """It has made what its users share: accounts, connections, the place in the chain."""
    STARTED = "started"
    """It knows when its users begin; a little before they do."""
    ACCOUNTS_TOO_FEW = "accounts_too_few"
    """It has fewer funded accounts than its load's rate needs."""
    ENDED = "ended"
    """Its users have stopped, nothing is on its way, and every sample is written."""


@document
class LoadNote:
    """One line of the notes."""

    worker: str
    """Name of the process and of its parts of the tables: "local", "worker-0", "master"."""
    event: LoadStep
    at_s: float
    pid: int
    wall_minus_monotonic_s: float
    host: str = ""
    core: int | None = None
    """The processor core that the process has bound itself to."""
    begins_at_s: float | None = None
    """STARTED: when all load processes begin, by the master's clock."""
    late_s: float | None = None
    """STARTED: how long after that moment this process learnt of it; 0 when it was in time."""
    master_minus_own_s: float | None = None
    """The master's wall clock minus this process's."""
    clock_error_s: float | None = None
    """How far `master_minus_own_s` may be off: half a round trip."""
    accounts: int | None = None
    """ACCOUNTS_TOO_FEW: funded accounts of this process."""
    needed: int | None = None
    """ACCOUNTS_TOO_FEW: accounts that its share of the load needs."""
    rate_per_s: float | None = None
    block_time_s: float | None = None


def write_load_note(path: Path, note: LoadNote) -> None:
    """Append one line in one write: several processes share the file. Raises OSError."""
    line = {name: value for name, value in asdict(note).items() if value is not None}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")


def parse_load_notes(path: Path) -> list[LoadNote]:
    """Return the notes of a run that is over, in file order; empty without a file. Raises DocumentError."""
    if not path.is_file():
        return []
    notes = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        source = f"line {number}"
        try:
            notes.append(parse_document(LoadNote, load_json(line), source=source))
        except DocumentError as error:
            told = Problem(where=source, found=str(error.problems[0]), expected="a note of the load")
            raise DocumentError(str(path), (told,)) from None
        except (ValueError, RecursionError):
            problem = Problem(where=source, found="is no JSON", expected="a note of the load")
            raise DocumentError(str(path), (problem,)) from None
    return notes


def read_load_notes(path: Path) -> list[LoadNote]:
    """Return the notes in file order; empty when there are none. Lines that cannot be read are left out."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    notes = []
    for line in lines:
        try:
            notes.append(parse_document(LoadNote, load_json(line), source=str(path)))
        except (ValueError, RecursionError, DocumentError):
            continue
    return notes
