"""The lease book: what is in the journal, in which order, whatever goes wrong in between."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle import FaultEventKind
from experiments import guards
from experiments.guards import Intent
from experiments.lease import LeaseBook
from target.control import DevnetControl
from target.errors import ControlError, NoAnswer, TargetError
from tests.unit.experiments.fake_fault import FakeFault, events_in, kinds_in
from tests.unit.experiments.fake_net import FakeNet

INTENT = Intent(fault="fake.fault", targets=("validator-3",))


@pytest.fixture(autouse=True)
def _no_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "GUARDS", ())


@pytest.fixture
def book(tmp_path: Path) -> LeaseBook:
    return LeaseBook(path=tmp_path / "faults.jsonl")


@pytest.fixture
def control(net: FakeNet) -> DevnetControl:
    return DevnetControl(net.socket)


def impose(book: LeaseBook, net: FakeNet, fault: FakeFault, *, lease_s: float = 60.0) -> str:
    return book.impose(fault, net.target(), INTENT, lease_s=lease_s)


def test_a_whole_life_is_in_the_journal_in_order(book: LeaseBook, net: FakeNet, control: DevnetControl) -> None:
    fault = FakeFault("validator-3")
    before = time.time()
    lease = impose(book, net, fault, lease_s=60)
    assert book.await_effect(fault, limit_s=5)
    assert book.undo_all(control) == [lease]
    assert book.await_healing(fault, limit_s=5)
    events = events_in(book.path)
    assert kinds_in(book.path) == ["planned", "applied", "effect seen", "healed", "heal seen"]
    assert {(event.lease, event.fault, event.targets) for event in events} == {(lease, "fake.fault", ("validator-3",))}
    planned = events[0]
    assert planned.undo == fault.undo
    assert planned.deadline_at_s is not None
    assert planned.deadline_at_s - before >= 60
    assert [event.evidence for event in events] == ["", "", "it shows", "", "it works"]
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)
    assert book.open() == []


def test_it_is_planned_on_disk_before_it_is_applied_and_applied_only_after(book: LeaseBook, net: FakeNet) -> None:
    fault = FakeFault()
    seen: list[list[str]] = []
    fault.on_apply = lambda: seen.append(kinds_in(book.path))
    impose(book, net, fault)
    assert seen == [["planned"]]
    assert kinds_in(book.path) == ["planned", "applied"]


def test_a_journal_that_cannot_be_written_keeps_it_from_being_applied(tmp_path: Path, net: FakeNet) -> None:
    fault = FakeFault()
    with pytest.raises(OSError, match="no-such-folder"):
        impose(LeaseBook(path=tmp_path / "no-such-folder" / "faults.jsonl"), net, fault)
    assert fault.applied == 0


def test_what_failed_half_way_is_open_and_healed(book: LeaseBook, net: FakeNet, control: DevnetControl) -> None:
    fault = FakeFault("validator-2", "validator-3")

    def half() -> None:
        net.nodes["validator-2"].kill()
        raise ControlError("sock", "cannot kill validator-3")

    fault.on_apply = half
    with pytest.raises(ControlError):
        impose(book, net, fault)
    assert kinds_in(book.path) == ["planned", "failed"]
    assert events_in(book.path)[1].evidence == "not applied: sock: cannot kill validator-3"
    (left,) = book.open()
    assert book.undo_all(control) == [left.lease]
    assert net.nodes["validator-2"].state == "running"
    assert kinds_in(book.path) == ["planned", "failed", "healed"]


def test_a_runner_that_dies_while_applying_leaves_a_lease_to_heal(
    book: LeaseBook, net: FakeNet, control: DevnetControl
) -> None:
    fault = FakeFault()

    def die() -> None:
        raise KeyboardInterrupt

    fault.on_apply = die
    with pytest.raises(KeyboardInterrupt):
        impose(book, net, fault)
    assert kinds_in(book.path) == ["planned"]
    assert len(LeaseBook(path=book.path).undo_all(control)) == 1


def test_leases_have_names_of_their_own(book: LeaseBook, net: FakeNet) -> None:
    leases = [impose(book, net, FakeFault()) for _ in range(20)]
    assert len(set(leases)) == 20
    assert all(lease.startswith("fake.fault-") for lease in leases)


def test_without_a_lease_there_is_no_effect_and_no_healing(book: LeaseBook) -> None:
    fault = FakeFault()
    assert book.await_effect(fault, limit_s=5) is False
    assert book.await_healing(fault, limit_s=5) is False
    assert fault.looks == 0
    assert not book.path.exists()


def test_a_lease_of_another_fault_or_of_other_targets_is_not_mine(book: LeaseBook, net: FakeNet) -> None:
    impose(book, net, FakeFault("validator-3"))
    for other in (FakeFault("validator-2"), FakeFault("validator-3", "validator-2"), FakeFault(name="other.fault")):
        assert book.await_effect(other, limit_s=0) is False
    assert kinds_in(book.path) == ["planned", "applied"]


def test_an_effect_is_waited_for_and_trouble_shows_nothing(book: LeaseBook, net: FakeNet) -> None:
    fault = FakeFault()
    fault.effects = [None, NoAnswer("node", "gave no answer in time"), None, "now it shows"]
    impose(book, net, fault)
    assert book.await_effect(fault, limit_s=30) is True
    assert fault.looks == 4
    assert events_in(book.path)[-1].evidence == "now it shows"


@pytest.mark.parametrize("never", [None, ControlError("sock", "is gone")])
def test_what_does_not_show_in_time_writes_nothing(book: LeaseBook, net: FakeNet, never: TargetError | None) -> None:
    fault = FakeFault()
    fault.effects = fault.healings = [never]
    impose(book, net, fault)
    assert book.await_effect(fault, limit_s=0.05) is False
    assert book.await_healing(fault, limit_s=0.05) is False
    assert fault.looks >= 2
    assert kinds_in(book.path) == ["planned", "applied"]
    assert len(book.open()) == 1


def test_a_limit_of_nothing_still_looks_once(book: LeaseBook, net: FakeNet) -> None:
    fault = FakeFault()
    impose(book, net, fault)
    assert book.await_effect(fault, limit_s=0) is True
    assert fault.looks == 1


def test_of_two_leases_the_latest_is_looked_at(book: LeaseBook, net: FakeNet) -> None:
    fault = FakeFault()
    impose(book, net, fault)
    second = impose(book, net, fault)
    book.await_effect(fault, limit_s=5)
    assert events_in(book.path)[-1].lease == second


def test_undoing_twice_says_so_once_and_does_no_harm(book: LeaseBook, net: FakeNet, control: DevnetControl) -> None:
    lease = impose(book, net, FakeFault("validator-3"))
    for _ in range(3):
        assert book.undo_all(control) == [lease]
    assert kinds_in(book.path) == ["planned", "applied", "healed"]
    assert net.orders == ["start validator-3"] * 3
    assert len(book.open()) == 1  # until somebody has seen it healed


def test_a_lease_that_is_undone_after_its_deadline_is_told_so_once(
    book: LeaseBook, net: FakeNet, control: DevnetControl
) -> None:
    impose(book, net, FakeFault("validator-3"), lease_s=-1)
    for _ in range(2):
        book.undo_all(control)
    assert kinds_in(book.path) == ["planned", "applied", "expired", "healed"]


def test_what_was_seen_healed_is_not_undone_again(book: LeaseBook, net: FakeNet, control: DevnetControl) -> None:
    fault = FakeFault()
    impose(book, net, fault)
    book.undo_all(control)
    book.await_healing(fault, limit_s=5)
    net.orders.clear()
    assert book.undo_all(control) == []
    assert net.orders == []


def test_the_latest_is_undone_first(book: LeaseBook, net: FakeNet, control: DevnetControl) -> None:
    leases = [impose(book, net, FakeFault(f"validator-{n}")) for n in range(3)]
    assert book.undo_all(control) == leases[::-1]
    assert net.orders == ["start validator-2", "start validator-1", "start validator-0"]


def test_an_undo_that_fails_keeps_no_other_from_being_done(
    book: LeaseBook, net: FakeNet, control: DevnetControl
) -> None:
    leases = [impose(book, net, FakeFault(f"validator-{n}")) for n in range(3)]
    net.failing = {"start validator-2", "start validator-1"}
    with pytest.raises(ControlError, match="cannot start validator-2"):
        book.undo_all(control)
    assert net.orders == ["start validator-2", "start validator-1", "start validator-0"]
    healed = [event.lease for event in events_in(book.path) if event.event is FaultEventKind.HEALED]
    assert healed == [leases[0]]
    net.failing = set()
    assert book.undo_all(control) == leases[::-1]
    assert kinds_in(book.path).count("healed") == 3


def test_one_target_that_cannot_be_healed_keeps_no_other_of_its_lease(
    book: LeaseBook, net: FakeNet, control: DevnetControl
) -> None:
    impose(book, net, FakeFault("validator-2", "validator-3"))
    for name in ("validator-2", "validator-3"):
        net.nodes[name].kill()
    net.failing = {"start validator-2"}
    with pytest.raises(ControlError, match="cannot start validator-2"):
        book.undo_all(control)
    assert net.nodes["validator-3"].state == "running"
    assert "healed" not in kinds_in(book.path)


def test_an_undo_that_nobody_knows_is_told_and_the_others_are_done(
    book: LeaseBook, net: FakeNet, control: DevnetControl
) -> None:
    impose(book, net, FakeFault("validator-0"))
    impose(book, net, FakeFault("validator-1", verb="explode"))
    with pytest.raises(ControlError, match="no undo is called 'explode'"):
        book.undo_all(control)
    assert net.orders == ["start validator-0"]


def test_an_empty_journal_has_nothing_to_undo(book: LeaseBook, control: DevnetControl) -> None:
    assert book.undo_all(control) == []
    assert book.open() == []


ORDER = [kind.value for kind in FaultEventKind]
STEPS = st.lists(
    st.tuples(st.sampled_from(["impose", "fail", "effect", "heal", "undo"]), st.integers(0, 2)), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_the_journal_tells_each_life_in_its_order(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Law: of every lease, planned comes first, each other step at most as its life allows, and none is open that
    was seen healed; undoing all leaves no lease that was not told healed."""
    book = LeaseBook(path=tmp_path_factory.mktemp("lease") / "faults.jsonl")
    control = StillControl()
    target: object = object()
    faults = [FakeFault(f"validator-{n}") for n in range(3)]

    def fail() -> None:
        raise ControlError("sock", "no")

    for what, n in steps:
        fault = faults[n]
        fault.on_apply = fail if what == "fail" else lambda: None
        if what == "impose":
            book.impose(fault, target, INTENT, lease_s=1)  # type: ignore[arg-type]
        elif what == "fail":
            with pytest.raises(ControlError):
                book.impose(fault, target, INTENT, lease_s=1)  # type: ignore[arg-type]
        elif what == "effect":
            book.await_effect(fault, limit_s=0)
        elif what == "heal":
            book.await_healing(fault, limit_s=0)
        else:
            book.undo_all(control)  # type: ignore[arg-type]
    lives: dict[str, list[str]] = {}
    for event in events_in(book.path):
        lives.setdefault(event.lease, []).append(event.event.value)
    still_open = {event.lease for event in book.open()}
    for lease, life in lives.items():
        assert life[0] == "planned"
        assert life[1] in ("applied", "failed")
        assert life.count("healed") <= 1
        assert (lease in still_open) == ("heal seen" not in life)
        assert life[-1] == "heal seen" or "heal seen" not in life
    book.undo_all(control)  # type: ignore[arg-type]
    healed = {event.lease for event in events_in(book.path) if event.event is FaultEventKind.HEALED}
    assert still_open <= healed


class StillControl:
    """A control port at which every order succeeds."""

    address = "still"

    def start(self, name: str) -> None:
        return
