"""Laws of the tables: nothing is lost, doubled or invented, wherever a stream is cut off and whatever is flipped."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle import BALANCES, PROBES, BundleLayout, Table, TableDamaged, TableWriter, read_table, seal
from bundle.tables import ALL_TABLES
from tests.strategies import FEW, LAW, rows_of
from tests.unit.bundle.test_manifest import MANIFEST

pytestmark = pytest.mark.slow


@contextmanager
def new_layout() -> Iterator[BundleLayout]:
    """Give an empty bundle: one for each case, since a writer refuses a file that is there."""
    with tempfile.TemporaryDirectory() as folder:
        yield BundleLayout(root=Path(folder))


def write(layout: BundleLayout, table: Table, batches: list[list[dict[str, Any]]]) -> Path:
    """Write the batches as one stream and return its path."""
    writer = TableWriter(layout, table, part="w" if table.is_folder else None)
    for batch in batches:
        for row in batch:
            writer.append(**row)
        writer.flush()
    writer.close()
    return writer.path


def rows_in(layout: BundleLayout, table: Table) -> list[dict[str, Any]]:
    back = read_table(layout, table)
    return back.select(table.schema.names).to_pylist()


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda table: table.name)
@FEW
@given(data=st.data())
def test_rows_survive_stream_and_seal(table: Table, data: st.DataObject) -> None:
    """Law: read(write(rows)) == rows, from the stream and from what sealing makes of it."""
    batches = data.draw(st.lists(rows_of(table, max_rows=6), max_size=3))
    rows = [row for batch in batches for row in batch]
    with new_layout() as layout:
        path = write(layout, table, batches)
        assert rows_in(layout, table) == rows
        seal(layout, MANIFEST)
        assert not path.exists()
        assert rows_in(layout, table) == rows
        assert read_table(layout, table).select(table.schema.names).schema == table.schema


def test_stream_cut_anywhere_gives_the_rows_before_the_cut(tmp_path: Path) -> None:
    """Law: for every length of a stream, its rows are a prefix, growing with the length, or it is called damaged."""
    layout = BundleLayout(root=tmp_path)
    batches = [
        [
            {"at_s": float(3 * i + j), "endpoint": "node", "kind": "node", "probe": "health", "ok": True, "height": j}
            for j in range(3)
        ]
        for i in range(3)
    ]
    path = write(layout, PROBES, batches)
    whole = path.read_bytes()
    rows = rows_in(layout, PROBES)
    counts: list[int] = []
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        try:
            found = rows_in(layout, PROBES)
        except TableDamaged:
            assert not counts, f"damaged at {end} although a shorter stream could be read"
            continue
        assert found == rows[: len(found)]
        counts.append(len(found))
    assert counts == sorted(counts)
    assert set(counts) == {0, 3, 6, 9}


@LAW
@given(st.data())
def test_stream_cut_anywhere_breaks_nothing_whatever_it_holds(data: st.DataObject) -> None:
    """Law: the same for any rows and any cut."""
    batches = data.draw(st.lists(rows_of(BALANCES, max_rows=5), max_size=4))
    with new_layout() as layout:
        path = write(layout, BALANCES, batches)
        whole = path.read_bytes()
        rows = rows_in(layout, BALANCES)
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
        try:
            found = rows_in(layout, BALANCES)
        except TableDamaged:
            return
        assert found == rows[: len(found)]


def assert_whole_or_damaged(layout: BundleLayout, table: Table) -> None:
    """Assert that the table can be read in its shape, to the last value, or is called damaged."""
    try:
        back = read_table(layout, table)
    except TableDamaged:
        return
    assert back.schema == table.schema
    back.to_pylist()  # what a reader does next


@pytest.mark.parametrize("form", ["stream", "parquet"])
@LAW
@given(data=st.data())
def test_flipped_bits_reach_no_reader_as_an_error_of_another_kind(form: str, data: st.DataObject) -> None:
    """Law: a file with any bytes changed is read as a table of the right shape, or called damaged; sealing too."""
    rows = data.draw(rows_of(BALANCES, max_rows=8))
    with new_layout() as layout:
        path = write(layout, BALANCES, [rows])
        if form == "parquet":
            seal(layout, MANIFEST)
            path = path.with_suffix(".parquet")
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
            content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        assert_whole_or_damaged(layout, BALANCES)
        seal(layout, MANIFEST)
        assert_whole_or_damaged(layout, BALANCES)
