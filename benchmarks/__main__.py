"""`make bench`: run every measurement, interleaved, and print the median with the lowest and highest of each."""

from __future__ import annotations

import os
import platform
import statistics

from benchmarks.judging import JUDGING
from benchmarks.signing import SIGNING

ROUNDS = 5


def main() -> None:
    measurements = (*SIGNING, *JUDGING)
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load average {load:.2f}")
    results: dict[str, list[float]] = {measurement.name: [] for measurement in measurements}
    # Round by round, so that a slow minute of the machine falls on all of them.
    for _ in range(ROUNDS):
        for measurement in measurements:
            results[measurement.name].append(measurement.run())
    for measurement in measurements:
        values = sorted(results[measurement.name])
        middle = statistics.median(values)
        print(
            f"{measurement.name:<52} {middle:>12,.1f} {measurement.unit:<6} ({values[0]:,.1f} to {values[-1]:,.1f})"
            f"{'   ' + measurement.claim if measurement.claim else ''}"
        )


if __name__ == "__main__":
    main()
