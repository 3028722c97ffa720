"""Sealing: every file is covered, every kind of damage is found, and nothing that may change is called damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bundle import (
    BALANCES,
    SAMPLES,
    BundleLayout,
    Damage,
    DamageKind,
    ExpectedFault,
    FileDigest,
    Manifest,
    RunEnd,
    TableWriter,
    create_bundle,
    find_damage,
    read_manifest,
    read_table,
    seal,
    write_manifest,
)
from bundle.layout import DERIVED_FILES
from tests.unit.bundle.test_manifest import MANIFEST

ROW = {"height": 1, "address": "ve1a", "amount_uve": "10"}
SAMPLE = {"intended_at_s": 1.0, "sent_at_s": 1.0, "operation": "q", "protocol": "RPC", "outcome": "ok", "attempts": 1}


@pytest.fixture
def layout(tmp_path: Path) -> BundleLayout:
    """A bundle as a run leaves it before sealing: two tables, a log, budgets, a manifest."""
    layout = create_bundle(tmp_path, "smoke")
    for table, part, row in ((BALANCES, None, ROW), (SAMPLES, "w1", SAMPLE), (SAMPLES, "w2", SAMPLE)):
        writer = TableWriter(layout, table, part=part)
        writer.append(**row)
        writer.close()
    (layout.logs / "locust.log").write_text("it ran\n")
    layout.budgets.write_text("{}")
    write_manifest(layout.manifest, MANIFEST)
    return layout


FILES = ["balances.parquet", "budgets.json", "logs/locust.log", "samples/w1.parquet", "samples/w2.parquet"]


def damage_of(layout: BundleLayout) -> list[tuple[str, str]]:
    """Return (kind, file) of all that differs from the seal, by the manifest on disk."""
    return [(found.kind.value, found.file) for found in find_damage(layout, read_manifest(layout.manifest))]


def test_seal_covers_every_file_but_the_manifest(layout: BundleLayout) -> None:
    """The manifest on disk is the one returned, and nothing differs from it."""
    sealed = seal(layout, MANIFEST)
    assert sealed.seal is not None
    assert sorted(sealed.seal.files) == FILES
    assert read_manifest(layout.manifest) == sealed
    assert replace(sealed, seal=None) == MANIFEST
    assert find_damage(layout, sealed) == []


def test_streams_become_parquet_with_the_same_rows(layout: BundleLayout) -> None:
    """One row more or less would be another run."""
    before = {table.name: read_table(layout, table) for table in (BALANCES, SAMPLES)}
    seal(layout, MANIFEST)
    assert list(layout.root.rglob("*.arrows")) == []
    assert {table.name: read_table(layout, table) for table in (BALANCES, SAMPLES)} == before


def test_stream_longer_than_a_row_group_keeps_all_rows(layout: BundleLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are written in groups; the last, smaller group is not forgotten."""
    monkeypatch.setattr(import_module("bundle.seal"), "_ROW_GROUP", 4)  # bundle.seal by itself is the function
    writer = TableWriter(layout, SAMPLES, part="w3")
    for attempts in range(11):
        writer.append(**SAMPLE | {"attempts": attempts})
        if attempts % 3 == 0:
            writer.flush()
    writer.close()
    seal(layout, MANIFEST)
    path = layout.samples / "w3.parquet"
    assert pq.read_table(path)["attempts"].to_pylist() == list(range(11))
    assert pq.ParquetFile(path).metadata.num_row_groups == 3


def test_table_without_rows_is_sealed(layout: BundleLayout) -> None:
    """Nothing happened is a result."""
    TableWriter(layout, SAMPLES, part="w3").close()
    TableWriter(layout, SAMPLES, part="w4")  # its process was killed at once
    seal(layout, MANIFEST)
    assert {"samples/w3.parquet", "samples/w4.parquet"} <= set(read_manifest(layout.manifest).seal.files)  # type: ignore[union-attr]
    assert read_table(layout, SAMPLES).num_rows == 2


