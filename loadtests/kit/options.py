"""The command-line options that every scenario takes, each also an environment variable."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from locust.argument_parser import LocustArgumentParser


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLoad:
    """How many users of a scenario, and how often each of them acts."""

    users: int
    rate_per_user_per_s: float


def add_options(parser: LocustArgumentParser) -> None:
    """Add this project's options to Locust's."""
    group = parser.add_argument_group("VirtEngine reliability")
    group.add_argument(
        "--target-file",
        env_var="GAMEDAY_TARGET",
        default="target.toml",
        help="Target file (default: target.toml; `gameday devnet up` says where the devnet's is)",
    )
    group.add_argument(
        "--bundle", env_var="GAMEDAY_BUNDLE", default="", help="Run bundle to record into (default: record nothing)"
    )
    group.add_argument(
        "--rate-per-user",
        env_var="GAMEDAY_RATE_PER_USER",
        type=_positive_number,
        default=1.0,
        help="Operations a second of each user (default: 1)",
    )
    group.add_argument(
        "--loads",
        env_var="GAMEDAY_LOADS",
        type=parse_loads,
        default={},
        help='Fixed load by scenario, "transfer:55@1,query:20@5": 55 users with 1 operation a second, …',
    )
    group.add_argument(
        "--tx-order",
        env_var="GAMEDAY_TX_ORDER",
        choices=("auto", "sequence", "unordered"),
        default="auto",
        help="How transfers are ordered (default: auto, unordered where the chain takes it)",
    )
    group.add_argument(
        "--confirm-limit",
        env_var="GAMEDAY_CONFIRM_LIMIT_S",
        type=_positive_number,
        default=60.0,
        help="Seconds after which a transaction that no block has counts as not included (default: 60)",
    )
    group.add_argument("--seed", env_var="GAMEDAY_SEED", type=int, default=1, help="Seed of all random draws")


def parse_loads(text: str) -> dict[str, ScenarioLoad]:
    """Return the loads in a text like "transfer:55@1,query:20@5" by scenario. Raises ArgumentTypeError."""
    loads: dict[str, ScenarioLoad] = {}
    for part in filter(None, text.split(",")):
        scenario, _, amount = part.partition(":")
        users, _, rate = amount.partition("@")
        try:
            load = ScenarioLoad(users=int(users), rate_per_user_per_s=float(rate))
        except ValueError:
            load = ScenarioLoad(users=0, rate_per_user_per_s=0)
        if not scenario or load.users <= 0 or not 0 < load.rate_per_user_per_s < float("inf"):
            raise argparse.ArgumentTypeError(f"{part!r} is no load; expected scenario:users@rate")
        loads[scenario] = load
    return loads


def format_loads(loads: dict[str, ScenarioLoad]) -> str:
    """Return the text that `parse_loads` reads."""
    return ",".join(f"{name}:{load.users}@{load.rate_per_user_per_s!r}" for name, load in loads.items())


def _positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value
