"""How well this process generates: is the load late because of the target, or because of us?

Once a second a row goes into the bundle: arrivals that were due, how late the hub noticed them, what waits, the share
of a core that the process used, pauses of garbage collection, and how long the hub did not come round. Analysis
says from it whether a latency may be held against the target.
"""

from __future__ import annotations

import gc
import os
import time
from typing import Any

import gevent

from bundle import GENERATOR, BundleLayout, TableWriter
from loadtests.kit.open_loads import OpenLoads
from loadtests.kit.timer import HubTimer

ROW_PERIOD_S = 1.0
HEARTBEAT_S = 0.02


class GeneratorWatch:
    """Writes the tally of one Locust process into the bundle."""

    def __init__(self, layout: BundleLayout, worker: str, loads: OpenLoads) -> None:
        self._writer = TableWriter(layout, GENERATOR, part=worker)
        self._loads = loads
        self._tally = loads.tally
        self._collecting_since_s = 0.0
        self._beat_at_s = time.monotonic() + HEARTBEAT_S
        self._heart = HubTimer(self._beat)
        self._heart.at(self._beat_at_s)
        self._greenlet = gevent.spawn(self._write_forever)
        gc.callbacks.append(self._collection)

    def close(self) -> None:
        """Write the last row."""
        gc.callbacks.remove(self._collection)
        self._heart.close()
        self._greenlet.kill()
        self._writer.close()

    def _beat(self) -> None:
        """Measure how late the hub is."""
        now = time.monotonic()
        self._tally.stalled_max_s = max(self._tally.stalled_max_s, now - self._beat_at_s)
        self._beat_at_s = now + HEARTBEAT_S
        self._heart.at(self._beat_at_s)

    def _collection(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting_since_s = time.monotonic()
        else:
            self._tally.collected_s += time.monotonic() - self._collecting_since_s

    def _write_forever(self) -> None:
        began_s, cpu_s = time.monotonic(), _cpu_s()
        while True:
            gevent.sleep(ROW_PERIOD_S)
            now_s, now_cpu_s = time.monotonic(), _cpu_s()
            self._write((now_cpu_s - cpu_s) / (now_s - began_s), now_s - began_s)
            began_s, cpu_s = now_s, now_cpu_s

    def _write(self, cpu_ratio: float, period_s: float) -> None:
        tally = self._tally
        self._writer.append(
            at_s=time.time(),
            period_s=period_s,
            due=tally.due,
            begun=tally.begun,
            given_up=tally.given_up,
            waiting=self._loads.waiting_count,
            late_by_2_ms=tally.late_by_2_ms,
            late_by_20_ms=tally.late_by_20_ms,
            late_by_100_ms=tally.late_by_100_ms,
            late_max_ms=tally.late_max_s * 1000,
            cpu_ratio=cpu_ratio,
            collected_ms=tally.collected_s * 1000,
            stalled_max_ms=tally.stalled_max_s * 1000,
        )
        tally.clear()
        self._writer.flush()


def _cpu_s() -> float:
    """Return the CPU time of this process, user and system."""
    times = os.times()
    return times.user + times.system