def test_stream_that_was_cut_keeps_its_whole_batches_wherever_it_was_cut(tmp_path: Path) -> None:
    """Sealing reads what can be read, leaves what cannot be, and never breaks."""
    source = BundleLayout(root=tmp_path)
    writer = TableWriter(source, BALANCES)
    for height in range(4):
        writer.append(**ROW | {"height": height})
        writer.flush()
    writer.close()
    whole = writer.path.read_bytes()
    counts = []
    for end in (*range(0, len(whole), 23), len(whole)):
        layout = BundleLayout(root=tmp_path / str(end))
        layout.root.mkdir()
        (layout.root / "balances.arrows").write_bytes(whole[:end])
        sealed = seal(layout, MANIFEST)
        assert find_damage(layout, sealed) == []
        (name,) = sealed.seal.files  # type: ignore[union-attr]
        if name == "balances.parquet":
            heights = read_table(layout, BALANCES)["height"].to_pylist()
            assert heights == list(range(len(heights)))
            counts.append(len(heights))
        else:
            assert name == "balances.arrows"
            assert not counts, "a shorter stream could be read"
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3, 4}


def test_stream_of_something_else_is_left_as_it_is(layout: BundleLayout) -> None:
    """It is sealed as any file, and reading the table says that it is damaged."""
    (layout.root / "blocks.arrows").write_bytes(b"rubbish")
    sealed = seal(layout, MANIFEST)
    assert "blocks.arrows" in sealed.seal.files  # type: ignore[union-attr]
    assert (layout.root / "blocks.arrows").read_bytes() == b"rubbish"
    assert find_damage(layout, sealed) == []


def test_seal_that_was_interrupted_can_be_done_again(layout: BundleLayout) -> None:
    """Half a Parquet file under its first name; a stream still beside its Parquet file."""
    stream = (layout.root / "balances.arrows").read_bytes()
    (layout.root / "balances.parquet.new").write_bytes(b"PAR1 half")
    seal(layout, MANIFEST)
    (layout.root / "balances.arrows").write_bytes(stream)
    sealed = seal(layout, MANIFEST)
    assert sealed.seal is not None
    assert sorted(sealed.seal.files) == FILES
    assert find_damage(layout, sealed) == []
    assert read_table(layout, BALANCES).to_pylist() == [ROW]


def test_sealing_twice_digests_afresh(layout: BundleLayout) -> None:
    """The second seal is of the bundle as it is then; without a change it is the same digests."""
    first = seal(layout, MANIFEST)
    assert first.seal is not None
    again = seal(layout, first)
    assert again.seal is not None
    assert (again.seal.files, again.seal.manifest_sha256) == (first.seal.files, first.seal.manifest_sha256)
    (layout.logs / "more.log").write_text("more")
    third = seal(layout, replace(again, end=RunEnd.COMPLETED))
    assert third.seal is not None
    assert sorted(third.seal.files) == sorted([*FILES, "logs/more.log"])
    assert damage_of(layout) == []


# --- damage ---


def test_unsealed_run_is_told() -> None:
    """A manifest without a seal is that of a conductor that died."""
    told = find_damage(BundleLayout(root=Path("nowhere")), MANIFEST)
    assert told == [Damage(kind=DamageKind.UNSEALED, file="manifest.json", detail="the run was not sealed")]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (Path.unlink, "missing"),
        (replace_by_folder, "missing"),
        (cut, "truncated"),
        (lengthen, "edited"),
        (flip, "edited"),
    ],
)
@pytest.mark.parametrize("name", FILES)
def test_harm_to_any_file_is_found(layout: BundleLayout, harm: Callable[[Path], None], kind: str, name: str) -> None:
    """The file is named, and it alone."""
    seal(layout, MANIFEST)
    harm(layout.root / name)
    assert damage_of(layout) == [(kind, name)]


