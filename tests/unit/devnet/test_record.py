"""Networks on disk: found again, told alive from dead, whoever wrote them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bundle import DocumentError
from devnet.errors import NoSuchNetwork
from devnet.network import NetworkSpec
from devnet.record import (
    NetworkRecord,
    RecordFile,
    all_records,
    find_record,
    network_home,
    read_record,
    socket_path,
    state_root,
    write_record,
)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def a_network(name: str, *, pid: int | None = None, started_at_s: float | None = None, block: int = 77) -> RecordFile:
    """Write a network whose keeper is this process, unless told otherwise."""
    home = network_home(name)
    home.mkdir(parents=True)
    file = RecordFile(
        name=name,
        block=block,
        spec=NetworkSpec(validators=2, node_environment={"validator-0": {"PLANT": "1"}}),
        chain_binary="/bin/ved",
        socket="/tmp/x.sock",
        keeper_pid=os.getpid() if pid is None else pid,
        keeper_started_at_s=psutil.Process().create_time() if started_at_s is None else started_at_s,
    )
    write_record(home, file)
    return file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = a_network("one")
    record = find_record("one")
    assert record.file == file
    assert record.network.home == network_home("one") == state_root() / "one"
    assert state_root() == tmp_path / "state" / "virtengine-reliability" / "devnets"
    assert not list(network_home("one").glob("*.new"))


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(NoSuchNetwork, match="no devnet is called 'two': there is none"):
        find_record("two")
    a_network("one")
    a_network("three")
    with pytest.raises(NoSuchNetwork, match="no devnet is called 'two': there are one, three"):
        find_record("two")


def test_every_network_in_name_order_and_unreadable_ones_left_out() -> None:
    for name in ("b", "a", "c"):
        a_network(name)
    (network_home("b") / "network.json").write_text("{")
    (state_root() / "empty").mkdir()
    (state_root() / ".lock").touch()
    assert [record.network.name for record in all_records()] == ["a", "c"]
    with pytest.raises(DocumentError):
        find_record("b")


def test_no_network_at_all() -> None:
    assert all_records() == []


def test_a_keeper_that_lives_is_found() -> None:
    a_network("one")
    keeper = find_record("one").keeper()
    assert keeper is not None
    assert keeper.pid == os.getpid()


def test_a_keeper_that_is_gone_is_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    a_network("one", pid=child.pid)
    assert find_record("one").keeper() is None


def test_another_process_with_the_keepers_pid_is_not_the_keeper() -> None:
    a_network("one", started_at_s=psutil.Process().create_time() - 100)
    assert find_record("one").keeper() is None


def test_a_keeper_that_is_not_reaped_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    a_network("one", pid=child.pid, started_at_s=psutil.Process(child.pid).create_time())
    record = find_record("one")
    assert record.keeper() is not None
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert record.keeper() is None
    child.wait()


def test_taking_over_is_written() -> None:
    a_network("one", pid=1, started_at_s=0.0)
    taken = find_record("one").kept_by_me(as_supervisor=True)
    assert (taken.file.keeper_pid, taken.file.is_supervised) == (os.getpid(), True)
    assert find_record("one").file == taken.file


def test_the_control_socket_has_a_short_path_of_its_own_for_every_home(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    paths = {socket_path(deep), socket_path(tmp_path), socket_path(tmp_path / "other")}
    assert len(paths) == 3
    assert all(len(os.fsencode(path)) <= 107 for path in paths)
    assert {path.parent.stat().st_mode & 0o777 for path in paths} == {0o700}
    assert socket_path(deep) == socket_path(deep)


@pytest.mark.parametrize(
    "change",
    [{"block": "77"}, {"keeper_pid": None}, {"more": 1}, {"spec": {"validators": 0}}, {"spec": 5}],
    ids=json.dumps,
)
def test_a_record_of_another_shape_is_a_document_error(change: dict[str, object]) -> None:
    a_network("one")
    path = network_home("one") / "network.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DocumentError) as caught:
        read_record(network_home("one"))
    assert str(path) in str(caught.value)


def test_a_record_knows_its_network() -> None:
    a_network("one", block=42)
    record = find_record("one")
    assert isinstance(record, NetworkRecord)
    assert record.network.validator_host(1) == "127.42.1.2"
    assert record.network.spec.node_environment == {"validator-0": {"PLANT": "1"}}
