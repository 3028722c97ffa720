"""The fault journal: what is written is read; a torn end is forgotten, anything else broken is told."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from pathlib import Path

import pytest

from bundle import DocumentError, FaultEvent, FaultEventKind, FaultJournal, Undo, read_fault_journal
from bundle.fault_journal import open_leases

PLANNED = FaultEvent(
    lease="kill-1",
    event=FaultEventKind.PLANNED,
    at_s=1000.25,
    fault="process.kill",
    targets=("validator-3",),
    undo=Undo(verb="start", targets=("validator-3",)),
    deadline_at_s=1060.0,
)


def event(kind: FaultEventKind, lease: str = "kill-1", at_s: float = 1001.0) -> FaultEvent:
    """Return another event of a lease."""
    return FaultEvent(lease=lease, event=kind, at_s=at_s, fault="process.kill", targets=("validator-3",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "faults.jsonl"


def problem_of(path: Path) -> str:
    """Return the one problem of a journal, without its folder."""
    with pytest.raises(DocumentError) as caught:
        read_fault_journal(path)
    assert len(caught.value.problems) == 1
    return str(caught.value).removeprefix(f"{path.parent}/")


def test_journal_without_a_file_is_empty(path: Path) -> None:
    """A run without faults has none."""
    assert read_fault_journal(path) == []


def test_events_come_back_in_order(path: Path) -> None:
    """All that was written, as it was written, across writers."""
    events = [PLANNED, *(event(kind, at_s=1001.0 + i) for i, kind in enumerate(FaultEventKind))]
    for one in events:
        FaultJournal(path).write(one)
    assert read_fault_journal(path) == events
    assert path.read_bytes().count(b"\n") == len(events)


@pytest.mark.parametrize("text", ["two\nlines", 'quote " and \\', "é ☃ \U0001f600", "\x00\x1f\x7f", "\u2028"])
def test_any_text_stays_on_its_line(path: Path, text: str) -> None:
    """Evidence may hold what it likes."""
    seen = FaultEvent(
        lease=text, event=FaultEventKind.EFFECT_SEEN, at_s=1.0, fault=text, targets=(text,), evidence=text
    )
    FaultJournal(path).write(seen)
    FaultJournal(path).write(PLANNED)
    assert read_fault_journal(path) == [seen, PLANNED]


def test_torn_last_line_is_left_out_wherever_it_is_torn(path: Path) -> None:
    """The writer died while writing it, so nobody acted on it."""
    FaultJournal(path).write(PLANNED)
    FaultJournal(path).write(event(FaultEventKind.APPLIED))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert read_fault_journal(path) == [PLANNED]
    for end in range(first):
        path.write_bytes(whole[:end])
        assert read_fault_journal(path) == []


def test_writing_goes_on_after_a_torn_line(path: Path) -> None:
    """Whoever heals after a crash writes into the journal that the dead writer tore."""
    FaultJournal(path).write(PLANNED)
    FaultJournal(path).write(event(FaultEventKind.APPLIED))
    whole = path.read_bytes()
    healed = event(FaultEventKind.HEALED)
    for end in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:end])
        FaultJournal(path).write(healed)
        assert read_fault_journal(path) == [PLANNED, healed]
    path.write_bytes(whole[:7])
    FaultJournal(path).write(healed)
    assert read_fault_journal(path) == [healed]


def test_writers_do_not_tear_each_other(path: Path) -> None:
    """The runner, the conductor and a janitor may write at once."""
    threads, rows = 6, 20

    def write(name: str) -> None:
        for i in range(rows):
            FaultJournal(path).write(event(FaultEventKind.APPLIED, lease=name, at_s=float(i)))

    writers = [threading.Thread(target=write, args=(f"w{i}",)) for i in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    events = read_fault_journal(path)
    assert len(events) == threads * rows
    for i in range(threads):
        assert [one.at_s for one in events if one.lease == f"w{i}"] == [float(row) for row in range(rows)]


def test_event_that_reached_the_disk_in_part_is_not_acted_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes part of the line: the writer hears of it, and the part does no harm."""
    FaultJournal(path).write(PLANNED)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    with pytest.raises(OSError) as caught:
        FaultJournal(path).write(event(FaultEventKind.APPLIED))
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert read_fault_journal(path) == [PLANNED]
    FaultJournal(path).write(event(FaultEventKind.HEALED))
    assert [one.event for one in read_fault_journal(path)] == [FaultEventKind.PLANNED, FaultEventKind.HEALED]


