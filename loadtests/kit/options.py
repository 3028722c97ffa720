"""The command-line options that every scenario takes, each also an environment variable."""

from __future__ import annotations

import argparse

from locust.argument_parser import LocustArgumentParser

from loadtests.arrivals import parse_arrivals
from loadtests.load_text import parse_loads

MAX_PIPELINE_DEPTH = 100


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
        "--arrivals",
        env_var="GAMEDAY_ARRIVALS",
        type=_arrivals,
        default="",
        help='Open arrivals for every scenario: a rate, or "ramp;from_per_s=1;to_per_s=50;over_s=60", …; users (-u) are'
        " then how many may be on their way at once (default: none, each user acts at its own rate)",
    )
    group.add_argument(
        "--wait-limit",
        env_var="GAMEDAY_WAIT_LIMIT_S",
        type=_positive_number,
        default=10.0,
        help="Seconds that an arrival waits for a free user before it is given up as not sent (default: 10)",
    )
    group.add_argument(
        "--loads",
        env_var="GAMEDAY_LOADS",
        type=_loads,
        default="",
        help='Fixed load by scenario, "transfer:55@1,query:20~60": 55 users with 1 operation a second; 60 arrivals, …',
    )
    group.add_argument(
        "--tx-order",
        env_var="GAMEDAY_TX_ORDER",
        choices=("auto", "sequence", "pipeline", "unordered"),
        default="auto",
        help="How transfers are ordered (default: auto, unordered where the chain takes it)",
    )
    group.add_argument(
        "--pipeline-depth",
        env_var="GAMEDAY_PIPELINE_DEPTH",
        type=_depth,
        default=4,
        help="With --tx-order pipeline, transactions that an account may have on their way (default: 4)",
    )
    group.add_argument(
        "--confirm-limit",
        env_var="GAMEDAY_CONFIRM_LIMIT_S",
        type=_positive_number,
        default=60.0,
        help="Seconds after which a transaction that no block has counts as not included (default: 60)",
    )
    group.add_argument(
        "--drain-limit",
        env_var="GAMEDAY_DRAIN_LIMIT_S",
        type=_positive_number,
        default=30.0,
        help="Seconds that the end of the test waits for transactions on their way (default: 30)",
    )
    group.add_argument(
        "--start-at",
        env_var="GAMEDAY_START_AT_S",
        type=float,
        default=0.0,
        help="Unix time at which the load is to begin: Locust gets ready before and waits (default: at once)",
    )
    group.add_argument(
        "--load-time",
        env_var="GAMEDAY_LOAD_S",
        type=_positive_number,
        default=None,
        help="Seconds for which users act (default: a second less than --run-time, so that none is cut off)",
    )
    group.add_argument(
        "--statistics",
        env_var="GAMEDAY_STATISTICS",
        choices=("each", "batched"),
        default="each",
        help="Locust's statistics at each request, or ten times a second: cheaper, but listeners of others to Locust's"
        " `request` event then hear nothing of this kit's calls (default: each)",
    )
    group.add_argument("--seed", env_var="GAMEDAY_SEED", type=int, default=1, help="Seed of all random draws")
    group.add_argument(
        "--pin",
        env_var="GAMEDAY_PIN",
        choices=("auto", "yes", "no"),
        default="auto",
        help="Bind each worker to a processor core (default: auto, when each can have its own)",
    )
    group.add_argument(
        "--worker-index",
        env_var="GAMEDAY_WORKER_INDEX",
        type=_index,
        default=None,
        help="Place of this worker among --expect-workers, from 0 (default: in the order in which workers connect)",
    )


def _arrivals(text: str) -> str:
    """Return the text when it can be read; like loads, it stays text."""
    try:
        _ = parse_arrivals(text) if text else None
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _loads(text: str) -> str:
    """Return the text when it can be read. It stays text: a Locust master sends its options to its workers."""
    try:
        parse_loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _depth(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_PIPELINE_DEPTH):
        raise argparse.ArgumentTypeError(f"{text!r} is no depth; expected 1 to {MAX_PIPELINE_DEPTH}")
    return int(text)


def _index(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"{text!r} is no index; expected a whole number, from 0")
    return int(text)


def _positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value
