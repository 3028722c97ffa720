"""Seal a bundle, and find out later whether it is still what was sealed.

Sealing turns every stream into Parquet, then writes a digest of each file into the manifest. Files that
are derived from the others (verdict, reports) stay out: they can be made again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bundle.document import parse_document
from bundle.layout import DERIVED_FILES, BundleLayout
from bundle.manifest import FileDigest, Manifest, SealRecord, manifest_text, write_manifest
from bundle.tables_io import BROKEN, SEALED_SUFFIX, STREAM_SUFFIX, next_batch

_CHUNK_BYTES = 1 << 20
_ROW_GROUP = 100_000


class DamageKind(StrEnum):
    """What is wrong with a file of a sealed bundle."""

    UNSEALED = "unsealed"
    MISSING = "missing"
    TRUNCATED = "truncated"
    EDITED = "edited"
    UNEXPECTED = "unexpected"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One file that is not as it was sealed; `file` is relative to the bundle."""

    kind: DamageKind
    file: str
    detail: str


def seal(layout: BundleLayout, manifest: Manifest) -> Manifest:
    """Return the sealed manifest, written; all streams of the bundle are Parquet now.

    A stream that was cut off keeps its whole batches. Sealing again digests afresh.
    """
    for stream in sorted(layout.root.rglob(f"*{STREAM_SUFFIX}")):
        _to_parquet(stream)
    files = {str(path.relative_to(layout.root)): _digest(path) for path in _sealed_files(layout)}
    bare = replace(manifest, seal=None)
    sealed = replace(bare, seal=SealRecord(sealed_at_s=time.time(), files=files, manifest_sha256=_text_digest(bare)))
    write_manifest(layout.manifest, sealed)
    return sealed


def find_damage(layout: BundleLayout, manifest: Manifest) -> list[Damage]:
    """Return what differs from the seal, in file order; empty when nothing does."""
    if manifest.seal is None:
        return [Damage(kind=DamageKind.UNSEALED, file=layout.manifest.name, detail="the run was not sealed")]
    damage = []
    if manifest.seal.manifest_sha256 != _text_digest(replace(manifest, seal=None)):
        damage.append(Damage(kind=DamageKind.EDITED, file=layout.manifest.name, detail="digest differs"))
    for name, expected in sorted(manifest.seal.files.items()):
        found = _compare(layout.root / name, expected)
        if found is not None:
            damage.append(Damage(kind=found[0], file=name, detail=found[1]))
    known = set(manifest.seal.files)
    for path in _sealed_files(layout):
        name = str(path.relative_to(layout.root))
        if name not in known:
            damage.append(Damage(kind=DamageKind.UNEXPECTED, file=name, detail="was not there when the run was sealed"))
    return damage


def _compare(path: Path, expected: FileDigest) -> tuple[DamageKind, str] | None:
    try:
        if not path.is_file():
            return DamageKind.MISSING, f"had {expected.bytes} bytes"
        size = path.stat().st_size
        if size < expected.bytes:
            return DamageKind.TRUNCATED, f"has {size} of {expected.bytes} bytes"
        if size != expected.bytes:
            return DamageKind.EDITED, f"has {size} bytes instead of {expected.bytes}"
        return None if _digest(path) == expected else (DamageKind.EDITED, "digest differs")
    except OSError as error:
        return DamageKind.UNREADABLE, f"cannot be read ({error.strerror})"


def _sealed_files(layout: BundleLayout) -> list[Path]:
    """Return every file that a seal covers, in name order."""
    top_level = DERIVED_FILES | {layout.manifest.name}
    return sorted(
        path
        for path in layout.root.rglob("*")
        if path.is_file() and not (path.parent == layout.root and path.name in top_level)
    )


def _to_parquet(stream_path: Path) -> None:
    """Replace one stream by the Parquet file of the same rows; a stream without a schema is left as it is."""
    target = stream_path.with_suffix(SEALED_SUFFIX)
    fresh = target.with_suffix(".parquet.new")
    try:
        with stream_path.open("rb") as file, pa.ipc.open_stream(file) as stream:
            with pq.ParquetWriter(fresh, stream.schema, compression="zstd") as writer:
                for rows in _row_groups(stream):
                    writer.write_table(rows)
    except BROKEN:
        fresh.unlink(missing_ok=True)
        return
    fresh.replace(target)
    stream_path.unlink()


def _row_groups(stream: pa.ipc.RecordBatchStreamReader) -> Iterator[pa.Table]:
    """Yield the rows of a stream in tables of some size: a stream has a batch for every quarter of a second."""
    held: list[pa.RecordBatch] = []
    count = 0
    while (batch := next_batch(stream)) is not None:
        held.append(batch)
        count += batch.num_rows
        if count >= _ROW_GROUP:
            yield pa.Table.from_batches(held, schema=stream.schema)
            held, count = [], 0
    if held:
        yield pa.Table.from_batches(held, schema=stream.schema)


def _digest(path: Path) -> FileDigest:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
    return FileDigest(sha256=sha256.hexdigest(), bytes=path.stat().st_size)


def _text_digest(manifest: Manifest) -> str:
    """Return the digest of the manifest as it will be read: a duration of 5 comes back as 5.0."""
    read_back = parse_document(Manifest, json.loads(manifest_text(manifest)), source="manifest")
    return hashlib.sha256(manifest_text(read_back).encode()).hexdigest()