def test_journal_that_another_writer_holds_for_ever_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a writer that hangs has an end, and nothing is written."""
    monkeypatch.setattr("bundle.fault_journal._LOCK_LIMIT_S", 0.0)
    FaultJournal(path).write(PLANNED)
    with path.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(OSError):
            FaultJournal(path).write(event(FaultEventKind.APPLIED))
    assert read_fault_journal(path) == [PLANNED]


def test_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Then the caller must not act."""
    with pytest.raises(OSError):
        FaultJournal(tmp_path / "no folder" / "faults.jsonl").write(PLANNED)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "is not valid JSON; expected one fault event"),
        ("{", "is not valid JSON; expected one fault event"),
        ("\udcff", "is not valid JSON; expected one fault event"),
        ("[" * 100_000, "is not valid JSON; expected one fault event"),
        ("[]", "is []; expected a table of named fields"),
        ("null", "is None; expected a table of named fields"),
        (
            json.dumps({"lease": "a", "event": "planned", "at_s": 1.0, "fault": "f", "targets": "x"}),
            "targets is 'x'; expected a list",
        ),
        (
            json.dumps({"lease": "a", "event": "planned", "at_s": float("nan"), "fault": "f", "targets": []}),
            "at_s is nan; expected a finite number",
        ),
        (
            '{"lease": "a", "lease": "b", "event": "planned", "at_s": 1, "fault": "f", "targets": []}',
            "is not valid JSON; expected one fault event",
        ),
    ],
)
def test_broken_line_is_told_by_its_number(path: Path, line: str, told: str) -> None:
    """A whole line that is no event is damage: somebody may have acted on it."""
    FaultJournal(path).write(PLANNED)
    good = path.read_bytes()
    path.write_bytes(good + line.encode("utf-8", "surrogateescape") + b"\n" + good)
    assert problem_of(path) == f"faults.jsonl: line 2: {told}"


def test_journal_that_is_a_folder_is_told(path: Path) -> None:
    """It cannot be read, and is not taken for empty."""
    path.mkdir()
    assert problem_of(path) == "faults.jsonl: is a folder; expected a fault journal"


# --- leases ---


def test_lease_is_open_until_its_healing_was_seen() -> None:
    """Neither an undo nor a deadline ends a lease: only that somebody saw it healed."""
    story = [PLANNED]
    for kind in (
        FaultEventKind.APPLIED,
        FaultEventKind.EFFECT_SEEN,
        FaultEventKind.EXPIRED,
        FaultEventKind.FAILED,
        FaultEventKind.HEALED,
    ):
        assert open_leases(story) == [PLANNED]
        story.append(event(kind))
    assert open_leases(story) == [PLANNED]
    assert open_leases([*story, event(FaultEventKind.HEAL_SEEN)]) == []


def test_open_leases_are_told_oldest_first_and_by_themselves() -> None:
    """The healing of one lease ends no other, also of the same fault on the same target."""
    leases = [
        FaultEvent(lease=f"kill-{i}", event=FaultEventKind.PLANNED, at_s=float(i), fault="f", targets=("a",))
        for i in range(4)
    ]
    seen = [event(FaultEventKind.HEAL_SEEN, lease=name) for name in ("kill-0", "kill-2", "other")]
    assert open_leases([*leases, *seen]) == [leases[1], leases[3]]


def test_refusal_opens_no_lease() -> None:
    """What a guard refused was never planned."""
    assert open_leases([event(FaultEventKind.FAILED, lease="refused")]) == []
    assert open_leases([]) == []
