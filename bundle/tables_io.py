"""Write and read the tables of a bundle.

While a run lasts, a table is an Arrow IPC stream (`.arrows`): every flush appends whole batches, so what
was flushed can be read after any kind of death. A Parquet file has its index at the end and could not.
Sealing turns streams into Parquet (`seal.py`). Readers take either form.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from bundle.errors import TableDamaged, TableMissing
from bundle.layout import BundleLayout
from bundle.tables import Table

STREAM_SUFFIX = ".arrows"
SEALED_SUFFIX = ".parquet"

BROKEN = (pa.ArrowException, OSError, ValueError)
"""What pyarrow raises for a file that is not what it should be; ValueError for names that are not UTF-8."""

_STREAM_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class TableWriter:
    """Appends rows to one table from any thread. Rows reach the disk at `flush` and `close`."""

    def __init__(self, layout: BundleLayout, table: Table, *, part: str | None = None) -> None:
        """Open the stream. `part` names the file within a table that is a folder."""
        if table.is_folder != (part is not None):
            raise ValueError(f"table {table.name} {'needs' if table.is_folder else 'takes no'} part")
        relative = f"{table.path}/{part}" if part else table.path
        self.path = layout.root / f"{relative}{STREAM_SUFFIX}"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._schema = table.schema
        self._names = tuple(table.schema.names)
        self._needed = tuple(place for place, field in enumerate(table.schema) if not field.nullable)
        self._lock = threading.Lock()
        self._rows: list[tuple[Any, ...]] = []
        self._written_count = 0
        self._file = self.path.open("xb")
        self._stream = pa.ipc.new_stream(self._file, self._schema, options=_STREAM_OPTIONS)
        self._write([])  # the schema goes out with the first batch: an empty table is a table

    @property
    def row_count(self) -> int:
        """Rows appended so far."""
        return self._written_count + len(self._rows)

    def append(self, **row: Any) -> None:
        """Add one row. Columns that are left out become null.

        Raises TypeError for an unknown column, and for a null where the table has none: one such row would make the
        whole table unreadable.
        """
        values = tuple([row.pop(name, None) for name in self._names])
        if row:
            raise TypeError(f"unknown columns: {', '.join(sorted(row))}")
        for place in self._needed:
            if values[place] is None:
                missing = sorted(self._names[each] for each in self._needed if values[each] is None)
                raise TypeError(f"no value for: {', '.join(missing)}")
        self._rows.append(values)  # one step to other threads: needs no lock

    def write_columns(self, columns: Sequence[Sequence[Any]]) -> None:
        """Write rows at once, given column by column in the table's order: for who has very many.

        Raises TypeError for other columns than the table's, and for a null where it has none; then nothing is written.
        """
        if len(columns) != len(self._names):
            raise TypeError(f"{len(columns)} columns for {len(self._names)}")
        arrays = [pa.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)]
        if missing := sorted(self._names[place] for place in self._needed if arrays[place].null_count):
            raise TypeError(f"no value for: {', '.join(missing)}")
        with self._lock:
            self._written_count += len(columns[0])
            self._write_batch(arrays)

    def flush(self) -> None:
        """Write every row appended so far."""
        with self._lock:
            rows = self._rows[:]
            if not rows:
                return
            del self._rows[: len(rows)]
            self._written_count += len(rows)
            self._write(rows)

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        columns = zip(*rows, strict=True) if rows else [()] * len(self._names)
        arrays = [pa.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._write_batch(arrays)

    def _write_batch(self, arrays: list[Any]) -> None:
        self._stream.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._file.flush()

    def close(self) -> None:
        """Flush and end the stream. Closing twice does nothing."""
        if self._file.closed:
            return
        self.flush()
        with self._lock:
            self._stream.close()
            self._file.close()


def table_files(layout: BundleLayout, table: Table) -> list[Path]:
    """Return the files of a table in name order, the sealed form before the stream it was made from."""
    if not table.is_folder:
        candidates = [layout.root / f"{table.path}{suffix}" for suffix in (SEALED_SUFFIX, STREAM_SUFFIX)]
        return [path for path in candidates if path.is_file()][:1]
    folder = layout.root / table.path
    sealed = {path.stem: path for path in folder.glob(f"*{SEALED_SUFFIX}")}
    streams = {path.stem: path for path in folder.glob(f"*{STREAM_SUFFIX}")}
    return [path for _, path in sorted((streams | sealed).items())]


def read_table(
    layout: BundleLayout, table: Table, *, columns: list[str] | None = None, repeated: Collection[str] = ()
) -> pa.Table:
    """Return the rows of a table, its parts in name order, a column `part` added for a folder.

    Columns of text that are named in `repeated` come as dictionaries, each text once a part; `part` can be one of
    them. A stream that was cut off gives the batches before the cut. Raises TableMissing, TableDamaged.
    """
    files = table_files(layout, table)
    if not files:
        raise TableMissing(layout.root / f"{table.path}{SEALED_SUFFIX}", table.name)
    parts = []
    for path in files:
        rows = (read_sealed if path.suffix == SEALED_SUFFIX else read_stream)(path, table, repeated)
        if columns is not None:
            rows = rows.select(columns)
        if table.is_folder:
            part = pa.repeat(pa.scalar(path.stem), rows.num_rows)
            rows = rows.append_column("part", part.dictionary_encode() if "part" in repeated else part)
        parts.append(rows)
    return pa.concat_tables(parts)


def read_sealed(path: Path, table: Table, repeated: Collection[str] = ()) -> pa.Table:
    """Return the rows of one Parquet file. Raises TableDamaged."""
    try:
        rows = pq.read_table(path, read_dictionary=[name for name in table.schema.names if name in repeated])
    except BROKEN as error:
        raise TableDamaged(path, table.name, f"cannot be read ({_first_line(error)})") from None
    return _checked(rows, path, table, repeated)


def read_stream(path: Path, table: Table, repeated: Collection[str] = ()) -> pa.Table:
    """Return the whole batches of one stream. Raises TableDamaged when not even its schema is there."""
    batches = []
    try:
        with path.open("rb") as file, pa.ipc.open_stream(file) as stream:
            schema = stream.schema
            while (batch := next_batch(stream)) is not None:
                batches.append(batch)
    except BROKEN as error:
        raise TableDamaged(path, table.name, f"cannot be read ({_first_line(error)})") from None
    return _checked(pa.Table.from_batches(batches, schema=schema), path, table, repeated)


class BatchStream(Protocol):
    """The part of pyarrow's stream reader that is used here."""

    def read_next_batch(self) -> pa.RecordBatch: ...


