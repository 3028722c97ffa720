"""What Chaos Toolkit calls: actions and probes, from a Target file and a journal alone."""

from __future__ import annotations

from pathlib import Path
from threading import Timer

import pytest

from bundle import FaultEventKind
from experiments import actions, probes
from experiments.actions import heal, kill_processes, names, partition_nodes, pause_processes
from experiments.fault import Forbidden, NotControllable
from experiments.probes import chain_advances, effect_seen, heal_seen, nodes_answer, providers_answer
from target.file import ControlKind
from tests.unit.experiments.fake_fault import events_in, kinds_in
from tests.unit.experiments.fake_net import FakeNet


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "faults.jsonl")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("validator-3", ("validator-3",)),
        ("validator-2,validator-3", ("validator-2", "validator-3")),
        (" validator-2 , validator-3 ,", ("validator-2", "validator-3")),
        ("", ()),
        (" , ", ()),
    ],
)
def test_names(text: str, expected: tuple[str, ...]) -> None:
    assert names(text) == expected


def test_a_kill_from_action_to_healing(net: FakeNet, journal: str) -> None:
    target = str(net.target_file())
    lease = kill_processes(target, journal, "validator-3", lease_s=60)
    assert net.nodes["validator-3"].state == "exited"
    assert effect_seen(target, journal, within_s=5) is True
    assert heal(target, journal) == [lease]
    assert net.nodes["validator-3"].state == "running"
    assert heal_seen(target, journal, within_s=0) is False  # it has made no block yet
    assert _heal_seen_while_blocks_come(net, target, journal)
    assert kinds_in(Path(journal)) == ["planned", "applied", "effect seen", "healed", "heal seen"]
    assert heal(target, journal) == []
    assert heal_seen(target, journal, within_s=0) is True


def test_a_pause_from_action_to_healing(net: FakeNet, journal: str) -> None:
    target = str(net.target_file())
    lease = pause_processes(target, journal, "provider-0", lease_s=60)
    assert effect_seen(target, journal, within_s=5) is True
    assert heal(target, journal) == [lease]
    assert heal_seen(target, journal, within_s=5) is True


def test_a_partition_from_action_to_healing(net: FakeNet, journal: str) -> None:
    target = str(net.target_file())
    lease = partition_nodes(target, journal, "validator-2,validator-3", lease_s=60, expected_halt=True)
    assert effect_seen(target, journal, within_s=5) is True
    assert heal(target, journal) == [lease]
    assert _heal_seen_while_blocks_come(net, target, journal)
    assert net.cut_links() == set()


@pytest.mark.parametrize(
    ("action", "parameter"),
    [(kill_processes, "processes"), (pause_processes, "processes"), (partition_nodes, "nodes")],
)
def test_what_the_guards_refuse_is_not_done_and_shows_nothing(
    net: FakeNet, journal: str, action: object, parameter: str
) -> None:
    target = str(net.target_file())
    with pytest.raises(Forbidden, match="halts the chain"):
        action(target, journal, **{parameter: "validator-2,validator-3"})  # type: ignore[operator]
    assert net.orders == []
    (event,) = events_in(Path(journal))
    assert event.event is FaultEventKind.FAILED
    assert "halts the chain" in event.evidence
    assert effect_seen(target, journal, within_s=5) is False
    assert heal(target, journal) == []
    assert heal_seen(target, journal, within_s=5) is True


def test_a_second_fault_on_top_of_the_first_is_refused(net: FakeNet, journal: str) -> None:
    target = str(net.target_file())
    kill_processes(target, journal, "provider-0")
    with pytest.raises(Forbidden, match="already broken: provider-0 exited"):
        kill_processes(target, journal, "validator-3")
    assert net.nodes["validator-3"].state == "running"


def test_a_target_without_a_control_port(net: FakeNet, journal: str) -> None:
    target = str(net.target_file(control=ControlKind.NONE))
    with pytest.raises(NotControllable):
        kill_processes(target, journal, "validator-3")
    assert heal(target, journal) == []
    assert not Path(journal).exists()


def test_every_open_fault_has_to_show(net: FakeNet, journal: str) -> None:
    target = str(net.target_file())
    kill_processes(target, journal, "provider-0")
    net.providers["provider-0"].start()  # somebody else healed it
    assert effect_seen(target, journal, within_s=0) is False
    assert kinds_in(Path(journal)) == ["planned", "applied"]


def test_one_fault_that_does_not_heal_keeps_no_other_from_being_seen(net: FakeNet, journal: str) -> None:
    target = str(net.target_file())
    first = kill_processes(target, journal, "validator-3")
    net.nodes["validator-3"].start()
    second = kill_processes(target, journal, "provider-0")
    net.nodes["validator-3"].kill()
    net.providers["provider-0"].start()
    assert heal_seen(target, journal, within_s=0) is False
    seen = [event.lease for event in events_in(Path(journal)) if event.event is FaultEventKind.HEAL_SEEN]
    assert seen == [second]
    assert first != second


def test_nodes_answer(net: FakeNet) -> None:
    target = str(net.target_file())
    assert nodes_answer(target) is True
    net.nodes["validator-3"].catching_up = True
    assert nodes_answer(target) is False
    assert nodes_answer(target, besides="validator-3") is True
    net.nodes["validator-3"].catching_up = False
    net.nodes["validator-2"].kill()
    assert nodes_answer(target) is False
    assert nodes_answer(target, besides="validator-2, validator-3") is True


def test_providers_answer(net: FakeNet) -> None:
    target = str(net.target_file())
    assert providers_answer(target) is True
    net.providers["provider-0"].kill()
    assert providers_answer(target) is False
    later = Timer(0.05, net.providers["provider-0"].start)
    later.start()
    assert providers_answer(target, within_s=20) is True
    later.join()


def test_a_provider_that_answers_something_else_does_not_count(net: FakeNet) -> None:
    net.providers["provider-0"].answer = lambda method, path, body: (503, b"")  # type: ignore[method-assign]
    assert providers_answer(str(net.target_file())) is False


def test_a_standing_chain_does_not_advance(net: FakeNet) -> None:
    target = str(net.target_file())
    assert chain_advances(target, within_s=0.1) is False
    for node in net.nodes.values():
        node.kill()
    assert chain_advances(target, within_s=0.1) is False


def test_a_chain_advances_by_its_highest_node(net: FakeNet) -> None:
    target = str(net.target_file())
    net.nodes["validator-0"].kill()
    later = Timer(0.05, lambda: net.advance("validator-2", blocks=2))
    later.start()
    assert chain_advances(target, within_s=20, blocks=2) is True
    later.join()


def test_what_is_exported_is_what_may_be_called() -> None:
    assert set(actions.__all__) == {"heal", "kill_processes", "partition_nodes", "pause_processes"}
    assert set(probes.__all__) == {"chain_advances", "effect_seen", "heal_seen", "nodes_answer", "providers_answer"}
    for module in (actions, probes):
        assert all(callable(getattr(module, name)) for name in module.__all__)


def _heal_seen_while_blocks_come(net: FakeNet, target: str, journal: str) -> bool:
    """Look for the healing while every node makes a block on every look."""
    reply = net.nodes["validator-0"].answer

    def answer_and_advance(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        net.advance()
        return reply(method, path, body)

    net.nodes["validator-0"].answer = answer_and_advance  # type: ignore[method-assign]
    return heal_seen(target, journal, within_s=20)
