"""Voting power: what the chain survives losing. Pure arithmetic; `probe.py` asks the chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VotingPower:
    """Power of the validators by node name; `unknown` is power held by validators that are no node of the target."""

    by_node: Mapping[str, int]
    unknown: int = 0

    @property
    def total(self) -> int:
        return sum(self.by_node.values()) + self.unknown

    def lost(self, nodes: Iterable[str]) -> int:
        """Return the power of `nodes`, each counted once; a node that does not validate has none."""
        return sum(self.by_node.get(node, 0) for node in set(nodes))

    def survives_losing(self, nodes: Iterable[str]) -> bool:
        """Return whether more than 2/3 of the power remains: what CometBFT needs to commit a block."""
        return 3 * (self.total - self.lost(nodes)) > 2 * self.total

    def describe_loss(self, nodes: Iterable[str]) -> str:
        """Return the loss in words: "20 of 40 voting power (50.0 %)"."""
        lost, total = self.lost(nodes), self.total
        share = 100 * lost / total if total else 0.0
        return f"{lost} of {total} voting power ({share:.1f} %)"
