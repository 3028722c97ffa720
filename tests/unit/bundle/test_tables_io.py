"""Tables: what is written comes back, from a stream and from Parquet; another shape is damage."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bundle import BALANCES, BLOCKS, SAMPLES, SUPPLY, BundleLayout, Table, TableDamaged, TableMissing, TableWriter
from bundle.tables import ALL_TABLES
from bundle.tables_io import read_table, table_files

ROWS = [
    {"height": 1, "address": "ve1a", "amount_uve": "10"},
    {"height": 2, "address": "ve1b", "amount_uve": "0"},
]


@pytest.fixture
def layout(tmp_path: Path) -> BundleLayout:
    return BundleLayout(root=tmp_path)


def write(layout: BundleLayout, table: Table, rows: list[dict[str, Any]], part: str | None = None) -> Path:
    """Write a stream of two batches and return its path."""
    writer = TableWriter(layout, table, part=part)
    for place, row in enumerate(rows):
        writer.append(**row)
        if place == len(rows) // 2:
            writer.flush()
    writer.close()
    return writer.path


def test_tables_are_distinct() -> None:
    """Every table has a name, a file and columns of its own."""
    assert len({table.name for table in ALL_TABLES}) == len({table.path for table in ALL_TABLES}) == len(ALL_TABLES)
    for table in ALL_TABLES:
        assert len(set(table.schema.names)) == len(table.schema.names)


def test_rows_come_back_in_order(layout: BundleLayout) -> None:
    """Of one file, and of several parts in name order with the part's name added."""
    write(layout, BALANCES, ROWS)
    assert read_table(layout, BALANCES).to_pylist() == ROWS
    sample = {"intended_at_s": 1.0, "sent_at_s": 1.0, "operation": "q", "protocol": "RPC", "outcome": "ok"}
    for part in ("w2", "w1"):
        write(layout, SAMPLES, [sample | {"attempts": place} for place in range(3)], part)
    back = read_table(layout, SAMPLES)
    assert [(row["part"], row["attempts"]) for row in back.to_pylist()] == [
        (part, place) for part in ("w1", "w2") for place in range(3)
    ]


def test_column_left_out_is_null(layout: BundleLayout) -> None:
    """What was not measured is missing, never 0."""
    write(layout, SUPPLY, [{"height": 7}])
    (row,) = read_table(layout, SUPPLY).to_pylist()
    assert row == {"height": 7, "minted_uve": None, "burned_uve": None, "total_uve": None}


def test_some_columns_can_be_read_alone(layout: BundleLayout) -> None:
    """A reader that needs two columns reads two."""
    write(layout, BALANCES, ROWS)
    assert read_table(layout, BALANCES, columns=["height"]).to_pylist() == [{"height": 1}, {"height": 2}]


def test_table_without_rows_has_its_columns(layout: BundleLayout) -> None:
    """Nothing happened is something else than nothing was written down."""
    write(layout, BLOCKS, [])
    back = read_table(layout, BLOCKS)
    assert back.num_rows == 0
    assert back.schema == BLOCKS.schema


def test_table_that_nobody_wrote_is_missing(layout: BundleLayout) -> None:
    """The error names the file that should be there."""
    with pytest.raises(TableMissing) as caught:
        read_table(layout, BLOCKS)
    assert str(caught.value) == f"{layout.root / 'blocks.parquet'}: is missing; expected the table blocks"
    layout.samples.mkdir()
    with pytest.raises(TableMissing):
        read_table(layout, SAMPLES)


# --- writing ---


def test_flushed_rows_are_on_disk_while_the_writer_lives(layout: BundleLayout) -> None:
    """A writer that is killed after a flush lost nothing before it."""
    writer = TableWriter(layout, BALANCES)
    assert read_table(layout, BALANCES).num_rows == 0
    writer.append(**ROWS[0])
    assert read_table(layout, BALANCES).num_rows == 0
    writer.flush()
    writer.flush()
    assert read_table(layout, BALANCES).to_pylist() == ROWS[:1]
    writer.append(**ROWS[1])
    writer.close()
    writer.close()
    assert read_table(layout, BALANCES).to_pylist() == ROWS
    assert writer.row_count == 2


def test_unknown_column_is_refused(layout: BundleLayout) -> None:
    """A misspelt column is an error where it is written, and no row."""
    writer = TableWriter(layout, BALANCES)
    with pytest.raises(TypeError, match="unknown columns: adress"):
        writer.append(height=1, adress="ve1a")
    writer.close()
    assert read_table(layout, BALANCES).num_rows == 0


