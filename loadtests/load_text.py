"""The loads of several scenarios as one line of text: how a plan reaches Locust.

    transfer:55@1.0,query:200~constant;rate_per_s=60.0;process=poisson

Fifty-five users that each act once a second, and 60 arrivals a second of which at most 200 are on their way at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.arrivals import ArrivalKind, format_arrivals, parse_arrivals, peak_rate_per_s

_A_DAY_S = 86_400.0
_EXPECTED = "expected scenario:users@rate, or scenario:in-flight~arrivals"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoad:
    """So many users of a scenario, and how often each of them acts when it is not held up."""

    users: int
    rate_per_user_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoad:
    """Arrivals that do not wait for answers."""

    users: int
    """How many may be on their way at once; further ones wait."""
    arrivals: ArrivalKind


ScenarioLoad = ClosedLoad | OpenLoad


def highest_rate_per_s(load: ScenarioLoad, seconds: float) -> float:
    """Return the highest rate that a load asks for within so many seconds (which may be infinite)."""
    if isinstance(load, OpenLoad):
        return peak_rate_per_s(load.arrivals, min(seconds, _A_DAY_S))
    return load.users * load.rate_per_user_per_s


def parse_loads(text: str) -> dict[str, ScenarioLoad]:
    """Return the loads in such a text by scenario. Raises ValueError."""
    loads: dict[str, ScenarioLoad] = {}
    for part in filter(None, text.split(",")):
        scenario, _, amount = part.partition(":")
        if not scenario:
            raise ValueError(f"{part!r} is no load; {_EXPECTED}")
        if scenario in loads:
            raise ValueError(f"the load {scenario!r} is there twice; expected each scenario once")
        loads[scenario] = _parse_open(part, amount) if "~" in amount else _parse_closed(part, amount)
    return loads


def format_loads(loads: Mapping[str, ScenarioLoad]) -> str:
    """Return the text that `parse_loads` reads."""
    return ",".join(f"{name}:{load.users}{_format_rate(load)}" for name, load in loads.items())


def _format_rate(load: ScenarioLoad) -> str:
    if isinstance(load, OpenLoad):
        return f"~{format_arrivals(load.arrivals)}"
    return f"@{load.rate_per_user_per_s!r}"


def _parse_closed(part: str, amount: str) -> ClosedLoad:
    users, _, rate = amount.partition("@")
    try:
        load = ClosedLoad(users=int(users), rate_per_user_per_s=float(rate))
    except ValueError:
        load = ClosedLoad(users=0, rate_per_user_per_s=0)
    if load.users <= 0 or not 0 < load.rate_per_user_per_s < float("inf"):
        raise ValueError(f"{part!r} is no load; {_EXPECTED}")
    return load


def _parse_open(part: str, amount: str) -> OpenLoad:
    users, _, arrivals = amount.partition("~")
    if not users.isdecimal() or int(users) == 0:
        raise ValueError(f"{part!r} is no load; {_EXPECTED}")
    return OpenLoad(users=int(users), arrivals=parse_arrivals(arrivals))
