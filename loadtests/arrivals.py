"""When requests are meant to begin, whatever the target does: open arrivals, as data and as times.

A schedule has a rate curve (constant, ramp, step, spike, sine) and a process that turns the curve into times: `even`
spaces them as regularly as the curve lets, `poisson` draws them as independent users would arrive. Or it replays a
recorded trace. The same seed gives the same times, in one process as in many: every worker goes through the whole
schedule and takes each n-th arrival, so what all of them offer together is the schedule itself.

Both processes work by time change: if Λ(t) is the expected number of arrivals up to t, the k-th arrival is at
Λ⁻¹(k-th point of a unit-rate process) (Çinlar, Introduction to Stochastic Processes, 4.7).

Times are seconds after the load began. This module knows no clock and imports no Locust.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Le
from pydantic import Field

from bundle import DocumentError, Problem, document, parse_document

Times = npt.NDArray[np.float64]

MAX_RATE_PER_S = 100_000.0
CHUNK = 8192
"""Arrivals made at a time: less than a millisecond's work, and 64 KiB."""
_SINE_PIECES = 720
"""Straight pieces that stand for one period of a sine: the rate is off by less than 0.001 % of the amplitude."""

Rate = Annotated[float, Ge(0), Le(MAX_RATE_PER_S)]
PositiveRate = Annotated[float, Gt(0), Le(MAX_RATE_PER_S)]
Seconds = Annotated[float, Ge(0), Le(31_622_400)]
PositiveSeconds = Annotated[float, Gt(0), Le(31_622_400)]


class Process(StrEnum):
    """How a rate becomes times."""

    EVEN = "even"
    """As regular as the rate allows, begun at a random point of the first period."""
    POISSON = "poisson"
    """Independent of each other, as many independent users are."""


Knots = Sequence[tuple[float, float]]
"""(seconds, rate a second) of a curve that is straight in between, jumps where a time is there twice, and goes on as it
ended."""


@document
class Constant:
    """The same rate all the time."""

    kind: Literal["constant"] = "constant"
    rate_per_s: PositiveRate
    process: Process = Process.POISSON

    def knots(self, duration_s: float) -> Knots:
        return [(0.0, self.rate_per_s)]


@document
class Ramp:
    """From one rate to another along a straight line, and on with that."""

    kind: Literal["ramp"] = "ramp"
    from_per_s: Rate
    to_per_s: PositiveRate
    over_s: PositiveSeconds
    process: Process = Process.POISSON

    def knots(self, duration_s: float) -> Knots:
        return [(0.0, self.from_per_s), (self.over_s, self.to_per_s)]


@document
class Step:
    """A rate that grows (or shrinks) by the same amount every so often, until it has reached its last."""

    kind: Literal["step"] = "step"
    from_per_s: PositiveRate
    to_per_s: PositiveRate
    steps: Annotated[int, Gt(0), Le(1000)]
    """Number of jumps on the way."""
    every_s: PositiveSeconds
    process: Process = Process.POISSON

    def knots(self, duration_s: float) -> Knots:
        rise = (self.to_per_s - self.from_per_s) / self.steps
        knots = [(0.0, self.from_per_s)]
        for number in range(self.steps):
            at_s = (number + 1) * self.every_s
            knots += [(at_s, self.from_per_s + number * rise), (at_s, self.from_per_s + (number + 1) * rise)]
        return knots


@document
class Spike:
    """A rate that jumps once, stays there for a while, and jumps back."""

    kind: Literal["spike"] = "spike"
    rate_per_s: PositiveRate
    spike_per_s: PositiveRate
    at_s: Seconds
    for_s: PositiveSeconds
    process: Process = Process.POISSON

    def knots(self, duration_s: float) -> Knots:
        end_s = self.at_s + self.for_s
        return [
            *((0.0, self.rate_per_s), (self.at_s, self.rate_per_s)),
            *((self.at_s, self.spike_per_s), (end_s, self.spike_per_s)),
            (end_s, self.rate_per_s),
        ]


@document
class Sine:
    """A rate that swings around its mean, as a day does; it begins at the mean and rises."""

    kind: Literal["sine"] = "sine"
    mean_per_s: PositiveRate
    swing_per_s: PositiveRate
    """How far it goes up and down from the mean."""
    period_s: PositiveSeconds = 86_400.0
    process: Process = Process.POISSON

    def __post_init__(self) -> None:
        if self.swing_per_s > self.mean_per_s:
            raise ValueError(f"swing_per_s is {self.swing_per_s:g}; expected at most the mean, {self.mean_per_s:g}")

    def knots(self, duration_s: float) -> Knots:
        piece_s = self.period_s / _SINE_PIECES
        count = math.ceil(duration_s / piece_s) + 1
        angles = 2 * math.pi * np.arange(count) / _SINE_PIECES
        rates = self.mean_per_s + self.swing_per_s * np.sin(angles)
        return [(place * piece_s, max(0.0, float(rate))) for place, rate in enumerate(rates)]


