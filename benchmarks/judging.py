"""Rows recorded a second; the time to seal, to judge and to report a gameday of a minute."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from analysis.judge import judge
from benchmarks.measurement import Measurement
from bundle import SAMPLES, BundleLayout, TableWriter, seal
from reports.html import html_report
from tests.bundles import SyntheticRun, healthy_by_the_rulebook

_ROWS = 50_000


@contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="reliability-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@cache
def _gameday() -> SyntheticRun:
    """About 9,000 requests, 25,000 looks and 300 blocks: a minute of load with three faults."""
    return healthy_by_the_rulebook()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def recorded() -> float:
    row = _gameday().rows[0]
    with _folder() as folder:
        writer = TableWriter(BundleLayout(root=folder), SAMPLES, part="local")
        start = time.perf_counter()
        for _ in range(_ROWS):
            writer.append(**row)
        writer.close()
        return _ROWS / (time.perf_counter() - start)


def sealed() -> float:
    with _folder() as folder:
        layout = BundleLayout(root=_gameday().write(folder, sealed=False))
        return 1000 * _seconds(lambda: seal(layout, _gameday().manifest))


def judged() -> float:
    with _folder() as folder:
        path = _gameday().write(folder)
        return 1000 * _seconds(lambda: judge(path))


def reported() -> float:
    with _folder() as folder:
        run, judgement = judge(_gameday().write(folder))
        return 1000 * _seconds(lambda: html_report(run, judgement))


JUDGING = (
    Measurement(name="requests recorded", unit="/s", run=recorded),
    Measurement(name="a gameday of a minute sealed", unit="ms", run=sealed),
    Measurement(name="a gameday of a minute judged", unit="ms", run=judged),
    Measurement(name="its HTML report made", unit="ms", run=reported),
)
