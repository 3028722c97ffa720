"""Heights of all nodes over a short while: who stands, who moves, who has caught up."""

from __future__ import annotations

from target.errors import TargetError
from target.rpc import RpcClient
from target.target import Target

_ASK_LIMIT_S = 1.0
_CAUGHT_UP_WITHIN = 1
"""Blocks that a node may be behind the highest other one: they are asked one after the other."""


class HeightWatch:
    """Remembers the first height seen of each node."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._first: dict[str, int] = {}

    def look(self) -> tuple[dict[str, int], set[str]]:
        """Return (height by node, nodes that are catching up); nodes that do not answer are absent."""
        heights, behind = {}, set()
        for node in self._target.nodes:
            try:
                status = RpcClient(node.rpc_url, timeout_s=_ASK_LIMIT_S).status()
            except TargetError:
                continue
            heights[node.name] = status.height
            self._first.setdefault(node.name, status.height)
            if status.catching_up:
                behind.add(node.name)
        return heights, behind

    def moved(self) -> dict[str, int]:
        """Return how many blocks each node that answers has made since it was first seen."""
        heights, _ = self.look()
        return {name: height - self._first[name] for name, height in heights.items()}

    def caught_up(self, name: str) -> str | None:
        """Return in words that a node makes blocks again and is as high as the others; None when it does not show.

        A height close to the others' is no proof by itself: after a short pause it is that from the start.
        """
        heights, behind = self.look()
        others = [height for node, height in heights.items() if node != name]
        if name not in heights or name in behind or not others or heights[name] <= self._first[name]:
            return None
        if heights[name] < max(others) - _CAUGHT_UP_WITHIN:
            return None
        return f"{name} went on to height {heights[name]}, the others are at {max(others)}"