@document
class Trace:
    """Recorded arrivals, replayed: a CSV file whose column `at_s` (or only column) holds seconds, in order."""

    kind: Literal["trace"] = "trace"
    file: str
    """Path of the CSV file; in a plan, relative to the plan."""
    speed: Annotated[float, Gt(0), Le(1000)] = 1.0
    """2 replays twice as fast."""


Arrivals = Annotated[Constant | Ramp | Step | Spike | Sine | Trace, Field(discriminator="kind")]
ArrivalKind = Constant | Ramp | Step | Spike | Sine | Trace
_KINDS: dict[str, type[ArrivalKind]] = {
    "constant": Constant,
    "ramp": Ramp,
    "step": Step,
    "spike": Spike,
    "sine": Sine,
    "trace": Trace,
}


def schedule_seed(seed: int, scenario: str) -> str:
    """Return the seed of one scenario's schedule in a run: scenarios of one run do not arrive together."""
    return f"{seed}/{scenario}"


def arrival_times(
    arrivals: ArrivalKind, duration_s: float, seed: str, *, share: tuple[int, int] = (0, 1)
) -> Iterator[Times]:
    """Yield the times in [0, duration_s) in order, in chunks of a bounded size.

    `share` is (index, count): of each `count` arrivals in a row, this worker takes the one at `index`. Raises
    DocumentError for a trace that cannot be read.
    """
    index, count = share
    passed = 0
    for chunk in _all_times(arrivals, duration_s, seed):
        mine = chunk[(index - passed) % count :: count]
        passed += len(chunk)
        if len(mine):
            yield mine


def arrival_count(arrivals: ArrivalKind, duration_s: float, seed: str) -> int:
    """Return how many arrivals there are in [0, duration_s): exactly, as they will be offered."""
    return sum(len(chunk) for chunk in _all_times(arrivals, duration_s, seed))


def peak_rate_per_s(arrivals: ArrivalKind, duration_s: float) -> float:
    """Return the highest rate of the curve; of a trace, the highest number in any second."""
    if isinstance(arrivals, Trace):
        times = _read_trace(arrivals)
        whole = np.bincount(np.floor(times[times < duration_s]).astype(np.int64)) if len(times) else np.zeros(1)
        return float(whole.max(initial=0))
    return max(rate for at_s, rate in arrivals.knots(duration_s) if at_s <= duration_s)


def scaled(arrivals: ArrivalKind, *, rate: float = 1.0, time: float = 1.0) -> ArrivalKind:
    """Return the same shape with rates and times multiplied. Of a trace only its time can be: its speed is divided.

    Raises ValueError where the result is out of bounds, or a trace should get another rate.
    """
    if isinstance(arrivals, Trace):
        if rate != 1:
            raise ValueError("a trace has the rate that it has; expected no scale for it")
        return replace(arrivals, speed=arrivals.speed / time)
    changes = {}
    for field in fields(arrivals):
        factor = rate if field.name.endswith("_per_s") else time if field.name.endswith("_s") else None
        if factor is not None:
            changes[field.name] = getattr(arrivals, field.name) * factor
    changed = replace(arrivals, **changes)
    try:
        return parse_document(type(changed), asdict(changed), source="arrivals")
    except DocumentError as error:
        raise ValueError("; ".join(map(str, error.problems))) from None


def parse_arrivals(text: str) -> ArrivalKind:
    """Return the arrivals in a text such as "60", "constant;rate_per_s=60" or "ramp;from_per_s=1;to_per_s=9;over_s=60".

    A bare number is a constant rate. Raises ValueError.
    """
    kind, *settings = (part.strip() for part in text.split(";"))
    raw: dict[str, object] = {}
    try:
        raw = {"kind": "constant", "rate_per_s": float(kind)}
    except ValueError:
        raw = {"kind": kind}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is no setting; expected name=value")
        raw[name.strip()] = _plain(value.strip())
    cls = _KINDS.get(str(raw["kind"]))
    if cls is None:
        raise ValueError(f"{kind!r} is no kind of arrivals; expected a rate, or one of {', '.join(_KINDS)}")
    try:
        return parse_document(cls, raw, source=f"arrivals {text!r}")
    except DocumentError as error:
        raise ValueError(str(error)) from None