@pytest.mark.parametrize(
    "row", [{"height": 1, "address": "ve1a"}, {"height": 1, "address": "ve1a", "amount_uve": None}]
)
def test_row_without_a_needed_column_is_refused(layout: BundleLayout, row: dict[str, Any]) -> None:
    """One row with a hole would make the whole table unreadable, so it is an error where it is written."""
    writer = TableWriter(layout, BALANCES)
    writer.append(**ROWS[0])
    with pytest.raises(TypeError, match="no value for: amount_uve"):
        writer.append(**row)
    writer.close()
    assert read_table(layout, BALANCES).to_pylist() == ROWS[:1]


def test_rows_can_be_written_column_by_column(layout: BundleLayout) -> None:
    writer = TableWriter(layout, BALANCES)
    writer.append(**ROWS[0])
    writer.flush()
    writer.write_columns([[2], ["ve1b"], ["0"]])
    assert writer.row_count == 2
    writer.close()
    assert read_table(layout, BALANCES).to_pylist() == ROWS


@pytest.mark.parametrize(
    ("columns", "why"),
    [([[1], ["a"]], "2 columns for 3"), ([[1, 2], ["a", None], ["1", "2"]], "no value for: address")],
)
def test_columns_that_do_not_fit_are_refused_and_nothing_is_written(
    layout: BundleLayout, columns: list[list[Any]], why: str
) -> None:
    writer = TableWriter(layout, BALANCES)
    with pytest.raises(TypeError, match=why):
        writer.write_columns(columns)
    writer.close()
    assert read_table(layout, BALANCES).num_rows == 0


def test_part_belongs_to_tables_that_are_folders(layout: BundleLayout) -> None:
    """Each kind of table is opened in its own way."""
    with pytest.raises(ValueError, match="takes no part"):
        TableWriter(layout, BLOCKS, part="w1")
    with pytest.raises(ValueError, match="needs part"):
        TableWriter(layout, SAMPLES)


def test_second_writer_of_one_file_is_refused(layout: BundleLayout) -> None:
    """Two writers would write over each other."""
    TableWriter(layout, BLOCKS).close()
    with pytest.raises(FileExistsError):
        TableWriter(layout, BLOCKS)


@pytest.fixture
def _restless_threads() -> Iterator[None]:
    """Let Python change from thread to thread as often as it can, so that a race is met."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_s)


@pytest.mark.usefixtures("_restless_threads")
def test_threads_lose_and_double_nothing(layout: BundleLayout) -> None:
    """Six threads append while two flush: every row is there once, each thread's in its order, and none breaks."""
    names, rows = [f"t{i}" for i in range(6)], 1500
    writer = TableWriter(layout, BALANCES)
    appending = threading.Event()
    appending.set()

    def append(name: str) -> None:
        for height in range(rows):
            writer.append(height=height, address=name, amount_uve="1")

    def flush() -> None:
        while appending.is_set():
            writer.flush()

    with ThreadPoolExecutor(max_workers=8) as pool:
        flushers = [pool.submit(flush) for _ in range(2)]
        appenders = [pool.submit(append, name) for name in names]
        wait(appenders)
        appending.clear()
    for thread in (*appenders, *flushers):
        thread.result()
    writer.close()
    back = read_table(layout, BALANCES).to_pylist()
    assert Counter(row["address"] for row in back) == dict.fromkeys(names, rows)
    for name in names:
        assert [row["height"] for row in back if row["address"] == name] == list(range(rows))


# --- damage ---


def sealed(layout: BundleLayout, columns: dict[str, pa.Array[Any]]) -> Path:
    """Write these columns where the balances should be."""
    path = layout.root / "balances.parquet"
    pq.write_table(pa.table(columns), path)
    return path


HEIGHTS, ADDRESSES, AMOUNTS = pa.array([1, 2]), pa.array(["ve1a", "ve1b"]), pa.array(["10", "0"])


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"height": HEIGHTS, "address": ADDRESSES}, "has no column amount_uve"),
        ({"height": HEIGHTS}, "has no column address, amount_uve"),
        ({}, "has no column height, address, amount_uve"),
        ({"height": HEIGHTS, "address": ADDRESSES, "amount_uve": HEIGHTS}, "holds amount_uve as int64"),
        ({"height": AMOUNTS, "address": ADDRESSES, "amount_uve": AMOUNTS}, "holds height as string"),
        (
            {"height": HEIGHTS.cast(pa.float64()), "address": ADDRESSES, "amount_uve": AMOUNTS},
            "holds height as double",
        ),
        (
            {"height": pa.array([1, None]), "address": ADDRESSES, "amount_uve": AMOUNTS},
            "holds other values (Casting field 'height' with null values to non-nullable)",
        ),
    ],
)
@pytest.mark.parametrize("form", ["parquet", "stream"])
def test_table_of_another_shape_is_damaged(
    layout: BundleLayout, columns: dict[str, pa.Array[Any]], why: str, form: str
) -> None:
    """A column that is missing or of another type, a null where none may be: no reader meets it."""
    path = sealed(layout, columns)
    if form == "stream":
        path.unlink()
        path = path.with_suffix(".arrows")
        table = pa.table(columns)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    with pytest.raises(TableDamaged) as caught:
        read_table(layout, BALANCES)
    assert str(caught.value) == f"{path}: {why}; expected the table balances"


