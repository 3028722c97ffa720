"""Chaos Toolkit probes: is the target in its steady state, did the fault take effect, is it healed?

Each returns true or false for a tolerance of `true`, and raises only when it cannot find out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bundle import FaultEvent
from experiments.actions import names
from experiments.fault import Fault
from experiments.faults.network import NetworkPartition
from experiments.faults.process import ProcessKill, ProcessPause
from experiments.lease import LeaseBook
from target.errors import TargetError
from target.http import HttpClient
from target.rpc import RpcClient
from target.target import Target, load_target

__all__ = ["chain_advances", "effect_seen", "heal_seen", "nodes_answer", "providers_answer"]

_ASK_LIMIT_S = 2.0
_LOOK_S = 0.2

_FAULTS: dict[str, Callable[[Target, tuple[str, ...]], Fault]] = {
    kind.name: kind for kind in (ProcessKill, ProcessPause, NetworkPartition)
}


def chain_advances(target_file: str, within_s: float = 15.0, blocks: int = 2) -> bool:
    """Return whether the chain's height rises by `blocks` within `within_s`, on whichever node is highest."""
    target = load_target(Path(target_file))
    first = _highest(target)
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        now = _highest(target)
        if first is None:
            first = now
        elif now is not None and now >= first + blocks:
            return True
        time.sleep(_LOOK_S)
    return False


def nodes_answer(target_file: str, besides: str = "") -> bool:
    """Return whether every node answers and is not catching up, leaving out those named in `besides`."""
    target = load_target(Path(target_file))
    for node in target.nodes:
        if node.name in names(besides):
            continue
        try:
            if RpcClient(node.rpc_url, timeout_s=_ASK_LIMIT_S).status().catching_up:
                return False
        except TargetError:
            return False
    return True


def providers_answer(target_file: str, within_s: float = 0.0) -> bool:
    """Return whether every provider's /health is 200, waiting up to `within_s` for it."""
    target = load_target(Path(target_file))
    end = time.monotonic() + within_s
    while True:
        if all(_is_healthy(provider.url) for provider in target.providers):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(_LOOK_S)


def effect_seen(target_file: str, journal: str, within_s: float = 15.0) -> bool:
    """Return whether the effect of every open fault in the journal shows in time; what shows is journaled."""
    book = LeaseBook(path=Path(journal))
    target, leases = load_target(Path(target_file)), book.open()
    return bool(leases) and all(book.await_effect(_fault(target, lease), limit_s=within_s) for lease in leases)


def heal_seen(target_file: str, journal: str, within_s: float = 60.0) -> bool:
    """Return whether the healing of every open fault in the journal shows in time; what shows is journaled.

    True when nothing is open: there is nothing left to heal.
    """
    book = LeaseBook(path=Path(journal))
    target = load_target(Path(target_file))
    # A list, not a generator: one fault that does not heal must not keep the next from being looked at.
    seen = [book.await_healing(_fault(target, lease), limit_s=within_s) for lease in book.open()]
    return all(seen)


def _fault(target: Target, lease: FaultEvent) -> Fault:
    """Return the fault that a lease is about."""
    return _FAULTS[lease.fault](target, lease.targets)


def _highest(target: Target) -> int | None:
    heights = []
    for node in target.nodes:
        try:
            heights.append(RpcClient(node.rpc_url, timeout_s=_ASK_LIMIT_S).status().height)
        except TargetError:
            continue
    return max(heights, default=None)


def _is_healthy(url: str) -> bool:
    try:
        return HttpClient(url, timeout_s=_ASK_LIMIT_S).get("/health").status == 200
    except TargetError:
        return False
