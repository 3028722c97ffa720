"""The run over time, in bins ready to be drawn: latency, throughput, block interval, availability."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.fault_story import FaultStory, block_times
from analysis.run import Run
from bundle import ErrorKind, Outcome, PhaseRecord

_MOST_BINS = 150
_STEPS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_EXCUSED = (ErrorKind.BACK_PRESSURE.value, ErrorKind.NOT_SENT.value, ErrorKind.CLIENT_ERROR.value)
_QUERIES = ("RPC", "REST", "GRPC")

Points = tuple[tuple[float, float], ...]
"""(seconds since the run began, value); NaN breaks the line where nothing was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time with a name, seconds since the run began."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, or one set of dots."""

    name: str
    points: Points
    is_dots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One plot of the timeline."""

    title: str
    unit: str
    series: tuple[Series, ...]
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Everything that the timeline shows."""

    length_s: float
    bin_s: float
    phases: tuple[Span, ...]
    faults: tuple[Span, ...]
    """From applied to undone."""
    recoveries: tuple[Span, ...]
    """From undone to recovered."""
    panels: tuple[Panel, ...]


def draw_timeline(run: Run, faults: tuple[FaultStory, ...]) -> Timeline | None:
    """Return the run over time; None when it had no phase."""
    phases = run.manifest.phases
    if not phases:
        return None
    start = phases[0].start_at_s
    end = max(start, *(_end_of(run, phase) for phase in phases))
    axis = _Axis(start, end)
    panels = (_latency(run, axis), _throughput(run, axis), _block_interval(run, axis), _availability(run, axis))
    return Timeline(
        length_s=end - start,
        bin_s=axis.bin_s,
        phases=tuple(
            Span(name=p.name, start_s=p.start_at_s - start, end_s=(p.end_at_s or end) - start) for p in phases
        ),
        faults=tuple(span for fault in faults if (span := _fault_span(fault, start, end)) is not None),
        recoveries=tuple(span for fault in faults if (span := _recovery_span(fault, start, end)) is not None),
        panels=panels,
    )


def _end_of(run: Run, phase: PhaseRecord) -> float:
    """Return when a phase ended; for one that has no end, because its conductor died, when the watch did."""
    if phase.end_at_s is not None:
        return phase.end_at_s
    seen = (run.probes["at_s"], run.blocks["observed_at_s"], run.samples["intended_at_s"])
    return max(phase.start_at_s, *(float(moments.max()) for moments in seen if len(moments)))