def next_batch(stream: BatchStream) -> pa.RecordBatch | None:
    """Return the next whole batch, or None at the end or where the stream was cut off."""
    try:
        return stream.read_next_batch()
    except (StopIteration, EOFError, *BROKEN):
        return None


def _checked(rows: pa.Table, path: Path, table: Table, repeated: Collection[str]) -> pa.Table:
    """Return `rows` with exactly the table's columns and types, so that no reader meets another shape.

    Columns that are newer than the file are null. Nothing is converted: text that looks like a number is no number.
    Text is checked to be UTF-8.
    """
    try:
        missing = [name for name in table.schema.names if name not in rows.schema.names]
        for name in table.newer.intersection(missing):
            rows = rows.append_column(table.schema.field(name), pa.nulls(rows.num_rows, table.schema.field(name).type))
        missing = [name for name in missing if name not in table.newer]
        if missing:
            raise TableDamaged(path, table.name, f"has no column {', '.join(missing)}")
        wanted = rows.select(table.schema.names)
        schema = table.schema
        for place, (found, field) in enumerate(zip(wanted.schema, table.schema, strict=True)):
            dictionary = pa.dictionary(pa.int32(), field.type) if field.name in repeated else None
            if found.type not in (field.type, dictionary):
                raise TableDamaged(path, table.name, f"holds {field.name} as {found.type}")
            if dictionary is not None:
                wanted = wanted.set_column(place, found.name, wanted.column(place).dictionary_encode())
                schema = schema.set(place, field.with_type(dictionary))
        wanted.validate(full=True)
        return wanted.cast(schema)
    except (*BROKEN, KeyError) as error:
        raise TableDamaged(path, table.name, f"holds other values ({_first_line(error)})") from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no reason given"])[0][:120]
