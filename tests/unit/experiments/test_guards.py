"""The guards: each refuses what it is there for, and whatever cannot be checked is not allowed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import guards
from experiments.fault import Forbidden
from experiments.guards import GUARDS, Intent, check, power_reason, present_faults
from experiments.lease import LeaseBook
from target.control import DevnetControl, Link, LinkRule
from target.errors import ControlError
from target.file import ControlKind, Environment
from target.power import VotingPower
from target.target import Target
from tests.unit.experiments.fake_fault import FakeFault, events_in
from tests.unit.experiments.fake_net import GENESIS, FakeNet, fake_net


def intent(*targets: str, expected_halt: bool = False, allow_production: bool = False) -> Intent:
    return Intent(
        fault="process.kill",
        targets=targets or ("validator-3",),
        expected_halt=expected_halt,
        allow_production=allow_production,
    )


def reasons_of(target: Target, wanted: Intent) -> str:
    with pytest.raises(Forbidden) as caught:
        check(target, wanted)
    return str(caught.value)


def test_a_healthy_network_that_bears_it_is_let_pass(net: FakeNet) -> None:
    check(net.target(), intent("validator-3"))
    check(net.target(genesis_hash=hashlib.sha256(GENESIS).hexdigest()), intent("validator-0"))
    check(net.target(), intent("provider-0"))
    assert net.orders == []  # a check orders nothing


def test_production_only_when_allowed(net: FakeNet) -> None:
    target = net.target(environment=Environment.PRODUCTION)
    assert "environment: fake is a production target" in reasons_of(target, intent())
    check(target, intent(allow_production=True))
    check(net.target(environment=Environment.STAGING), intent())


def test_a_target_without_a_control_port_is_refused(net: FakeNet) -> None:
    reason = reasons_of(net.target(control=ControlKind.NONE), intent())
    assert 'known targets: fake has control = "none"' in reason


@pytest.mark.parametrize("targets", [("validator-9",), ("validator-3", "validator-9"), ("",), ("validator-",)])
def test_unknown_targets_are_refused_by_name(net: FakeNet, targets: tuple[str, ...]) -> None:
    reason = reasons_of(net.target(), Intent(fault="process.kill", targets=targets))
    assert "known targets: " in reason
    assert f"{targets[-1]} is no process of fake" in reason


def test_no_targets_at_all_are_refused(net: FakeNet) -> None:
    assert "nothing is no process" in reasons_of(net.target(), Intent(fault="process.kill", targets=()))


def test_another_chain_is_refused(net: FakeNet) -> None:
    for node in net.nodes.values():
        node.chain_id = "other-1"
    assert "fingerprint: the network is other-1; expected fake-1" in reasons_of(net.target(), intent())


def test_another_genesis_is_refused(net: FakeNet) -> None:
    wanted = "0" * 64
    reason = reasons_of(net.target(genesis_hash=wanted), intent())
    assert f"expected {wanted}" in reason


@pytest.mark.parametrize(
    ("targets", "is_refused"),
    [
        (("validator-3",), False),
        (("validator-2", "validator-3"), True),
        (("validator-3", "validator-3"), False),
        (("provider-0",), False),
        (("validator-0", "validator-1", "validator-2", "validator-3"), True),
    ],
)
def test_losing_a_third_of_the_power_is_refused_unless_a_halt_is_declared(
    net: FakeNet, targets: tuple[str, ...], is_refused: bool
) -> None:
    target = net.target()
    if is_refused:
        assert "halts the chain, and the plan declares no halt" in reasons_of(target, intent(*targets))
    check(target, intent(*targets, expected_halt=True))
    if not is_refused:
        check(target, intent(*targets))


def test_exactly_two_thirds_left_is_too_little(tmp_path: Path) -> None:
    with fake_net(tmp_path, powers=(10, 10, 10)) as three:
        assert "10 of 30 voting power (33.3 %)" in reasons_of(three.target(), intent("validator-2"))


def test_a_node_that_is_silent_counts_as_lost(net: FakeNet) -> None:
    """It cannot say which validator it is: the power that nobody claims may be its own."""
    target = net.target()
    net.nodes["validator-0"].kill()
    net.nodes["validator-0"].state = "running"  # as far as the control port knows
    reason = reasons_of(target, intent("validator-3"))
    assert "voting power: " in reason
    assert "20 of 40 voting power" in reason


def test_power_of_others_counts_as_there_while_every_node_answers(net: FakeNet) -> None:
    net.foreign_power = 20
    check(net.target(), intent("validator-3"))


@pytest.mark.parametrize("state", ["exited", "paused"])
def test_a_process_that_does_not_run_is_somebodys_fault(net: FakeNet, state: str) -> None:
    target = net.target()
    net.providers["provider-0"].state = state
    assert f"nobody elses fault: already broken: provider-0 {state}" in reasons_of(target, intent())


def test_a_link_that_is_not_clear_is_somebodys_fault(net: FakeNet) -> None:
    target = net.target()
    link = Link(source="validator-0", destination="validator-1", rule=LinkRule(latency_ms=50))
    DevnetControl(net.socket).set_links([link])
    assert "already broken: link validator-0 to validator-1 open" in reasons_of(target, intent())
    assert present_faults(target) == ["link validator-0 to validator-1 open"]


def test_nothing_is_broken_where_nothing_is_controlled(net: FakeNet) -> None:
    assert present_faults(net.target(control=ControlKind.NONE)) == []


def test_all_reasons_are_told_at_once(net: FakeNet) -> None:
    target = net.target(environment=Environment.PRODUCTION, genesis_hash="0" * 64)
    net.providers["provider-0"].state = "paused"
    reason = reasons_of(target, intent("validator-2", "validator-3", "validator-9"))
    for guard in ("environment", "known targets", "fingerprint", "voting power", "nobody elses fault"):
        assert f"{guard}: " in reason
    assert reason.startswith("process.kill on validator-2, validator-3, validator-9 is refused: ")


# --- they fail closed ---


def refused_without_a_trace(target: Target, journal: Path) -> str:
    """Try to impose a fault: it is refused, not applied, and the journal has one FAILED line that says why."""
    fault = FakeFault()
    with pytest.raises(Forbidden) as caught:
        LeaseBook(path=journal).impose(fault, target, intent(), lease_s=60)
    assert fault.applied == 0
    (event,) = events_in(journal)
    assert (event.lease, event.event.value, event.undo) == ("refused", "failed", None)
    assert event.evidence == str(caught.value)
    assert LeaseBook(path=journal).open() == []
    return str(caught.value)


def test_every_guard_is_asked() -> None:
    names = [guard.__name__ for guard in GUARDS]
    assert names == ["environment", "known_targets", "fingerprint", "voting_power", "nobody_elses_fault"]


@pytest.mark.parametrize("place", range(len(GUARDS)), ids=[guard.__name__ for guard in GUARDS])
@pytest.mark.parametrize(
    "error",
    [ValueError("no"), KeyError("x"), ControlError("sock", "is gone"), RecursionError(), AssertionError(), OSError(5)],
    ids=lambda error: type(error).__name__,
)
def test_a_guard_that_raises_refuses(
    net: FakeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, error: Exception
) -> None:
    def raising(target: Target, wanted: Intent) -> str | None:
        raise error

    raising.__name__ = GUARDS[place].__name__
    monkeypatch.setattr(guards, "GUARDS", (*GUARDS[:place], raising, *GUARDS[place + 1 :]))
    reason = refused_without_a_trace(net.target(), tmp_path / "faults.jsonl")
    assert f"could not be checked ({type(error).__name__}" in reason


@pytest.mark.parametrize("place", range(len(GUARDS)), ids=[guard.__name__ for guard in GUARDS])
@pytest.mark.parametrize("reason", ["not today", ""])
def test_a_guard_that_gives_a_reason_refuses(
    net: FakeNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, reason: str
) -> None:
    """Also an empty one: only None lets pass."""

    def refusing(target: Target, wanted: Intent) -> str | None:
        return reason

    monkeypatch.setattr(guards, "GUARDS", (*GUARDS[:place], refusing, *GUARDS[place + 1 :]))
    assert f"refusing: {reason}" in refused_without_a_trace(net.target(), tmp_path / "faults.jsonl")


def no_control(net: FakeNet) -> None:
    net.close_control()


def no_node(net: FakeNet) -> None:
    for node in net.nodes.values():
        node.kill()
        node.state = "running"


def another_shape(net: FakeNet) -> None:
    for node in net.nodes.values():
        node.answer = lambda method, path, body: (200, b'{"result": {}}')  # type: ignore[method-assign]


@pytest.mark.parametrize("break_it", [no_control, no_node, another_shape])
def test_what_cannot_be_asked_is_not_allowed(net: FakeNet, tmp_path: Path, break_it: Callable[[FakeNet], None]) -> None:
    target = net.target()
    break_it(net)
    assert "could not be checked" in refused_without_a_trace(target, tmp_path / "faults.jsonl")


# --- the arithmetic ---

POWERS = st.dictionaries(st.sampled_from([f"v{n}" for n in range(8)]), st.integers(1, 10**12), min_size=1)


@given(powers=POWERS, unknown=st.integers(0, 10**12), lost=st.lists(st.sampled_from([f"v{n}" for n in range(10)])))
def test_refused_exactly_when_two_thirds_or_less_remain(powers: dict[str, int], unknown: int, lost: list[str]) -> None:
    """Law: refused if and only if 3 · (what remains) ≤ 2 · (all there is), in whole numbers."""
    total = sum(powers.values()) + unknown
    remaining = total - sum(power for name, power in powers.items() if name in set(lost))
    reason = power_reason(VotingPower(by_node=powers, unknown=unknown), lost)
    assert (reason is not None) == (3 * remaining <= 2 * total)


@given(powers=POWERS, lost=st.lists(st.sampled_from([f"v{n}" for n in range(8)])), more=st.sampled_from(["v0", "v7"]))
def test_losing_more_is_never_safer(powers: dict[str, int], lost: list[str], more: str) -> None:
    """Law: what is refused stays refused when one more node is lost; naming one twice changes nothing."""
    power = VotingPower(by_node=powers)
    if power_reason(power, lost) is not None:
        assert power_reason(power, [*lost, more]) is not None
    assert (power_reason(power, lost) is None) == (power_reason(power, lost + lost) is None)
