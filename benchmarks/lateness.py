"""How late open arrivals are sent, at 5,000 and 20,000 a second on one core: `python -m benchmarks.lateness`.

Lateness is from the intended time to the actual send, of every request: what the generator adds to a latency.
"""

from __future__ import annotations

import os

import numpy as np

from benchmarks.measurement import Measurement, measure
from benchmarks.reading_run import reading
from benchmarks.servers import canned_server

_LOAD_S = 10.0
_USERS = 500


class _Lateness:
    """Runs at one rate: a run gives two figures."""

    def __init__(self, rate_per_s: int, *arguments: str) -> None:
        self._rate_per_s = rate_per_s
        self._arguments = arguments
        self._cores = 0.0

    def p99_ms(self) -> float:
        """Load a server; return the lateness that 99 of 100 requests stay below."""
        loads = f"read:{_USERS}~constant;rate_per_s={self._rate_per_s}"
        with canned_server() as server:
            with reading(server.url, "Reader", _USERS, _LOAD_S, "--loads", loads, *self._arguments) as run:
                run.finish()
                samples, generator = run.samples, run.generator
        late_ms = (samples["sent_at_s"] - samples["intended_at_s"]).to_numpy() * 1000
        begun_s = samples["intended_at_s"].min()
        # The first second has the connections made.
        late_ms = late_ms[samples["intended_at_s"] > begun_s + 1]
        self._cores = float(generator["cpu_ratio"].iloc[2:-2].median())
        return float(np.quantile(late_ms, 0.99, method="inverted_cdf"))

    def cores(self) -> float:
        """Return the share of a core that the generator used in the run just made."""
        return self._cores


def _measurements() -> list[Measurement]:
    found = []
    for rate, options, claim in (
        (5_000, (), "below 2"),
        (20_000, (), "below 20"),
        (20_000, ("--statistics", "batched"), ""),
    ):
        runs = _Lateness(rate, *options)
        title = f"lateness P99 at {rate:,} a second{', batched statistics' if options else ''}"
        found.append(Measurement(name=title, unit="ms", run=runs.p99_ms, claim=claim))
        found.append(Measurement(name="  share of its core that the generator used", unit="", run=runs.cores))
    return found


if __name__ == "__main__":
    measure(_measurements())
    print(f"load average at the end {os.getloadavg()[0]:.2f}")
