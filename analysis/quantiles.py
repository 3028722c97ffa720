"""Exact quantiles by group, from Parquet to a data frame, in memory that does not grow with the rows.

The same figures as `estimate.quantile` gives for each group's values: a value of the sample, its interval by order
statistics. The ranks are found by `selection`, which reads the files two times, seldom more.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.estimate import Estimate, quantile_by_rank, wanted_ranks
from analysis.selection import Selection
from analysis.sweep import Codes, Floats, Part

Column = Any
"""An array of pyarrow, whose stubs know the element's type only where the code does."""

HELD = 16_000_000
"""Numbers in memory: at most 200 MB of rows, seldom more than some MB beside it."""
_PIECE_ROWS = 1 << 17
_ROW_GROUPS_A_PART = 8
_MOST_THREADS = 4


def quantile_table(
    paths: Sequence[Path],
    group: str,
    value: str,
    probabilities: Sequence[float],
    *,
    held: int = HELD,
    threads: int | None = None,
) -> pd.DataFrame:
    """Return a row for each group and probability: the group, `probability`, `count`, `value`, `low`, `high`.

    Rows are in order of group and probability. A null or NaN counts as infinite: it never ended. Needs about 50 kB a
    group, and `held` numbers of about 20 bytes. Raises ValueError for a probability that is not between 0 and 1 and
    for a null as group; what pyarrow raises for files that are not such Parquet files.
    """
    found = quantiles_by_group(paths, group, value, probabilities, held=held, threads=threads)
    rows = [
        (name, probability, each.count, each.value, each.low, each.high)
        for name, estimates in found.items()
        for probability, each in zip(probabilities, estimates, strict=True)
    ]
    return pd.DataFrame(rows, columns=[group, "probability", "count", "value", "low", "high"])


def quantiles_by_group(
    paths: Sequence[Path],
    group: str,
    value: str,
    probabilities: Sequence[float],
    *,
    held: int = HELD,
    threads: int | None = None,
) -> dict[str, list[Estimate]]:
    """Return the estimates of each group, in order of its name: one for each probability. See `quantile_table`."""
    for probability in probabilities:
        if not 0 < probability < 1:
            raise ValueError(f"probability is {probability}; expected more than 0 and less than 1")
    names = _Names()
    selection = Selection(
        parts=[part for path in paths for part in _parts(path, group, value, names)],
        held=held,
        threads=threads or min(_MOST_THREADS, os.cpu_count() or 1),
    )
    counts = [each.rows for each in selection.count(lambda: len(names.code_by_name))]
    wanted = {
        code: {rank for probability in probabilities for rank in wanted_ranks(count, probability)}
        for code, count in enumerate(counts)
        if count
    }
    found = selection.select(wanted)
    return {
        name: [
            quantile_by_rank(counts[code], probability, {rank: found[code, rank] for rank in wanted[code]})
            for probability in probabilities
        ]
        for name, code in sorted(names.code_by_name.items())
        if counts[code]
    }


@dataclass(slots=True)
class _Names:
    """Numbers for group names, as they come along in any thread."""

    code_by_name: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def codes_of(self, names: list[str]) -> list[int]:
        with self._lock:
            return [self.code_by_name.setdefault(name, len(self.code_by_name)) for name in names]


def _parts(path: Path, group: str, value: str, names: _Names) -> Iterator[Part]:
    """Yield the file in stretches of successive row groups, which threads can read side by side."""
    metadata = pq.read_metadata(path)

    def read(row_groups: list[int]) -> Iterator[tuple[Codes, Floats]]:
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=[group]) as file:
            batches = file.iter_batches(_PIECE_ROWS, row_groups=row_groups, columns=[group, value], use_threads=False)
            for batch in batches:
                yield _piece(batch.column(group), batch.column(value), names)

    for start in range(0, metadata.num_row_groups, _ROW_GROUPS_A_PART):
        yield partial(read, list(range(start, min(start + _ROW_GROUPS_A_PART, metadata.num_row_groups))))


def _piece(groups: Column, values: Column, names: _Names) -> tuple[Codes, Floats]:
    if groups.null_count:
        raise ValueError("a group is null; expected a name in every row")
    if not isinstance(groups, pa.DictionaryArray):
        groups = groups.dictionary_encode()
    codes = np.array(names.codes_of(groups.dictionary.to_pylist()), np.int64)
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)  # null becomes NaN
    return codes[groups.indices.to_numpy()], numbers