class _Axis:
    """Bins of one width from the start of the run to its end."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end
        length = max(end - start, 1.0)
        self.bin_s = next((step for step in _STEPS_S if length / step <= _MOST_BINS), length / _MOST_BINS)
        self.count = max(1, math.ceil(length / self.bin_s))

    def place(self, moments: pd.Series[float]) -> pd.Series[int]:
        """Return the bin of each moment; outside of the axis it is no bin's number."""
        return ((moments - self.start) // self.bin_s).astype(int)

    def points(self, by_bin: pd.Series[float]) -> Points:
        """Return a value for the middle of every bin, NaN where there is none."""
        full = by_bin.reindex(range(self.count))
        middles = (np.arange(self.count) + 0.5) * self.bin_s
        return tuple((float(x), float(y)) for x, y in zip(middles, full.to_numpy(float), strict=True))


def _latency(run: Run, axis: _Axis) -> Panel:
    samples = run.samples[run.samples["outcome"] == Outcome.OK.value]
    confirm = samples[samples["operation"] == "tx.confirm"]
    query = samples[samples["protocol"].isin(_QUERIES)]
    series = (
        _quantile_series("confirmation P50", confirm, axis, 0.5),
        _quantile_series("confirmation P95", confirm, axis, 0.95),
        _quantile_series("query P95", query, axis, 0.95),
    )
    return Panel(title="Latency from the intended time", unit="s", series=series, lowest=0)


def _quantile_series(name: str, rows: pd.DataFrame, axis: _Axis, probability: float) -> Series:
    seconds = rows["latency_ms"] / 1000
    by_bin = seconds.groupby(axis.place(rows["intended_at_s"])).quantile(probability, interpolation="higher")
    return Series(name=name, points=axis.points(by_bin))


def _throughput(run: Run, axis: _Axis) -> Panel:
    submits = run.samples[run.samples["operation"] == "tx.submit"]
    offered = submits.groupby(axis.place(submits["intended_at_s"])).size() / axis.bin_s
    times = block_times(run).set_index("height")["at_s"]
    ours = run.transactions[run.transactions["tx_hash"].isin(submits["tx_hash"].dropna())]
    ours = ours[ours["code"] == 0]
    moments = ours["height"].map(times).dropna()
    # Blocks come every second or so: committed per bin jumps unless a bin holds several blocks.
    committed = _smoothed(moments.to_numpy(float), axis)
    series = (
        Series(name="offered", points=axis.points(offered.reindex(range(axis.count), fill_value=0.0))),
        Series(name=f"committed, mean of {_smoothing_s(axis):g} s", points=axis.points(committed)),
    )
    return Panel(title="Transfers a second", unit="tx/s", series=series, lowest=0)


def _smoothing_s(axis: _Axis) -> float:
    return max(5.0, axis.bin_s)


def _smoothed(moments: npt.NDArray[np.float64], axis: _Axis) -> pd.Series[float]:
    """Return events a second in a window of at least five seconds around the middle of each bin."""
    width = _smoothing_s(axis)
    middles = axis.start + (np.arange(axis.count) + 0.5) * axis.bin_s
    ordered = np.sort(moments)
    counts = np.searchsorted(ordered, middles + width / 2) - np.searchsorted(ordered, middles - width / 2)
    return pd.Series(counts / width)


def _block_interval(run: Run, axis: _Axis) -> Panel:
    times = block_times(run)
    following = times["height"].diff() == 1
    gaps = times["at_s"].diff()[following]
    points = tuple(
        (float(at - axis.start), float(gap))
        for at, gap in zip(times.loc[following, "at_s"], gaps, strict=True)
        if 0 <= at - axis.start <= axis.end - axis.start
    )
    series = (Series(name="time from block to block", points=points, is_dots=True),)
    return Panel(title="Block interval", unit="s", series=series, lowest=0)


def _availability(run: Run, axis: _Axis) -> Panel:
    health = run.probes[run.probes["probe"] == "health"]
    series = []
    for kind, name in (("node", "nodes up"), ("provider", "providers up")):
        rows = health[health["kind"] == kind]
        by_bin = rows["ok"].astype(float).groupby(axis.place(rows["at_s"])).mean() * 100
        series.append(Series(name=name, points=axis.points(by_bin)))
    asked = run.samples[run.samples["protocol"].isin(_QUERIES) & ~run.samples["error_kind"].isin(_EXCUSED)]
    good = (asked["outcome"] == Outcome.OK.value).astype(float)
    by_bin = good.groupby(axis.place(asked["intended_at_s"])).mean() * 100
    series.append(Series(name="queries answered", points=axis.points(by_bin)))
    return Panel(title="Availability", unit="%", series=tuple(series), lowest=0, highest=100)


def _fault_span(fault: FaultStory, start: float, end: float) -> Span | None:
    if fault.applied_at_s is None:
        return None
    until = fault.healed_at_s if fault.healed_at_s is not None else end
    return _span(f"{fault.fault} {', '.join(fault.targets)}", fault.applied_at_s, until, start, end)


def _recovery_span(fault: FaultStory, start: float, end: float) -> Span | None:
    if fault.healed_at_s is None:
        return None
    return _span("recovery", fault.healed_at_s, fault.disturbed(end)[1], start, end)


def _span(name: str, from_at_s: float, until_at_s: float, start: float, end: float) -> Span | None:
    """Return the part of a stretch of time that lies in [start, end); None where there is none."""
    first, last = max(from_at_s, start), min(until_at_s, end)
    return Span(name=name, start_s=first - start, end_s=last - start) if first < last else None
