"""Two kinds of availability, kept apart: of time (was it up?) and of requests (did they succeed?).

C-15 of the specification: uptime is time-based, API availability request-based with 4xx out of both sides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.estimate import Estimate, measured
from analysis.indicator import Counts, Indicator, Measurement, Nothing, Observation, Scene, Source, steady
from analysis.verdict import Evidence
from analysis.windows import Window
from bundle import PROBES, SAMPLES, ErrorKind

_SHOWN = 5
_QUERY_PROTOCOLS = ("RPC", "REST", "GRPC")
_NOT_THE_SERVICE = (ErrorKind.NOT_SENT.value, ErrorKind.BACK_PRESSURE.value, ErrorKind.CLIENT_ERROR.value)
"""Neither good nor bad for a service: never asked, told to wait, or asked wrongly (4xx)."""


def uptime(scene: Scene, kind: str) -> Observation:
    """Return the share of time at which endpoints of a kind were healthy, all of them together.

    Each look stands for the time to the next one. Time in which an endpoint was itself the target of a fault, up
    to its recovery, does not count. The interval is what looks leave open: a failure may have begun right after
    the look before it, and one outage shorter than the time between two looks may have gone unseen. So a run that
    is too short for its probes to see a violation proves nothing.
    """
    probes = scene.run.probes
    chosen = probes[(probes["kind"] == kind) & (probes["probe"] == "health")]
    up = down = least_down = most_down = unseen = 0.0
    looks = 0
    evidence: list[Evidence] = []
    for endpoint, rows in chosen.groupby("endpoint", sort=True):
        window = scene.window.without(
            fault.disturbed(_end_of(scene)) for fault in scene.faults if endpoint in fault.targets
        )
        share = _endpoint_time(rows.sort_values("at_s"), window)
        up, down, looks = up + share.up_s, down + share.down_s, looks + share.looks
        least_down, most_down = least_down + share.least_down_s, most_down + share.most_down_s
        unseen = max(unseen, share.usual_step_s)
        bad_rows = share.bad_rows[: max(0, _SHOWN - len(evidence))]
        evidence += [Evidence(file=scene.run.file_of(PROBES), row=row) for row in bad_rows]
    total = up + down
    if total <= 0:
        return Nothing(why=f"no {kind} was probed in the window")
    estimate = Estimate(
        value=up / total,
        low=max(0.0, 1 - (most_down + unseen) / total),
        high=min(1.0, 1 - least_down / total),
        count=looks,
        method="share of time, between looks",
    )
    return Measurement(estimate=estimate, evidence=tuple(evidence))


class _Share:
    """Up and down time of one endpoint, seconds, with the bounds that the looks leave."""

    def __init__(self) -> None:
        self.up_s = self.down_s = self.least_down_s = self.most_down_s = self.usual_step_s = 0.0
        self.looks = 0
        self.bad_rows: list[int] = []


def _endpoint_time(rows: pd.DataFrame, window: Window) -> _Share:
    """Return one endpoint's time, each look standing for the time to the next.

    A failed look says that it was down from the look until its answer failed, and between two failed looks it was
    down as it is up between two good ones; it may have been down since just after the last good look.
    """
    share = _Share()
    times, healthy = rows["at_s"].to_numpy(float), rows["ok"].to_numpy(bool)
    latency_s = rows["latency_ms"].fillna(0.0).to_numpy(float) / 1000
    numbers = rows["row"].to_numpy()
    inside = window.contains(times)
    steps = np.append(np.diff(times), np.median(np.diff(times)) if len(times) > 1 else 0.0)
    if inside.any():
        # The usual step: a single late look is a matter of the watch's gaps, not of what it can see.
        share.usual_step_s = float(np.median(steps[inside]))
    for place in np.flatnonzero(inside):
        step, before = float(steps[place]), float(steps[place - 1]) if place else 0.0
        share.looks += 1
        if healthy[place]:
            share.up_s += step
            continue
        share.down_s += step
        still_down = place + 1 < len(times) and not healthy[place + 1]
        share.least_down_s += step if still_down else min(step, float(latency_s[place]))
        came_down = place == 0 or healthy[place - 1]
        share.most_down_s += step + (before if came_down else 0.0)
        share.bad_rows.append(int(numbers[place]))
    return share


def _end_of(scene: Scene) -> float:
    return scene.window.intervals[-1][1] if not scene.window.is_empty else 0.0


def requests(scene: Scene, *, count_failed: bool) -> Observation:
    """Return how many API requests succeeded (or failed), 4xx and back-pressure out of both sides."""
    samples = scene.run.samples
    asked = samples[samples["protocol"].isin(_QUERY_PROTOCOLS) & scene.window.contains(samples["intended_at_s"])]
    asked = asked[~asked["error_kind"].isin(_NOT_THE_SERVICE)]
    if asked.empty:
        return Nothing(why="no API request was measured in the window")
    failed = asked[asked["outcome"] != "ok"]
    evidence = tuple(
        Evidence(file=scene.run.file_of(SAMPLES, str(part)), row=int(row))
        for part, row in zip(failed["part"].head(_SHOWN), failed["row"].head(_SHOWN), strict=True)
    )
    having = len(failed) if count_failed else len(asked) - len(failed)
    return Counts(having=having, total=len(asked), evidence=evidence)


def _time_based(name: str, title: str, kind: str) -> Indicator:
    sources = frozenset({Source.PROBES})
    return Indicator(name=name, title=title, sources=sources, observe=lambda scene: uptime(scene, kind))


def _request_based(name: str, title: str, observe: Callable[[Scene], Observation]) -> Indicator:
    sources = frozenset({Source.SAMPLES, Source.LOAD})
    return Indicator(name=name, title=title, sources=sources, observe=observe)


def api_throughput(scene: Scene) -> Observation:
    """Return answered reads a second over the load without its warm-up, by the time at which the answer was there.

    Every answer is counted, so there is no interval: the figure is of this run.
    """
    window = steady(scene)
    samples = scene.run.samples
    reads = samples[samples["protocol"].isin(_QUERY_PROTOCOLS) & (samples["outcome"] == "ok")]
    if window.is_empty or reads.empty:
        return Nothing(why="no read was answered in the load")
    answered = window.contains(reads["intended_at_s"] + reads["latency_ms"] / 1000)
    rate = int(answered.sum()) / window.length_s
    return Measurement(estimate=measured(rate, rate, rate, int(answered.sum()), "counted"))


INDICATORS = (
    _time_based("node.availability", "share of time with /health at 200", "node"),
    _time_based("provider.availability", "share of time with /health at 200", "provider"),
    _time_based("api.uptime", "share of time with the REST entrance at 200", "api"),
    _request_based("api.availability", "queries that succeeded", lambda scene: requests(scene, count_failed=False)),
    _request_based("api.error_ratio", "queries that failed", lambda scene: requests(scene, count_failed=True)),
    Indicator(
        name="api.throughput",
        title="answered reads a second",
        sources=frozenset({Source.SAMPLES, Source.LOAD}),
        observe=api_throughput,
    ),
)