def test_columns_beyond_the_table_are_left_out(layout: BundleLayout) -> None:
    """A bundle of a later version can be read."""
    sealed(layout, {"more": HEIGHTS, "amount_uve": AMOUNTS, "height": HEIGHTS, "address": ADDRESSES})
    assert read_table(layout, BALANCES).to_pylist() == ROWS


@pytest.mark.parametrize("form", ["parquet", "stream"])
def test_columns_that_are_newer_than_the_file_are_null(layout: BundleLayout, form: str) -> None:
    """A bundle of an earlier version can be read; a column that was always there is still missed."""
    folder = layout.root / "samples"
    folder.mkdir()
    old = [name for name in SAMPLES.schema.names if name not in SAMPLES.newer]
    row = {
        name: {"double": 1.0, "int32": 1, "int64": 1, "string": "x"}[str(SAMPLES.schema.field(name).type)]
        for name in old
    }
    schema = pa.schema([SAMPLES.schema.field(name) for name in old])

    def write_rows(table: pa.Table) -> None:
        if form == "parquet":
            pq.write_table(table, folder / "old.parquet")
            return
        with pa.OSFile(str(folder / "old.arrows"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)

    write_rows(pa.Table.from_pylist([row, row], schema=schema))
    assert read_table(layout, SAMPLES).to_pylist() == [row | dict.fromkeys(SAMPLES.newer) | {"part": "old"}] * 2
    write_rows(pa.Table.from_pylist([row, row], schema=schema).drop_columns(["operation"]))
    with pytest.raises(TableDamaged, match="has no column operation;"):
        read_table(layout, SAMPLES)


def test_column_that_is_there_twice_is_damage(layout: BundleLayout) -> None:
    """Nobody can say which of the two is meant."""
    table = pa.table([HEIGHTS, HEIGHTS, ADDRESSES, AMOUNTS], names=["height", "height", "address", "amount_uve"])
    pq.write_table(table, layout.root / "balances.parquet")
    with pytest.raises(TableDamaged):
        read_table(layout, BALANCES)


def test_text_that_is_no_text_is_damage(layout: BundleLayout) -> None:
    """Bytes that are not UTF-8 in a column of text do not reach a reader."""
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff\xfe", b"ok"], pa.binary()).buffers())
    sealed(layout, {"height": HEIGHTS, "address": broken, "amount_uve": AMOUNTS})
    with pytest.raises(TableDamaged, match="UTF8"):
        read_table(layout, BALANCES)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", b"\0" * 5000])
@pytest.mark.parametrize("suffix", [".parquet", ".arrows"])
def test_file_of_something_else_is_damage(layout: BundleLayout, content: bytes, suffix: str) -> None:
    """Empty, cut, or rubbish between the right marks."""
    path = layout.root / f"balances{suffix}"
    path.write_bytes(content)
    with pytest.raises(TableDamaged) as caught:
        read_table(layout, BALANCES)
    assert str(caught.value).startswith(f"{path}: cannot be read (")


def test_sealed_form_comes_before_the_stream(layout: BundleLayout) -> None:
    """A seal that was interrupted left both; rows are not counted twice."""
    sealed(layout, {"height": HEIGHTS, "address": ADDRESSES, "amount_uve": AMOUNTS})
    stream = write(layout, BALANCES, ROWS)
    assert table_files(layout, BALANCES) == [layout.root / "balances.parquet"]
    assert read_table(layout, BALANCES).num_rows == 2
    write(layout, SAMPLES, [], "w1")
    write(layout, SAMPLES, [], "w0")
    (layout.samples / "w1.parquet").touch()
    assert [path.name for path in table_files(layout, SAMPLES)] == ["w0.arrows", "w1.parquet"]
    assert stream.is_file()
