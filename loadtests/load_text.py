"""The loads of several scenarios as one line of text, "transfer:55@1.0,query:20@3.0": how a plan reaches Locust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLoad:
    """How many users of a scenario, and how often each of them acts."""

    users: int
    rate_per_user_per_s: float


def parse_loads(text: str) -> dict[str, ScenarioLoad]:
    """Return the loads in such a text by scenario. Raises ValueError."""
    loads: dict[str, ScenarioLoad] = {}
    for part in filter(None, text.split(",")):
        scenario, _, amount = part.partition(":")
        users, _, rate = amount.partition("@")
        try:
            load = ScenarioLoad(users=int(users), rate_per_user_per_s=float(rate))
        except ValueError:
            load = ScenarioLoad(users=0, rate_per_user_per_s=0)
        if not scenario or load.users <= 0 or not 0 < load.rate_per_user_per_s < float("inf"):
            raise ValueError(f"{part!r} is no load; expected scenario:users@rate")
        if scenario in loads:
            raise ValueError(f"the load {scenario!r} is there twice; expected each scenario once")
        loads[scenario] = load
    return loads


def format_loads(loads: Mapping[str, ScenarioLoad]) -> str:
    """Return the text that `parse_loads` reads."""
    return ",".join(f"{name}:{load.users}@{load.rate_per_user_per_s!r}" for name, load in loads.items())