def test_damage_says_how_much_is_left(layout: BundleLayout) -> None:
    """The words are those of a verdict's reason."""
    seal(layout, MANIFEST)
    log = layout.logs / "locust.log"
    details = []
    for content in ("it", "it ran longer\n", "it RAN\n"):
        log.write_text(content)
        details += [found.detail for found in find_damage(layout, read_manifest(layout.manifest))]
    log.unlink()
    details += [found.detail for found in find_damage(layout, read_manifest(layout.manifest))]
    assert details == ["has 2 of 7 bytes", "has 14 bytes instead of 7", "digest differs", "had 7 bytes"]


@pytest.mark.parametrize("name", ["extra.parquet", "samples/w9.arrows", "logs/report.html", ".hidden"])
def test_file_that_was_not_there_is_found(layout: BundleLayout, name: str) -> None:
    """Also one that would be derived elsewhere: only the bundle's own top has derived files."""
    seal(layout, MANIFEST)
    (layout.root / name).write_text("new")
    assert damage_of(layout) == [("unexpected", name)]


def test_every_damage_is_told_in_file_order(layout: BundleLayout) -> None:
    """One look tells all."""
    seal(layout, MANIFEST)
    (layout.samples / "w2.parquet").unlink()
    cut(layout.root / "balances.parquet")
    (layout.root / "a.txt").touch()
    assert damage_of(layout) == [
        ("truncated", "balances.parquet"),
        ("missing", "samples/w2.parquet"),
        ("unexpected", "a.txt"),
    ]


def test_derived_files_are_no_damage(layout: BundleLayout) -> None:
    """They can be made, changed and deleted: the same bundle can be judged again."""
    for name in DERIVED_FILES:
        (layout.root / name).write_text("before")
    seal(layout, MANIFEST)
    for name in DERIVED_FILES:
        (layout.root / name).write_text("after")
    assert damage_of(layout) == []
    for name in DERIVED_FILES:
        (layout.root / name).unlink()
    assert damage_of(layout) == []


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"end": "completed"},
        {"started_at_s": 1000.5},
        {"plan_title": "One validator dies "},
        {"phases": []},
        {"host": {}},
    ],
)
def test_edited_manifest_is_found(layout: BundleLayout, change: dict[str, Any]) -> None:
    """Any field of it."""
    seal(layout, MANIFEST)
    fields = json.loads(layout.manifest.read_text()) | change
    layout.manifest.write_text(json.dumps(fields))
    assert damage_of(layout) == [("edited", "manifest.json")]


def test_manifest_may_be_written_in_another_way(layout: BundleLayout) -> None:
    """Indents and the order of fields mean nothing."""
    seal(layout, MANIFEST)
    fields = json.loads(layout.manifest.read_text())
    layout.manifest.write_text(json.dumps(dict(reversed(fields.items())), indent=4))
    assert damage_of(layout) == []


def test_whole_numbers_in_the_manifest_are_no_damage(layout: BundleLayout) -> None:
    """A duration written as 5 is read as 5.0, and is the same duration."""
    fault = ExpectedFault(experiment="kill", targets=("a",), expected_halt=False, hold_s=5, recovery_limit_s=60)
    seal(layout, replace(MANIFEST, faults=(fault,), planned_s=135))
    assert damage_of(layout) == []


def with_file(manifest: Manifest, name: str) -> Manifest:
    """Return a sealed manifest that claims one file more."""
    assert manifest.seal is not None
    files = manifest.seal.files | {name: FileDigest(sha256="0" * 64, bytes=5)}
    return replace(manifest, seal=replace(manifest.seal, files=files))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gone.txt", "missing"), ("", "missing"), ("nul\0", "missing"), ("n" * 5000, "unreadable"), ("logs", "missing")],
)
def test_name_that_no_file_can_have_is_damage(layout: BundleLayout, name: str, kind: str) -> None:
    """A seal that was written by hand breaks nothing."""
    sealed = with_file(seal(layout, MANIFEST), name)
    assert [(found.kind.value, found.file) for found in find_damage(layout, sealed)] == [(kind, name)]