def format_arrivals(arrivals: ArrivalKind) -> str:
    """Return the text that `parse_arrivals` reads."""
    settings = [
        f"{field.name}={_text(getattr(arrivals, field.name))}" for field in fields(arrivals) if field.name != "kind"
    ]
    return ";".join([arrivals.kind, *settings])


def _plain(value: str) -> object:
    try:
        number = float(value)
    except ValueError:
        return value
    return int(value) if value.isdigit() else number


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _all_times(arrivals: ArrivalKind, duration_s: float, seed: str) -> Iterator[Times]:
    if isinstance(arrivals, Trace):
        times = _read_trace(arrivals)
        times = times[times < duration_s]
        yield from (times[place : place + CHUNK] for place in range(0, len(times), CHUNK))
        return
    curve = _Curve(arrivals.knots(duration_s))
    draw = np.random.default_rng(int.from_bytes(seed.encode(), "big"))
    # Points of a unit-rate process up to the whole expected number; each becomes a time.
    total, last = curve.expected(duration_s), 0.0
    phase = float(draw.random())
    made = 0
    while last < total:
        if arrivals.process is Process.EVEN:
            points = np.arange(made, made + CHUNK, dtype=np.float64) + phase
            made += CHUNK
        else:
            points = last + np.cumsum(draw.standard_exponential(CHUNK))
        last = float(points[-1])
        times = curve.when(points[points < total])
        # Rounding may put the last one onto the end, which is not part of the load.
        times = times[times < duration_s]
        if len(times):
            yield times


class _Curve:
    """A rate that is straight between knots: how many arrivals are expected until when, and the other way round."""

    def __init__(self, knots: Knots) -> None:
        at_s, rates = (np.array(column, dtype=np.float64) for column in zip(*knots, strict=True))
        width = np.diff(at_s)
        slopes = np.divide(np.diff(rates), width, out=np.zeros_like(width), where=width > 0)
        self._at_s, self._rates = at_s, rates
        self._slopes = np.append(slopes, 0.0)
        self._areas = np.concatenate(([0.0], np.cumsum(width * (rates[:-1] + rates[1:]) / 2)))

    def expected(self, at_s: float) -> float:
        """Return Λ(at_s), the area under the curve."""
        piece = int(np.searchsorted(self._at_s, at_s, side="right")) - 1
        passed = at_s - self._at_s[piece]
        return float(self._areas[piece] + passed * (self._rates[piece] + self._slopes[piece] * passed / 2))

    def when(self, areas: Times) -> Times:
        """Return Λ⁻¹ of each area: the time at which so many arrivals are expected."""
        piece = np.searchsorted(self._areas, areas, side="right") - 1
        rest, rate, slope = areas - self._areas[piece], self._rates[piece], self._slopes[piece]
        # rest = rate·x + slope·x²/2, solved in the form that loses no digits when the slope is small or 0.
        root = rate + np.sqrt(np.maximum(rate * rate + 2 * slope * rest, 0.0))
        passed = np.divide(2 * rest, root, out=np.zeros_like(rest), where=root > 0)
        return np.asarray(self._at_s[piece] + passed, dtype=np.float64)


def _read_trace(trace: Trace) -> Times:
    """Return the times of a trace in seconds, replayed at its speed. Raises DocumentError."""
    path = Path(trace.file)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(where="", found=f"cannot be read ({error})", expected="a CSV file of seconds")
        raise DocumentError(str(path), (problem,)) from None
    column, first = 0, 0
    if rows and not _is_number(rows[0][0] if rows[0] else ""):
        first = 1
        column = rows[0].index("at_s") if "at_s" in rows[0] else 0
    times, before = [], 0.0
    for number, row in enumerate(rows[first:], start=first + 1):
        text = row[column] if column < len(row) else ""
        value = float(text) if _is_number(text) else -1.0
        if value < before:
            expected = f"seconds, {before:g} or more: in order, from 0"
            problem = Problem(where=f"line {number}", found=f"is {text!r}", expected=expected)
            raise DocumentError(str(path), (problem,))
        times.append(value)
        before = value
    if not times:
        raise DocumentError(str(path), (Problem(where="", found="has no arrival", expected="one a line, in seconds"),))
    return np.array(times, dtype=np.float64) / trace.speed


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
