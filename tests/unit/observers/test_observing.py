"""All observers together, as the process that the conductor starts."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bundle import (
    BALANCES,
    BLOCKS,
    PROBES,
    RESOURCES,
    SUPPLY,
    TRANSACTIONS,
    BundleLayout,
    TableDamaged,
    TableMissing,
    create_bundle,
    read_table,
)
from bundle.tables_io import table_files
from observers.watch import watch
from tests.unit.observers.fake_chain_node import chain_nodes
from tests.unit.observers.watching import MNEMONIC, a_target, wait_for

pytestmark = pytest.mark.slow

TABLES = (PROBES, BLOCKS, TRANSACTIONS, SUPPLY, BALANCES, RESOURCES)
ROOT = Path(__file__).resolve().parents[3]


def count_of(layout: BundleLayout, name: str) -> int:
    table = next(table for table in TABLES if table.name == name)
    try:
        return int(read_table(layout, table).num_rows)
    except (TableMissing, TableDamaged):
        return 0  # not there yet, or just being made


@contextmanager
def observers(target_file: Path, bundle: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "observers", "--target-file", str(target_file), "--bundle", str(bundle), *more]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def a_bundle(folder: Path) -> BundleLayout:
    layout = create_bundle(folder, "test")
    layout.manifest.write_text("{}")
    return layout


def a_target_file(folder: Path, url: str, text: str = "") -> Path:
    path = folder / "target.toml"
    head = 'name = "fake"\nenvironment = "dev"\nchain_id = "fake-1"\n'
    nodes = f'[[node]]\nname = "node-0"\nrpc = "{url}"\n'
    path.write_text(text or head + nodes + f'[accounts]\nmnemonic = "{MNEMONIC}"\ncount = 2\n')
    return path


def test_every_table_has_its_rows_while_the_watch_lasts(tmp_path: Path) -> None:
    layout = create_bundle(tmp_path, "test")
    stop = threading.Event()
    with chain_nodes(2) as (ledger, nodes):
        target = a_target(*(node.url for node in nodes), accounts=2)
        thread = threading.Thread(target=watch, args=(target, layout), kwargs={"period_s": 0.05, "stop": stop})
        thread.start()
        try:
            wait_for(lambda: count_of(layout, "supply") > 0, "the opening rows on disk")
            ledger.add()
            wait_for(lambda: count_of(layout, "blocks") >= 2, "the block on disk, from both nodes")
            wait_for(lambda: count_of(layout, "probes") > 4, "probes on disk")
        finally:
            stop.set()
            thread.join(30)
    assert not thread.is_alive()
    assert all(table_files(layout, table) for table in TABLES)
    probes = read_table(layout, PROBES).to_pylist()
    assert {row["endpoint"] for row in probes} == {"node-0", "node-1"}
    assert {row["probe"] for row in probes} == {"health", "status", "peers"}
    assert {row["node"] for row in read_table(layout, BLOCKS).to_pylist()} == {"node-0", "node-1"}
    assert [row["height"] for row in read_table(layout, BALANCES).to_pylist()] == [3, 3, 4, 4]


def test_an_endpoint_that_is_down_from_the_start_is_watched_too(tmp_path: Path) -> None:
    layout = create_bundle(tmp_path, "test")
    stop = threading.Event()
    with chain_nodes(2) as (_, nodes):
        nodes[1].kill()
        target = a_target(*(node.url for node in nodes))
        thread = threading.Thread(target=watch, args=(target, layout), kwargs={"period_s": 0.05, "stop": stop})
        thread.start()
        try:
            wait_for(lambda: count_of(layout, "probes") > 8, "probes on disk")
        finally:
            stop.set()
            thread.join(30)
    rows = [row for row in read_table(layout, PROBES).to_pylist() if row["probe"] == "health"]
    assert {(row["endpoint"], row["ok"]) for row in rows} == {("node-0", True), ("node-1", False)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_its_closing_rows(tmp_path: Path, number: signal.Signals) -> None:
    layout = a_bundle(tmp_path)
    with chain_nodes(1) as (ledger, (node,)), observers(a_target_file(tmp_path, node.url), layout.root) as process:
        wait_for(lambda: count_of(layout, "supply") > 0, "the opening rows on disk")
        ledger.add()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert [row["height"] for row in read_table(layout, BALANCES).to_pylist()] == [3, 3, 4, 4]


def test_a_kill_leaves_what_was_seen(tmp_path: Path) -> None:
    layout = a_bundle(tmp_path)
    with chain_nodes(1) as (_, (node,)), observers(a_target_file(tmp_path, node.url), layout.root) as process:
        wait_for(lambda: count_of(layout, "probes") > 2 and count_of(layout, "supply") > 0, "rows on disk")
        process.kill()
        process.wait()
    assert count_of(layout, "probes") > 2
    assert count_of(layout, "balances") == 2


def test_a_bad_target_file_is_told_and_ends_with_2(tmp_path: Path) -> None:
    layout = a_bundle(tmp_path)
    path = a_target_file(tmp_path, "", 'name = "x"\n')
    with observers(path, layout.root) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert f"{path}: environment is missing" in err
    assert "Traceback" not in err


def test_a_bundle_that_is_none_is_told_and_ends_with_2(tmp_path: Path) -> None:
    with observers(a_target_file(tmp_path, "http://127.0.0.1:1"), tmp_path / "nowhere") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == f"{tmp_path / 'nowhere'}: does not exist; expected a run bundle (a folder with a manifest.json)\n"


@pytest.mark.parametrize("period", ["0", "-1", "nan", "soon"])
def test_a_period_that_is_none_is_told_and_ends_with_2(tmp_path: Path, period: str) -> None:
    with observers(a_target_file(tmp_path, "http://127.0.0.1:1"), a_bundle(tmp_path).root, "--period-s", period) as p:
        out, err = p.communicate(timeout=60)
    assert (p.returncode, out) == (2, "")
    assert "--period-s" in err.splitlines()[-1]
    assert f"{period!r} is no positive number" in err
