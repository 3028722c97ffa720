"""Real networks of one or two nodes: brought up, found, taken down; and what is left when somebody dies on the way."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from devnet import lifecycle
from devnet.build import build_chain
from devnet.errors import AddressTaken, NoSuchNetwork, StartFailed
from devnet.lifecycle import RunningNetwork, bring_up, describe, sweep_dead, take_down
from devnet.network import Network, NetworkSpec
from devnet.record import NetworkRecord, all_records, find_record, network_home, state_root
from target.control import DevnetControl, Link, LinkRule, ProcessState
from target.errors import ControlError
from target.rpc import RpcClient
from target.target import load_target
from tests.unit.devnet.networks import (
    FIRST,
    LAST,
    SMALL,
    assert_gone,
    await_the_end,
    listeners,
    owner_process,
    processes_of,
    wait_for,
)

pytestmark = pytest.mark.slow

Said = list[str]


@pytest.fixture(scope="module", autouse=True)
def _own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A state folder and address blocks of our own: nobody else's network is seen, found or swept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setattr(lifecycle, "FIRST_BLOCK", FIRST)
        patch.setattr(lifecycle, "LAST_BLOCK", LAST)
        yield
        for record in all_records():
            take_down(record)


def up(name: str, spec: NetworkSpec = SMALL, *, owned: bool = True, block: int | None = None) -> RunningNetwork:
    return bring_up(name, spec, lambda line: None, owned=owned, block=block)


@pytest.fixture(scope="module")
def pair() -> Iterator[RunningNetwork]:
    """A network of two nodes that tests may look at and order about, if they leave it whole."""
    running = up("pair", NetworkSpec(validators=2, providers=1, accounts=2, timeout_commit_ms=50))
    yield running
    running.close()
    assert_gone(running.network)


@pytest.fixture
def control(pair: RunningNetwork) -> DevnetControl:
    return DevnetControl(pair.record.socket)


# --- up, and what it is then ---


def test_a_network_is_ready_when_it_is_up(pair: RunningNetwork) -> None:
    target = load_target(pair.network.target_file)
    for node in target.nodes:
        status = RpcClient(node.rpc_url).status()
        assert status.height >= 2
        assert status.chain_id == "virtengine-devnet-1"
    assert len(listeners(pair.network)) == len(pair.network.addresses())


def test_it_is_found_by_name_and_described(pair: RunningNetwork) -> None:
    record = find_record("pair")
    assert record.network == pair.network
    state = describe(record)
    assert state.alive
    words = [line.split() for line in state.lines]
    assert [line[:4] for line in words[:2]] == [
        ["validator-0", pair.network.validator_host(0), "running", "height"],
        ["validator-1", pair.network.validator_host(1), "running", "height"],
    ]
    assert words[2] == ["provider-0", pair.network.provider_host(0), "running"]
    keeper = record.keeper()
    assert keeper is not None
    assert keeper.pid == pair.supervisor.pid
    assert record.file.is_supervised


def test_a_name_in_use_is_refused(pair: RunningNetwork) -> None:
    with pytest.raises(AddressTaken) as caught:
        up("pair")
    assert str(caught.value) == "a devnet called 'pair' exists: take it down with `gameday devnet down pair` first"
    assert find_record("pair").keeper() is not None


def test_a_second_network_has_a_block_of_its_own_and_both_live(pair: RunningNetwork) -> None:
    second = up("second")
    try:
        assert second.record.file.block != pair.record.file.block
        assert {record.network.name for record in all_records()} >= {"pair", "second"}
        for running in (pair, second):
            assert RpcClient(f"http://{running.network.validator_host(0)}:26657").status().height >= 2
    finally:
        second.close()
    assert_gone(second.network)
    assert describe(pair.record).alive


# --- orders at the control port ---


def test_processes_can_be_killed_and_started(control: DevnetControl) -> None:
    before = control.process("validator-1").pid
    control.kill("validator-1")
    assert control.process("validator-1").state is ProcessState.EXITED
    control.start("validator-1")
    control.start("validator-1")
    after = control.process("validator-1")
    assert after.state is ProcessState.RUNNING
    assert after.pid != before


def test_processes_can_be_paused_and_resumed(control: DevnetControl) -> None:
    control.pause("provider-0")
    assert control.process("provider-0").state is ProcessState.PAUSED
    control.resume("provider-0")
    assert control.process("provider-0").state is ProcessState.RUNNING


def test_an_order_that_cannot_be_carried_out_is_a_sentence(control: DevnetControl) -> None:
    with pytest.raises(ControlError, match="no process 'validator-9'; expected one of validator-0, validator-1"):
        control.kill("validator-9")
    with pytest.raises(ControlError, match="no verb 'explode'; expected kill, start, pause or resume"):
        control._call("POST", "/v1/processes/validator-0/explode")
    with pytest.raises(ControlError, match="Not Found"):
        control._call("GET", "/v1/nothing")
    with pytest.raises(ControlError, match="Method Not Allowed"):
        control._call("DELETE", "/v1/links")


def test_links_are_set_all_or_none(control: DevnetControl) -> None:
    slow = LinkRule(latency_ms=5, rate_bytes_per_s=10**6)
    control.set_links([Link(source="validator-0", destination="validator-1", rule=slow)])
    rules = {(link.source, link.destination): link.rule for link in control.links()}
    assert rules == {("validator-0", "validator-1"): slow, ("validator-1", "validator-0"): LinkRule()}
    bad: list[Any] = [
        [{"source": "validator-1", "destination": "validator-0", "rule": {"mode": "cut"}}, {"source": "x"}],
        [{"source": "validator-1", "destination": "validator-9", "rule": {"mode": "cut"}}],
        [{"source": "validator-1", "destination": "validator-0", "rule": {"mode": "sideways"}}],
        [{"source": "validator-1", "destination": "validator-0", "rule": {"latency_ms": -1}}],
        [{"source": "validator-1", "destination": "validator-0", "rule": {"speed": 1}}],
        {"source": "validator-1"},
        5,
    ]
    for body in bad:
        with pytest.raises(ControlError, match="links: "):
            control._call("PUT", "/v1/links", body)
        assert {(link.source, link.destination): link.rule for link in control.links()} == rules
    control.set_links([Link(source="validator-0", destination="validator-1", rule=LinkRule())])
    assert all(link.rule.is_clear for link in control.links())


# --- places that are taken ---


def holding(host: str, port: int) -> socket.socket:
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((host, port))
    holder.listen()
    return holder


@pytest.mark.parametrize("what", ["RPC of validator-0", "p2p of validator-0", "link from validator-1 to validator-0"])
def test_a_taken_address_is_told_with_its_holder(what: str) -> None:
    spec = NetworkSpec(validators=2, providers=0, accounts=1)
    network = Network(name="taken", block=LAST, home=network_home("taken"), spec=spec)
    host, port = next((host, port) for name, host, port in network.addresses() if name == what)
    with holding(host, port), pytest.raises(AddressTaken) as caught:
        up("taken", spec, block=LAST)
    me = psutil.Process()
    expected = f"{host}:{port} ({what}) is taken by {me.name()} (pid {me.pid}): end it, or choose another --block"
    assert str(caught.value) == expected
    assert not network.home.exists()


def test_a_holder_of_all_addresses_is_told_too() -> None:
    with holding("0.0.0.0", 0) as holder:
        port = holder.getsockname()[1]
        assert lifecycle._holder(port, "127.1.2.3") == f"{psutil.Process().name()} (pid {os.getpid()})"
    assert lifecycle._holder(port, "127.1.2.3") == "another program"


def test_a_block_with_a_taken_address_is_passed_over() -> None:
    taken = {record.file.block for record in all_records()}
    first, second = [block for block in range(FIRST, LAST + 1) if block not in taken][:2]
    with holding(f"127.{first}.1.1", 26657):
        running = up("passed-over")
    try:
        assert running.record.file.block == second
    finally:
        running.close()


def test_an_address_that_cannot_be_used_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: Any) -> None:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(AddressTaken, match="cannot be used: Cannot assign requested address"):
        up("nowhere", block=LAST)


# --- down ---


def test_down_leaves_nothing_and_can_be_said_twice() -> None:
    running = up("downs", owned=False)
    pids = [process.pid for process in processes_of(running.network)]
    assert len(pids) >= 2
    take_down(running.record)
    running.supervisor.wait(5)  # it was our own child: only its zombie may be left
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert_gone(running.network)
    assert not running.record.socket.exists()
    take_down(running.record)
    with pytest.raises(NoSuchNetwork):
        find_record("downs")


def test_down_may_leave_the_files() -> None:
    running = up("keeps", owned=False)
    take_down(running.record, keep_files=True)
    assert not processes_of(running.network)
    assert (running.network.log("validator-0")).stat().st_size > 0
    record = find_record("keeps")
    assert describe(record).lines == ("its supervisor is gone: take it down",)
    take_down(record)
    assert_gone(running.network)


def test_closing_ends_an_owned_network_only() -> None:
    running = up("closes", owned=False)
    running.close()
    assert describe(running.record).alive
    take_down(running.record)
    owned = up("closes")
    owned.close()
    owned.close()
    assert_gone(owned.network)


# --- deaths ---


def test_a_killed_supervisor_takes_its_processes_with_it_and_is_swept() -> None:
    running = up("orphan", owned=False)
    other = up("lives", owned=False)
    running.supervisor.kill()
    running.supervisor.wait()
    await_the_end(running.network)
    record = find_record("orphan")
    assert record.keeper() is None
    assert not describe(record).alive
    (state_root() / "half").mkdir()  # a start that never got so far as to write a record
    assert sorted(sweep_dead()) == ["half", "orphan"]
    assert_gone(running.network)
    assert describe(other.record).alive
    assert sweep_dead() == []
    take_down(other.record)


OWNER = f"""
import sys
from devnet import lifecycle
lifecycle.FIRST_BLOCK, lifecycle.LAST_BLOCK = {FIRST}, {LAST}
from devnet.lifecycle import bring_up
from devnet.network import NetworkSpec
spec = NetworkSpec(validators=1, providers=1, accounts=2, timeout_commit_ms=50)
"""


def test_an_owned_network_ends_when_its_owner_is_killed() -> None:
    code = f"{OWNER}\nrunning = bring_up('owned', spec, lambda line: None, owned=True)\nprint('up', flush=True)\n"
    with owner_process(code + "sys.stdin.read()") as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        network = find_record("owned").network
        assert len(processes_of(network)) >= 3  # the supervisor, the node, the provider
        assert len(listeners(network)) == len(network.addresses())
        owner.kill()
        owner.wait()
        assert_gone(network)


def test_an_owned_network_outlives_no_owner_that_forgets_it() -> None:
    code = f"{OWNER}\nbring_up('forgotten', spec, lambda line: None, owned=True)\n"
    with owner_process(code + "print('up', flush=True)") as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        owner.wait()
        wait_for(lambda: not network_home("forgotten").exists(), "the end of its files")


def test_a_network_that_is_not_owned_outlives_its_starter() -> None:
    code = f"{OWNER}\nbring_up('stays', spec, lambda line: None, owned=False)\n"
    with owner_process(code) as owner:
        owner.wait()
    record = find_record("stays")
    assert describe(record).alive
    take_down(record)
    assert_gone(record.network)


DIE = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_starter_that_dies_before_anything_runs_leaves_a_record_to_find() -> None:
    code = f"import os, signal\n{OWNER}\nbring_up('crashed', spec, lambda line: {DIE}, owned=False)"
    with owner_process(code) as starter:
        assert starter.wait() == -signal.SIGKILL
    record = find_record("crashed")
    assert record.keeper() is None
    assert not record.file.is_supervised
    with pytest.raises(AddressTaken, match="a devnet called 'crashed' exists"):
        up("crashed")
    take_down(record)
    assert_gone(record.network)


def test_a_starter_that_dies_while_it_waits_leaves_a_network_to_take_down() -> None:
    code = f"import os, signal\n{OWNER}\nlifecycle._wait_ready = lambda running, say: {DIE}\n"
    with owner_process(code + "bring_up('half-up', spec, lambda line: None, owned=False)") as starter:
        assert starter.wait() == -signal.SIGKILL
    wait_for(lambda: find_record("half-up").file.is_supervised, "the supervisor")
    record = find_record("half-up")
    assert record.keeper() is not None
    take_down(record)
    assert_gone(record.network)


def test_a_network_that_is_just_being_started_is_not_taken_down() -> None:
    code = (
        f"{OWNER}\nbring_up('starting', spec, lambda line: (print('begun', flush=True), sys.stdin.read()), owned=False)"
    )
    with owner_process(code) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "begun\n"
        record = find_record("starting")
        with pytest.raises(StartFailed, match=f"is being started by process {starter.pid}: end that one"):
            take_down(record)
        assert record.network.home.exists()
        starter.kill()
        starter.wait()
        take_down(record)
        assert_gone(record.network)


# --- starts that fail, at a block that no other test takes ---


def at_last(name: str) -> Network:
    return Network(name=name, block=LAST, home=network_home(name), spec=SMALL)


def a_stub_chain(folder: Path, start: str) -> Path:
    """Return a program that gives the real default genesis and starts as told."""
    real = build_chain(lambda line: None)
    stub = folder / "ved"
    stub.write_text(f'#!/bin/sh\nif [ "$1" = genesis ]; then exec {real} "$@"; fi\n{start}\n')
    stub.chmod(0o755)
    return stub


def test_a_node_that_ends_at_once_fails_the_start_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = a_stub_chain(tmp_path, "echo no room for a node; exit 3")
    monkeypatch.setattr(lifecycle, "build_chain", lambda say, tags: stub)
    with pytest.raises(StartFailed) as caught:
        up("fails", block=LAST)
    assert str(caught.value) == ("devnet fails: validator-0 ended with code 3; validator-0 logged: no room for a node")
    assert_gone(at_last("fails"))
    assert sweep_dead() == []


def test_a_node_that_never_gets_ready_fails_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = a_stub_chain(tmp_path, "echo thinking; exec sleep 600")
    monkeypatch.setattr(lifecycle, "build_chain", lambda say, tags: stub)
    monkeypatch.setattr(lifecycle, "START_LIMIT_S", 0.0)
    launch = lifecycle._launch

    def launched(record: NetworkRecord, *, owned: bool) -> RunningNetwork:
        running = launch(record, owned=owned)
        log = record.network.log("validator-0")
        wait_for(lambda: log.exists() and "thinking" in log.read_text(), "its first line")
        return running

    monkeypatch.setattr(lifecycle, "_launch", launched)
    with pytest.raises(StartFailed, match="validator-0 not ready in time; validator-0 logged: thinking"):
        up("sleeps", block=LAST)
    assert_gone(at_last("sleeps"))


def test_a_start_that_is_interrupted_leaves_nothing() -> None:
    def say(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_up("interrupted", SMALL, say, owned=True, block=LAST)
    assert_gone(at_last("interrupted"))


def test_a_start_that_is_interrupted_while_it_waits_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(running: RunningNetwork, say: Any) -> None:
        wait_for(lambda: len(processes_of(running.network)) >= 2, "its processes")
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "_wait_ready", interrupted)
    for owned in (True, False):
        with pytest.raises(KeyboardInterrupt):
            up("interrupted", owned=owned, block=LAST)
        assert_gone(at_last("interrupted"))


def test_what_a_start_does_is_told() -> None:
    said: Said = []
    running = bring_up("tells", SMALL, said.append, owned=True)
    running.close()
    assert said[0] == "devnet tells: writing genesis of 1 validators and 2 accounts"
