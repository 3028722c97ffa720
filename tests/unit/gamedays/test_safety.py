"""Before a run: the preflight, which refuses what is unsafe. After somebody: the janitor, which heals what is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundle import DocumentError
from experiments.fault import Forbidden
from gamedays.janitor import heal_target
from gamedays.plan import Plan, load_plan
from gamedays.preflight import clear, unreachable_record
from target.control import DevnetControl, Link, LinkMode, LinkRule
from target.errors import Unreachable
from target.file import ControlKind, Environment
from tests.unit.experiments.fake_net import FakeNet, fake_net

PLAN = """
name = "test"
title = "A test"
hypothesis = "Nothing breaks."
load_s = 60
budgets = ["PB-T-01"]
[[load]]
scenario = "transfer"
users = 5
"""
FAULT = """
[[fault]]
experiment = "validator_kill"
targets = {targets}
at_s = 10
hold_s = 10
expected_halt = {halt}
"""


@pytest.fixture
def net(tmp_path: Path) -> Iterator[FakeNet]:
    with fake_net(tmp_path) as running:
        yield running


def a_plan(folder: Path, *targets: str, halt: bool = False) -> Plan:
    path = folder / "plan.toml"
    fault = FAULT.format(targets=list(targets), halt=str(halt).lower()) if targets else ""
    path.write_text(PLAN + fault)
    return load_plan(path)


def refusal(plan: Plan, target: Any, **settings: bool) -> str:
    with pytest.raises(Forbidden) as caught:
        clear(plan, target, **({"allow_production": False} | settings))
    return str(caught.value)


def test_a_target_that_bears_the_plan_is_described(net: FakeNet, tmp_path: Path) -> None:
    record = clear(a_plan(tmp_path, "validator-3"), net.target(), allow_production=False)
    assert (record.name, record.environment, record.chain_id) == ("fake", "dev", "fake-1")
    assert record.node_names == ("validator-0", "validator-1", "validator-2", "validator-3")
    assert record.provider_names == ("provider-0",)
    assert record.voting_power == dict.fromkeys(record.node_names, 10)
    assert record.genesis_hash is not None
    assert net.orders == []


def test_production_is_refused_also_without_a_fault(net: FakeNet, tmp_path: Path) -> None:
    target = net.target(environment=Environment.PRODUCTION)
    assert "need --allow-production" in refusal(a_plan(tmp_path), target)
    assert "need --allow-production" in refusal(a_plan(tmp_path, "validator-3"), target)
    clear(a_plan(tmp_path, "validator-3"), target, allow_production=True)


def test_another_chain_is_refused_also_without_a_fault(net: FakeNet, tmp_path: Path) -> None:
    for node in net.nodes.values():
        node.chain_id = "other-1"
    assert refusal(a_plan(tmp_path), net.target()) == "fake is on chain other-1; the Target file says fake-1"


def test_a_halt_that_is_not_declared_is_refused(net: FakeNet, tmp_path: Path) -> None:
    reason = refusal(a_plan(tmp_path, "validator-2", "validator-3"), net.target())
    assert "halts the chain, and the plan declares no halt" in reason
    clear(a_plan(tmp_path, "validator-2", "validator-3", halt=True), net.target(), allow_production=False)


def test_what_is_broken_already_is_refused_for_faults_and_not_for_load(net: FakeNet, tmp_path: Path) -> None:
    target = net.target()
    net.providers["provider-0"].kill()
    reason = refusal(a_plan(tmp_path, "validator-3"), target)
    assert reason == "fake is broken already: provider-0 exited; heal it with `gameday janitor` first"
    clear(a_plan(tmp_path), target, allow_production=False)


def test_an_unknown_target_of_a_fault_is_refused(net: FakeNet, tmp_path: Path) -> None:
    assert "validator-9 is no process of fake" in refusal(a_plan(tmp_path, "validator-9"), net.target())


def test_faults_need_a_control_port_and_load_does_not(net: FakeNet, tmp_path: Path) -> None:
    target = net.target(control=ControlKind.NONE)
    assert 'has control = "none"' in refusal(a_plan(tmp_path, "validator-3"), target)
    clear(a_plan(tmp_path), target, allow_production=False)


def test_a_target_that_is_down_is_no_refusal(net: FakeNet, tmp_path: Path) -> None:
    target = net.target()
    for node in net.nodes.values():
        node.kill()
    with pytest.raises(Unreachable, match="no node answers"):
        clear(a_plan(tmp_path, "validator-3"), target, allow_production=False)
    record = unreachable_record(target)
    assert (record.genesis_hash, record.voting_power) == (None, {})
    assert record.node_names == tuple(net.nodes)


# --- the janitor ---


def test_everything_that_is_broken_is_healed_and_told(net: FakeNet) -> None:
    target = net.target()
    net.nodes["validator-1"].kill()
    net.nodes["validator-2"].pause()
    cut = LinkRule(mode=LinkMode.CUT)
    DevnetControl(net.socket).set_links([Link(source="validator-0", destination="validator-3", rule=cut)])
    assert list(heal_target(target)) == [
        "fake: opened 1 links",
        "fake: started validator-1",
        "fake: resumed validator-2",
    ]
    assert {part.state for part in net.parts.values()} == {"running"}
    assert net.cut_links() == set()
    assert list(heal_target(target)) == []


def test_what_cannot_be_healed_is_told(net: FakeNet) -> None:
    target = net.target()
    net.nodes["validator-1"].kill()
    net.failing = {"start validator-1"}
    (line,) = heal_target(target)
    assert line.startswith("fake: not healed: ")
    assert "cannot start validator-1" in line


def test_one_that_cannot_be_healed_keeps_no_other_from_it(net: FakeNet) -> None:
    target = net.target()
    net.nodes["validator-1"].kill()
    net.nodes["validator-2"].kill()
    net.failing = {"start validator-1"}
    lines = list(heal_target(target))
    assert net.nodes["validator-2"].state == "running"
    assert "fake: started validator-2" in lines
    assert any("not healed" in line for line in lines)


def test_a_control_port_that_is_gone_is_told(net: FakeNet) -> None:
    target = net.target()
    net.close_control()
    lines = list(heal_target(target))
    assert lines
    assert all("not healed" in line for line in lines)


def test_a_target_without_a_control_port_cannot_be_healed_from_here(net: FakeNet) -> None:
    with pytest.raises(DocumentError, match='control is "none"'):
        list(heal_target(net.target(control=ControlKind.NONE)))
