"""Faults on the links between nodes: a group of nodes cut off from all others.

Only peer-to-peer traffic is touched; clients still reach the nodes on both sides.
"""

from __future__ import annotations

from bundle import Undo
from experiments.fault import NotControllable
from experiments.height_watch import HeightWatch
from target.control import DevnetControl, Link, LinkMode, LinkRule, connect_control
from target.errors import TargetError
from target.probe import identify
from target.rpc import RpcClient
from target.target import Target

_ASK_LIMIT_S = 1.0
_PROOF_BLOCKS = 2
"""Blocks that the other side must make, while the cut side makes none, to prove the cut."""


class NetworkPartition:
    """The targets keep their links among each other and lose those to everybody else."""

    name = "network.partition"

    def __init__(self, target: Target, targets: tuple[str, ...]) -> None:
        control = connect_control(target)
        if control is None:
            raise NotControllable(f'{target.name}: control is "none"; expected a target whose links we control')
        self._target = target
        self._control: DevnetControl = control
        self.targets = targets
        self._heights = HeightWatch(target)

    @property
    def undo(self) -> Undo:
        return Undo(verb="open_links", targets=self.targets)

    def apply(self) -> None:
        rule = LinkRule(mode=LinkMode.CUT)
        self._control.set_links(
            Link(source=link.source, destination=link.destination, rule=rule) for link in self._crossing()
        )

    def effect(self) -> str | None:
        """No target has a peer on the other side; and no target makes blocks while another node makes two.

        Where the cut halts both sides, the missing peers are all that there is to see.
        """
        if any(self._peers(name) != len(self.targets) - 1 for name in self.targets):
            return None
        moved = self._heights.moved()
        mine = [moved[name] for name in self.targets if name in moved]
        others = [blocks for name, blocks in moved.items() if name not in self.targets]
        peers = f"{', '.join(self.targets)}: {len(self.targets) - 1} peers left"
        if mine and max(mine) == 0 and others and max(others) >= _PROOF_BLOCKS:
            return f"{peers}, no block while the others made {max(others)}"
        if not self._other_side_can_commit():
            return f"{peers}; neither side can commit"
        return None

    def healing(self) -> str | None:
        """Every target has all its peers again and has caught up."""
        everybody = len(self._target.nodes) - 1
        if any(self._peers(name) < everybody for name in self.targets):
            return None
        found = [self._heights.caught_up(name) for name in self.targets]
        return None if None in found else "; ".join(text for text in found if text)

    def _crossing(self) -> list[Link]:
        """Return the links between the targets and everybody else."""
        inside = set(self.targets)
        return [link for link in self._control.links() if (link.source in inside) != (link.destination in inside)]

    def _peers(self, name: str) -> int:
        try:
            return RpcClient(self._target.node(name).rpc_url, timeout_s=_ASK_LIMIT_S).peer_count()
        except TargetError:
            return -1

    def _other_side_can_commit(self) -> bool:
        power = identify(self._target, timeout_s=_ASK_LIMIT_S).power
        return power.survives_losing(self.targets)
