"""A Locust master's side of the conversation with its workers: it tells the time, the beginning and the end.

It has no users and records no samples. What each worker has reported to Locust is kept apart, so that samples can be
compared worker by worker when one of them is lost.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import gevent
from locust import runners
from locust.env import Environment
from locust.runners import MasterRunner

from loadtests.kit.messages import BEGIN, CLOCK, END, ENDED, READY

_BEGIN_IN_S = 0.25
"""From the word to the beginning: time for it to reach every worker."""
_READY_LIMIT_S = 60.0
_LOOK_S = 0.02
_STOP_SPARE_S = 10.0
_HURRIED_LIMIT_S = 5.0

log = logging.getLogger(__name__)


class Master:
    """The master of this process."""

    def __init__(
        self, environment: Environment, runner: MasterRunner, *, drain_limit_s: float, end_after_s: float
    ) -> None:
        """`end_after_s` is when the test is over, after its users have begun; infinite when only Locust says."""
        self._environment = environment
        self._runner = runner
        self._drain_limit_s = drain_limit_s
        self._end_after_s = end_after_s
        self._names: dict[str, str] = {}
        self._ready: set[str] = set()
        self._ended: set[str] = set()
        self._counts: dict[str, dict[str, list[int]]] = {}
        self._has_begun = False
        runner.register_message(CLOCK, self._on_clock)
        runner.register_message(READY, lambda environment, msg, **_: self._ready.add(msg.node_id))
        runner.register_message(ENDED, lambda environment, msg, **_: self._ended.add(msg.node_id))
        environment.events.test_start.add_listener(self._on_test_start)
        environment.events.spawning_complete.add_listener(self._on_spawning_complete)
        environment.events.worker_report.add_listener(self._on_report)
        environment.events.test_stop.add_listener(self._on_test_stop)

    def await_workers(self) -> None:
        """Wait until as many workers as are expected can begin. Locust itself only waits until they are connected."""
        wanted, end = self._expected, time.monotonic() + _READY_LIMIT_S
        while len(self._ready & self._present()) < wanted:
            if time.monotonic() >= end:
                log.error("%d of %d workers are ready after %.0f s", len(self._ready), wanted, _READY_LIMIT_S)
                return
            gevent.sleep(_LOOK_S)

    def keep_users_where_they_are(self) -> None:
        """See to it that the users of a worker that is lost, or late, are not given to others.

        Locust does so when one has been missing for a minute, quits or comes late. Others would then carry more than
        their share, by schedules that began anew, and what was not offered would be hidden.
        """
        start = self._runner.start

        def start_once(*arguments: Any, **more: Any) -> None:
            if self._runner.state in (runners.STATE_SPAWNING, runners.STATE_RUNNING):
                log.warning("the number of workers has changed; users stay where they are")
                return
            start(*arguments, **more)

        self._runner.start = start_once  # type: ignore[method-assign]

    def hurry(self) -> None:
        """Wait for nothing at the end that is still on its way."""
        self._drain_limit_s = 0.0

    def write_counts(self, path: Path) -> None:
        """Write what reached us from each worker: by operation, requests and failures."""
        path.write_text(json.dumps(self._counts, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @property
    def _expected(self) -> int:
        options = self._environment.parsed_options
        return max(1, int(options.expect_workers)) if options else 1

    def _present(self) -> set[str]:
        """Return the workers that are connected and not lost."""
        clients = self._runner.clients
        return {client.id for client in clients.all if client.state != runners.STATE_MISSING}

    def _on_clock(self, environment: Environment, msg: Any, **_: Any) -> None:
        received_at_s = time.time()
        self._names[msg.node_id] = msg.data["name"]
        data = {"number": msg.data["number"], "count": self._expected, "received_at_s": received_at_s}
        self._runner.send_message(CLOCK, data | {"answered_at_s": time.time()}, client_id=msg.node_id)

    def _on_test_start(self, **_: Any) -> None:
        self._has_begun, self._ended, self._counts = False, set(), {}

    def _on_spawning_complete(self, **_: Any) -> None:
        """Tell all workers when to begin, once every user of every worker is there."""
        if self._has_begun:
            return  # Locust fires this whenever it has changed the number of users
        self._has_begun = True
        self._runner.send_message(BEGIN, {"at_s": time.time() + _BEGIN_IN_S})
        if math.isfinite(self._end_after_s):
            gevent.spawn_later(_BEGIN_IN_S + self._end_after_s, self._runner.quit)

    def _on_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        counts = self._counts.setdefault(self._names.get(client_id, client_id), defaultdict(lambda: [0, 0]))
        for entry in data["stats"]:
            counts[entry["name"]][0] += entry["num_requests"]
            counts[entry["name"]][1] += entry["num_failures"]

    def _on_test_stop(self, **_: Any) -> None:
        """Have the workers end, and wait for their last statistics. A worker that is lost is not waited for."""
        hurried = self._drain_limit_s == 0
        self._runner.send_message(END, {"hurry": hurried})
        stop_limit_s = float(self._environment.stop_timeout or 0)
        limit_s = _HURRIED_LIMIT_S if hurried else self._drain_limit_s + stop_limit_s + _STOP_SPARE_S
        end = time.monotonic() + limit_s
        while (left := self._present() - self._ended) and time.monotonic() < end:
            gevent.sleep(_LOOK_S)
        if left:
            names = ", ".join(sorted(self._names.get(client, client) for client in left))
            log.error("%s did not end within %.0f s", names, limit_s)
