"""Each fault on a fake network: its effect shows while it lasts and not else, its healing only when it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from experiments.fault import Fault, NotControllable
from experiments.faults.network import NetworkPartition
from experiments.faults.process import ProcessKill, ProcessPause
from experiments.height_watch import HeightWatch
from experiments.undo import perform
from target.control import DevnetControl
from target.errors import ControlError, TargetError
from target.file import ControlKind
from target.target import Target
from tests.unit.experiments.fake_net import FakeNet

KINDS: list[Callable[[Target, tuple[str, ...]], Fault]] = [ProcessKill, ProcessPause, NetworkPartition]


def undo(fault: Fault, net: FakeNet) -> None:
    perform(fault.undo, DevnetControl(net.socket))


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_without_a_control_port_has_no_faults(net: FakeNet, kind: Any) -> None:
    with pytest.raises(NotControllable, match='control is "none"'):
        kind(net.target(control=ControlKind.NONE), ("validator-3",))


@pytest.mark.parametrize("kind", KINDS)
def test_making_a_fault_does_nothing(net: FakeNet, kind: Any) -> None:
    kind(net.target(), ("validator-3",))
    assert net.orders == []


@pytest.mark.parametrize("kind", KINDS)
def test_applying_twice_is_applying_once(net: FakeNet, kind: Any) -> None:
    fault = kind(net.target(), ("validator-3",))
    fault.apply()
    once = ({name: part.state for name, part in net.parts.items()}, net.cut_links())
    fault.apply()
    assert ({name: part.state for name, part in net.parts.items()}, net.cut_links()) == once
    undo(fault, net)
    undo(fault, net)
    assert {part.state for part in net.parts.values()} == {"running"}
    assert net.cut_links() == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_port_that_is_gone_is_trouble_with_the_target(net: FakeNet, kind: Any) -> None:
    fault = kind(net.target(), ("validator-3",))
    net.close_control()
    with pytest.raises(ControlError):
        fault.apply()


@pytest.mark.parametrize("targets", [("validator-3",), ("validator-1", "validator-2"), ("provider-0",)])
def test_kill(net: FakeNet, targets: tuple[str, ...]) -> None:
    fault = ProcessKill(net.target(), targets)
    assert fault.effect() is None
    fault.apply()
    assert {net.parts[name].state for name in targets} == {"exited"}
    evidence = fault.effect()
    assert evidence is not None
    assert evidence.startswith(", ".join(targets))
    assert fault.healing() is None
    undo(fault, net)
    assert fault.effect() is None
    net.advance()
    _let_heal(fault, net)


def test_a_kill_of_which_one_target_lives_shows_no_effect(net: FakeNet) -> None:
    fault = ProcessKill(net.target(), ("validator-2", "validator-3"))
    net.nodes["validator-2"].kill()
    assert fault.effect() is None


def test_somebody_else_at_the_address_of_the_dead_is_no_effect(net: FakeNet) -> None:
    fault = ProcessKill(net.target(), ("validator-3",))
    net.nodes["validator-3"].state = "exited"  # and yet it answers
    assert fault.effect() is None


@pytest.mark.parametrize("targets", [("validator-3",), ("validator-1", "validator-2"), ("provider-0",)])
def test_pause(net: FakeNet, targets: tuple[str, ...]) -> None:
    fault = ProcessPause(net.target(), targets)
    assert fault.effect() is None
    fault.apply()
    evidence = fault.effect()
    assert evidence is not None
    assert "no answer" in evidence
    assert fault.healing() is None
    undo(fault, net)
    assert fault.effect() is None
    net.advance()
    _let_heal(fault, net)


def test_a_dead_process_is_no_paused_one(net: FakeNet) -> None:
    fault = ProcessPause(net.target(), ("validator-3",))
    net.nodes["validator-3"].kill()
    assert fault.effect() is None
    net.nodes["validator-3"].state = "paused"  # as the control port has it; its address refuses connections
    assert fault.effect() is None


@pytest.mark.parametrize("kind", [ProcessKill, ProcessPause])
def test_a_process_that_the_port_does_not_have_is_trouble(net: FakeNet, kind: Any) -> None:
    fault = kind(net.target(), ("validator-9",))
    for step in (fault.apply, fault.effect, fault.healing):
        with pytest.raises(TargetError):
            step()


def test_partition_with_the_majority_going_on(net: FakeNet) -> None:
    fault = NetworkPartition(net.target(), ("validator-3",))
    assert fault.effect() is None
    fault.apply()
    others = ("validator-0", "validator-1", "validator-2")
    assert net.cut_links() == {(a, b) for o in others for a, b in (("validator-3", o), (o, "validator-3"))}
    assert fault.effect() is None  # the peers are gone; that it stands is still to be seen
    net.advance(*others)
    assert fault.effect() is None  # one block is no proof
    net.advance(*others)
    assert fault.effect() == "validator-3: 0 peers left, no block while the others made 2"
    assert fault.healing() is None
    undo(fault, net)
    assert fault.effect() is None
    assert fault.healing() is None  # peers are back; it has not caught up
    net.nodes["validator-3"].height = net.nodes["validator-0"].height
    assert fault.healing() == "validator-3 went on to height 12, the others are at 12"


def test_partition_of_a_group_that_keeps_its_own_links(net: FakeNet) -> None:
    fault = NetworkPartition(net.target(), ("validator-2", "validator-3"))
    fault.apply()
    assert not net.is_cut("validator-2", "validator-3")
    assert not net.is_cut("validator-0", "validator-1")
    assert net.is_cut("validator-0", "validator-2")
    # Neither side has more than two thirds: that no block comes proves nothing, the missing peers are the evidence.
    assert fault.effect() == "validator-2, validator-3: 1 peers left; neither side can commit"
    undo(fault, net)
    assert fault.effect() is None


def test_a_cut_node_that_makes_blocks_is_no_partition(net: FakeNet) -> None:
    fault = NetworkPartition(net.target(), ("validator-3",))
    fault.apply()
    assert fault.effect() is None
    net.advance(blocks=5)
    assert fault.effect() is None


def test_a_node_with_a_peer_on_the_other_side_is_no_partition(net: FakeNet) -> None:
    fault = NetworkPartition(net.target(), ("validator-3",))
    fault.apply()
    assert fault.effect() is None
    for pair in (("validator-3", "validator-0"), ("validator-0", "validator-3")):
        net.rules[pair]["mode"] = "open"
    net.advance("validator-0", "validator-1", "validator-2", blocks=5)
    assert fault.effect() is None


def test_a_dead_target_is_no_partition(net: FakeNet) -> None:
    """It has no peers to speak of either; the effect of a partition is seen on a node that answers."""
    fault = NetworkPartition(net.target(), ("validator-3",))
    assert fault.effect() is None
    net.nodes["validator-3"].kill()
    net.advance("validator-0", "validator-1", "validator-2", blocks=5)
    assert fault.effect() is None


# --- who has caught up ---


def test_caught_up_needs_a_block_of_its_own(net: FakeNet) -> None:
    watch = HeightWatch(net.target())
    assert watch.caught_up("validator-3") is None  # as high as the others from the start
    net.advance("validator-0")
    assert watch.caught_up("validator-3") is None
    net.advance("validator-3")
    assert watch.caught_up("validator-3") == "validator-3 went on to height 11, the others are at 11"


@pytest.mark.parametrize(("behind", "is_caught_up"), [(0, True), (1, True), (2, False), (50, False)])
def test_caught_up_is_within_a_block_of_the_others(net: FakeNet, behind: int, is_caught_up: bool) -> None:
    watch = HeightWatch(net.target())
    watch.look()
    net.advance("validator-3")
    net.advance("validator-0", blocks=1 + behind)
    assert (watch.caught_up("validator-3") is not None) is is_caught_up


def test_a_node_that_says_it_is_catching_up_has_not(net: FakeNet) -> None:
    watch = HeightWatch(net.target())
    watch.look()
    net.nodes["validator-3"].catching_up = True
    net.advance()
    assert watch.caught_up("validator-3") is None
    net.nodes["validator-3"].catching_up = False
    assert watch.caught_up("validator-3") is not None


def test_a_node_that_is_silent_or_alone_has_not_caught_up(net: FakeNet) -> None:
    watch = HeightWatch(net.target())
    watch.look()
    net.advance()
    net.nodes["validator-3"].kill()
    assert watch.caught_up("validator-3") is None
    for name in ("validator-0", "validator-1"):
        net.nodes[name].kill()
    net.advance()
    assert watch.caught_up("validator-2") is None
    assert watch.moved() == {"validator-2": 2}


def _let_heal(fault: Fault, net: FakeNet) -> None:
    """A node has healed when it was seen to make a block; a provider when it answers."""
    if fault.targets == ("provider-0",):
        assert fault.healing() == "provider-0 runs and answers"
        return
    assert fault.healing() is None
    net.advance()
    evidence = fault.healing()
    assert evidence is not None
    for name in fault.targets:
        assert f"{name} went on to height" in evidence
