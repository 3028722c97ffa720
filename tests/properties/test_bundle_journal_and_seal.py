"""Laws of the fault journal and of the seal."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle import (
    BundleLayout,
    DocumentError,
    FaultEvent,
    FaultEventKind,
    FaultJournal,
    Manifest,
    find_damage,
    read_fault_journal,
    read_manifest,
    seal,
)
from bundle.fault_journal import open_leases
from tests.strategies import FEW, LAW, fault_events, manifests

pytestmark = pytest.mark.slow


@FEW
@given(st.lists(fault_events, max_size=5), st.data())
def test_journal_cut_anywhere_gives_the_events_before_the_cut(events: list[FaultEvent], data: st.DataObject) -> None:
    """Law: read(write(events)) == events; cut at any byte, a prefix of them; and writing goes on after the cut."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faults.jsonl"
        for event in events:
            FaultJournal(path).write(event)
        assert read_fault_journal(path) == events
        whole = path.read_bytes() if events else b""
        end = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:end])
        before = events[: whole[:end].count(b"\n")]
        assert read_fault_journal(path) == before
        late = data.draw(fault_events)
        FaultJournal(path).write(late)
        assert read_fault_journal(path) == [*before, late]


@LAW
@given(st.binary(max_size=300))
def test_any_bytes_are_a_journal_or_refused(content: bytes) -> None:
    """Law: reading raises DocumentError and nothing else; without a whole line there is nothing to refuse."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faults.jsonl"
        path.write_bytes(content)
        if b"\n" in content:
            with pytest.raises(DocumentError, match=r"line 1: .*; expected "):
                read_fault_journal(path)
        else:
            assert read_fault_journal(path) == []


@LAW
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(FaultEventKind)), max_size=12))
def test_open_leases_are_the_planned_whose_healing_nobody_saw(steps: list[tuple[str, FaultEventKind]]) -> None:
    """Law: a lease is open exactly when it was planned and no event says that its healing was seen."""
    events = [
        FaultEvent(lease=lease, event=kind, at_s=float(i), fault="f", targets=())
        for i, (lease, kind) in enumerate(steps)
    ]
    seen = {lease for lease, kind in steps if kind is FaultEventKind.HEAL_SEEN}
    planned = {lease for lease, kind in steps if kind is FaultEventKind.PLANNED}
    found = open_leases(events)
    assert {event.lease for event in found} == planned - seen
    assert [event.at_s for event in found] == sorted(event.at_s for event in found)


_names = st.from_regex(r"[a-z]{1,6}(/[a-z]{1,6})?\.(txt|log|parquet)", fullmatch=True)


@FEW
@given(manifests, st.dictionaries(_names, st.binary(max_size=40), max_size=4), st.data())
def test_seal_finds_every_change_and_no_other(manifest: Manifest, files: dict[str, bytes], data: st.DataObject) -> None:
    """Law: after a seal nothing is damaged; after any change of content exactly the changed files are."""
    with tempfile.TemporaryDirectory() as folder:
        layout = BundleLayout(root=Path(folder))
        for name, content in files.items():
            (layout.root / name).parent.mkdir(exist_ok=True)
            (layout.root / name).write_bytes(content)
        seal(layout, manifest)
        assert find_damage(layout, read_manifest(layout.manifest)) == []
        harmed = data.draw(st.sets(st.sampled_from(sorted(files)))) if files else set()
        for name in harmed:
            (layout.root / name).write_bytes(data.draw(st.binary(max_size=40)) + files[name] + b"!")
        damage = find_damage(layout, read_manifest(layout.manifest))
        assert [found.file for found in damage] == sorted(harmed)
