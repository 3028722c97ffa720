"""Quantiles by operation from a sealed table of samples: ours beside polars, DuckDB and pandas, in one run.

    python -m benchmarks.quantiles [--rows 100_000_000] [--rounds 3] [--ways ours polars duckdb]

Each answer comes from a fresh process, so that its peak memory is its own and nothing is warm but the disk's cache.
Processes take turns, so that a slow minute of the machine falls on all. The time is from the open file to the data
frame, imports left out. Peers that are not installed are named and left out. Answers have to be equal: ours gives the
intervals of the quantiles besides.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bundle import SAMPLES

PROBABILITIES = (0.5, 0.9, 0.95, 0.99)
OPERATIONS = tuple(f"operation.{number:02d}" for number in range(20))
_ROW_GROUP = 100_000  # as sealing writes them
_COLUMNS = ("intended_at_s", "sent_at_s", "latency_ms", "operation", "protocol", "outcome")


def write_samples(path: Path, rows: int) -> None:
    """Write so many requests, 10,000 a second, their latencies lognormal: each operation has its own."""
    schema = pa.schema([SAMPLES.schema.field(name) for name in _COLUMNS])
    draw = np.random.default_rng(20270115)
    names, at_s = np.array(OPERATIONS, dtype=object), 1.8e9
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, _ROW_GROUP):
            count = min(_ROW_GROUP, rows - start)
            operation = draw.integers(0, len(OPERATIONS), count)
            intended = at_s + np.cumsum(draw.exponential(1e-4, count))
            latency = draw.lognormal(2 + 0.1 * operation, 0.8)
            columns = (intended, intended + 1e-4, latency, names[operation], ["RPC"] * count, ["ok"] * count)
            writer.write_table(pa.table([pa.array(column) for column in columns], schema=schema))
            at_s = float(intended[-1])


def ours(path: Path) -> Callable[[], pd.DataFrame]:
    from analysis.quantiles import quantile_table

    def answer() -> pd.DataFrame:
        return quantile_table([path], "operation", "latency_ms", PROBABILITIES)

    return answer


def polars(path: Path) -> Callable[[], pd.DataFrame]:
    pl = importlib.import_module("polars")

    def answer() -> pd.DataFrame:
        latency = pl.col("latency_ms")
        wanted = [latency.quantile(p, interpolation="equiprobable").alias(str(p)) for p in PROBABILITIES]
        wide = pl.scan_parquet(path).group_by("operation").agg(wanted).collect().to_pandas()
        return _long(wide.set_index("operation"))

    return answer


def duckdb(path: Path) -> Callable[[], pd.DataFrame]:
    peer = importlib.import_module("duckdb")

    def answer() -> pd.DataFrame:
        wanted = f"quantile_disc(latency_ms, {list(PROBABILITIES)}) as q"
        found = peer.sql(f"select operation, {wanted} from '{path}' group by operation").df()
        wide = pd.DataFrame(found["q"].tolist(), index=found["operation"], columns=[str(p) for p in PROBABILITIES])
        return _long(wide)

    return answer


def pandas(path: Path) -> Callable[[], pd.DataFrame]:
    def answer() -> pd.DataFrame:
        samples = pd.read_parquet(path, columns=["operation", "latency_ms"])
        by_operation = samples.groupby("operation")["latency_ms"]
        rows = {name: np.quantile(values, PROBABILITIES, method="inverted_cdf") for name, values in by_operation}
        return _long(pd.DataFrame.from_dict(rows, orient="index", columns=[str(p) for p in PROBABILITIES]))

    return answer


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each operation and probability, in order."""
    ordered = wide.sort_index()
    return pd.DataFrame(
        {
            "operation": np.repeat(ordered.index.to_numpy(), len(PROBABILITIES)),
            "probability": np.tile(PROBABILITIES, len(ordered)),
            "value": ordered.to_numpy().reshape(-1),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one process measured, and the values that it found."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    values: list[float]


WAYS = {"ours": ours, "polars": polars, "duckdb": duckdb, "pandas": pandas}


def _child(way: str, path: Path) -> None:
    """Answer once, and print seconds, peak memory and the values."""
    answer = WAYS[way](path)
    start, cpu_start = time.perf_counter(), time.process_time()
    table = answer()
    measured = Answer(
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - cpu_start,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        values=table["value"].tolist(),
    )
    print(json.dumps(asdict(measured)))


def _ask(way: str, path: Path) -> Answer:
    command = [sys.executable, "-m", "benchmarks.quantiles", "--child", way, str(path)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Answer(**json.loads(answer))


def compare(path: Path, rounds: int, wanted: list[str]) -> None:
    """Ask every way in turn and print medians, lowest and highest."""
    ways = [way for way in wanted if way == "ours" or importlib.util.find_spec(way)]
    for way in sorted(set(wanted) - set(ways)):
        print(f"{way}: not installed, left out")
    answers: dict[str, list[Answer]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            answers[way].append(_ask(way, path))
    truth = answers[ways[0]][0].values
    for way in ways:
        seconds = sorted(answer.seconds for answer in answers[way])
        cpu_seconds = statistics.median(answer.cpu_seconds for answer in answers[way])
        peak_mb = max(answer.peak_mb for answer in answers[way])
        print(
            f"{way:<8} {statistics.median(seconds):>7.3f} s ({seconds[0]:.3f} to {seconds[-1]:.3f}),"
            f" {cpu_seconds:>6.2f} s of CPU, {peak_mb:>6,.0f} MB at most,"
            f" {'the same values' if all(answer.values == truth for answer in answers[way]) else 'OTHER VALUES'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Quantiles by operation, beside peers.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "PATH"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        _child(chosen.child[0], Path(chosen.child[1]))
        return
    print(
        f"{chosen.rows:,} rows, {len(OPERATIONS)} operations, {len(PROBABILITIES)} quantiles; {platform.machine()},"
        f" {os.cpu_count()} cores, Python {platform.python_version()}, load average {os.getloadavg()[0]:.2f}"
    )
    with tempfile.TemporaryDirectory(prefix="reliability-bench-") as folder:
        path = Path(folder) / "local.parquet"
        write_samples(path, chosen.rows)
        compare(path, chosen.rounds, chosen.ways)


if __name__ == "__main__":
    main()
