"""Quantiles by group from Parquet: known values, the intervals of `estimate.quantile`, what is kept and read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import selection
from analysis.estimate import quantile
from analysis.quantiles import quantile_table, quantiles_by_group
from analysis.selection import Selection
from analysis.sweep import Part, Sweeper, V
from bundle import SAMPLES, BundleLayout, TableWriter, seal
from bundle.tables_io import table_files
from tests.bundles import healthy, sample

INF = math.inf
PROBABILITIES = (0.5, 0.9, 0.95, 0.99)


def write(path: Path, rows: list[tuple[str | None, float | None]], *, row_group: int = 3) -> list[Path]:
    names, values = [name for name, _ in rows], [value for _, value in rows]
    table = pa.table({"operation": pa.array(names, pa.string()), "latency_ms": pa.array(values, pa.float64())})
    pq.write_table(table, path / "samples.parquet", row_group_size=row_group)
    return [path / "samples.parquet"]


def test_a_row_for_each_group_and_probability_in_order(tmp_path: Path) -> None:
    files = write(tmp_path, [("b", 3.0), ("a", 10.0), ("b", 1.0), ("b", 2.0), ("a", 30.0), ("a", 20.0), ("b", 4.0)])
    table = quantile_table(files, "operation", "latency_ms", (0.5, 0.9))
    assert list(table.columns) == ["operation", "probability", "count", "value", "low", "high"]
    assert table.iloc[:, :4].to_numpy().tolist() == [
        ["a", 0.5, 3, 20.0],
        ["a", 0.9, 3, 30.0],
        ["b", 0.5, 4, 2.0],
        ["b", 0.9, 4, 4.0],
    ]


@pytest.mark.parametrize("count", [1, 2, 71, 72, 5000, 5001, 20_000])
def test_estimates_are_those_of_the_whole_sample(tmp_path: Path, count: int) -> None:
    draw = np.random.default_rng(count)
    values = draw.lognormal(3, 2, count)
    values[draw.random(count) < 0.02] = INF
    files = write(tmp_path, [("tx.confirm", value) for value in values], row_group=1000)
    found = quantiles_by_group(files, "operation", "latency_ms", PROBABILITIES)
    assert found == {"tx.confirm": [quantile(values, probability) for probability in PROBABILITIES]}


def test_what_never_ended_is_infinite(tmp_path: Path) -> None:
    files = write(tmp_path, [("a", 1.0), ("a", None), ("a", math.nan), ("b", None), ("a", INF), ("c", -INF)])
    found = quantiles_by_group(files, "operation", "latency_ms", (0.25, 0.5))
    assert [[each.value for each in estimates] for estimates in found.values()] == [[1.0, INF], [INF, INF], [-INF] * 2]
    assert [estimates[0].count for estimates in found.values()] == [4, 1, 1]


def test_no_rows_are_no_groups(tmp_path: Path) -> None:
    assert quantile_table(write(tmp_path, []), "operation", "latency_ms", PROBABILITIES).empty
    assert quantile_table([], "operation", "latency_ms", PROBABILITIES).empty


def test_parts_that_name_their_operations_in_another_order_are_one_sample(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    files = write(tmp_path / "one", [("a", 1.0), ("b", 5.0)]) + write(tmp_path / "other", [("b", 6.0), ("a", 2.0)])
    found = quantiles_by_group(files, "operation", "latency_ms", (0.99,))
    assert {name: (each.value, each.count) for name, [each] in found.items()} == {"a": (2.0, 2), "b": (6.0, 2)}


def test_a_sealed_table_of_samples_is_read(tmp_path: Path) -> None:
    layout = BundleLayout(root=tmp_path)
    with_latency = [4.0, 2.0, None, 8.0]
    writer = TableWriter(layout, SAMPLES, part="local")
    for value in with_latency:
        writer.append(**sample(1.8e9, "rpc.status", "RPC", 1.0) | {"latency_ms": value})
    writer.close()
    seal(layout, healthy().manifest)
    [median] = quantiles_by_group(table_files(layout, SAMPLES), "operation", "latency_ms", (0.5,))["rpc.status"]
    assert (median.value, median.count) == (4.0, 4)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, math.nan])
def test_a_probability_at_the_ends_is_refused(tmp_path: Path, probability: float) -> None:
    with pytest.raises(ValueError):
        quantile_table(write(tmp_path, [("a", 1.0)]), "operation", "latency_ms", (probability,))


def test_a_row_without_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a group is null"):
        quantile_table(write(tmp_path, [("a", 1.0), (None, 1.0)]), "operation", "latency_ms", (0.5,))


class CountingParts:
    """Parts of some rows, in memory; counts how often each is read."""

    def __init__(self, values: npt.NDArray[np.float64], part_count: int) -> None:
        self.reads = [0] * part_count
        self._stretches = np.array_split(values, part_count)

    def parts(self) -> list[Part]:
        return [lambda number=number: self._read(number) for number in range(len(self.reads))]  # type: ignore[misc]

    def _read(self, number: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        self.reads[number] += 1
        for piece in np.array_split(self._stretches[number], 3):
            yield np.zeros(len(piece), np.int64), piece


COUNT = 6000
HARD = {
    "lognormal": np.random.default_rng(1).lognormal(3, 1, COUNT),
    "one value": np.full(COUNT, 5.0),
    "two values": np.repeat([5.0, np.nextafter(5.0, 6.0)], COUNT // 2),
    "neighbours": (np.full(COUNT, 5.0).view(np.int64) + np.arange(COUNT)).view(np.float64),
    "below the first buckets": np.random.default_rng(2).normal(-1e-300, 1e-300, COUNT),
    "beyond the first buckets": np.random.default_rng(3).lognormal(300, 100, COUNT),
    "a spike in a wide sample": np.concatenate((np.full(COUNT - 99, 70.0), np.random.default_rng(4).normal(70, 1, 99))),
}
SWEEPS = {400: 18, 4000: 10, 1_000_000: 2}
"""Numbers that may be in memory, and how often the data is looked at then: once for the first buckets, once for what is
kept, and between for 64 bits, of which a split takes as many as there is memory for counters."""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("held", SWEEPS)
@pytest.mark.parametrize("kind", HARD)
def test_memory_is_bounded_and_the_data_read_a_few_times(
    monkeypatch: pytest.MonkeyPatch, kind: str, held: int, threads: int
) -> None:
    """No more rows are in memory than was allowed, whatever the values are, and the answer is that of a sort."""
    remembered: list[int] = []
    kept: list[int] = []

    def watched(self: Sweeper, new_visitor: Callable[[], V]) -> list[V]:
        visitors = sweep(self, new_visitor)
        remembered.append(sum(len(images) for part in self._remembered.values() for _, images in part))
        sieves = [visitor for visitor in visitors if isinstance(visitor, selection._Sieve)]
        kept.append(sum(len(images) for sieve in sieves for _, images in sieve.kept))
        return visitors

    sweep = Sweeper.sweep
    monkeypatch.setattr(Sweeper, "sweep", watched)
    values = np.random.default_rng(5).permutation(HARD[kind])
    data = CountingParts(values, 4)
    chosen = Selection(data.parts(), held=held, threads=threads)
    [counted] = chosen.count(lambda: 1)
    assert (counted.rows, counted.never) == (COUNT, 0)
    ranks = [1, COUNT // 2, COUNT // 2 + 1, 5940, COUNT]
    ordered = np.sort(values)
    assert chosen.select({0: ranks}) == {(0, rank): ordered[rank - 1] for rank in ranks}
    assert max(remembered) <= held
    assert max(kept) <= held // 4
    assert len(kept) <= SWEEPS[held]
    assert max(data.reads) <= (1 if held > COUNT else len(kept))


def test_memory_for_one_number_is_enough() -> None:
    chosen = Selection(CountingParts(np.array([3.0, 1.0, 2.0, 2.0]), 2).parts(), held=1, threads=1)
    chosen.count(lambda: 1)
    assert chosen.select({0: [1, 2, 3, 4]}) == {(0, 1): 1.0, (0, 2): 2.0, (0, 3): 2.0, (0, 4): 3.0}


def test_a_part_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        raise OSError("gone")
        yield

    with pytest.raises(OSError, match="gone"):
        Selection([broken] * 5, held=10, threads=2).count(lambda: 0)
