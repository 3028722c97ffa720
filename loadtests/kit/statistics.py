"""Locust's statistics of this kit's calls, brought up to date ten times a second instead of at every request.

Opt-in, by `--statistics batched`: a call then costs a third less, and no `request` event is fired for it, so listeners
of others hear nothing. What Locust shows, and what it counts, is the same to the unit.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
from locust import stats
from locust.env import Environment
from locust.stats import StatsEntry

from bundle.tables import NO_FAILURE_KINDS
from loadtests.kit.calls import Call, hand_calls_to

if TYPE_CHECKING:
    from loadtests.kit.recorder import Recorder

PERIOD_S = 0.1
_LOCUSTS_BUCKET = stats.bucket_response_time
_ROUNDED_BELOW_MS = 99.0
"""Below it, Locust's buckets are whole milliseconds."""


class BatchedStatistics:
    """Takes the calls of one environment in the place of its `request` event."""

    def __init__(self, environment: Environment, recorder: Recorder | None) -> None:
        self._stats: Any = environment.stats
        self._recorder = recorder
        self._calls: list[Call] = []
        self._never_ended: dict[int, float] = {}
        # A Locust worker sends its statistics off in a listener of this event: ours has to come first.
        environment.events.report_to_master._handlers.insert(0, self._before_report)
        hand_calls_to(environment, self.take)
        self._greenlet = gevent.spawn(self._flush_forever)

    def take(self, call: Call) -> None:
        """Count and record one call that has been reported."""
        if call.ended_at_s is None:
            self._never_ended[id(call)] = time.time()
        self._calls.append(call)

    def flush(self) -> None:
        """Bring Locust's statistics up to date."""
        calls, self._calls = self._calls, []
        never_ended, self._never_ended = self._never_ended, {}
        if self._recorder is not None:
            self._recorder.write(calls)
        by_entry: dict[tuple[str, str], list[Call]] = defaultdict(list)
        for call in calls:
            by_entry[call.operation, call.protocol].append(call)
        for (name, method), mine in by_entry.items():
            entry = self._entry(name, method, mine, never_ended)
            self._stats.entries[name, method].extend(entry)
            self._stats.total.extend(entry)
        for call in calls:
            if call.failure is not None and call.failure.kind not in NO_FAILURE_KINDS:
                self._stats.log_error(call.protocol, call.operation, call.failure)

    def close(self) -> None:
        """Bring them up to date for the last time."""
        self._greenlet.kill()
        self.flush()

    def _entry(self, name: str, method: str, calls: list[Call], never_ended: dict[int, float]) -> StatsEntry:
        """Return what Locust would have made of these calls, one after another."""
        ended_at_s = [never_ended[id(call)] if call.ended_at_s is None else call.ended_at_s for call in calls]
        took_ms = [(at_s - call.intended_at_s) * 1000 for at_s, call in zip(ended_at_s, calls, strict=True)]
        entry: Any = StatsEntry(self._stats, name, method)
        entry.num_requests = len(calls)
        entry.total_response_time = sum(took_ms)
        entry.min_response_time, entry.max_response_time = min(took_ms), max(took_ms)
        entry.total_content_length = sum(call.answer_bytes or 0 for call in calls)
        # Looked up each time: Locust lets its users put another one there.
        bucket: Callable[[float], int] = stats.bucket_response_time
        if bucket is _LOCUSTS_BUCKET and entry.max_response_time < _ROUNDED_BELOW_MS:
            bucket = round
        entry.response_times.update(Counter(map(bucket, took_ms)))
        entry.num_reqs_per_sec.update(Counter(map(int, ended_at_s)))
        entry.start_time, entry.last_request_timestamp = self._stats.start_time, max(ended_at_s)
        return entry  # type: ignore[no-any-return]

    def _before_report(self, **_: Any) -> None:
        self.flush()

    def _flush_forever(self) -> None:
        while True:
            gevent.sleep(PERIOD_S)
            self.flush()
