"""One measurement: what is run, and in which unit it answers; and how several are run and told."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """`run` does the work once and returns the figure."""

    name: str
    unit: str
    run: Callable[[], float]
    claim: str = ""
    """What the project says about it."""


def measure(measurements: Sequence[Measurement]) -> None:
    """Run every measurement, interleaved, and print the median with the lowest and highest of each."""
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load average {load:.2f}")
    results: list[list[float]] = [[] for _ in measurements]
    # Round by round, so that a slow minute of the machine falls on all of them.
    for _ in range(ROUNDS):
        for measurement, figures in zip(measurements, results, strict=True):
            figures.append(measurement.run())
    for measurement, figures in zip(measurements, results, strict=True):
        values = sorted(figures)
        middle = statistics.median(values)
        print(
            f"{measurement.name:<52} {middle:>12,.1f} {measurement.unit:<6} ({values[0]:,.1f} to {values[-1]:,.1f})"
            f"{'   ' + measurement.claim if measurement.claim else ''}"
        )
