"""Memory and CPU of real processes, by the control port's list and by what the load reports of itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundle import RESOURCES, BundleLayout
from observers import resources
from observers.resources import ResourceWatch
from target.control import ControlledProcess, ProcessKind, ProcessState
from target.errors import ControlError
from tests.unit.observers.watching import Book, wait_for, watching


class FakeControl:
    """A control port that knows some processes."""

    def __init__(self, **pids: int | None) -> None:
        self.pids = pids
        self.fails = False

    def processes(self) -> list[ControlledProcess]:
        if self.fails:
            raise ControlError("sock", "is gone")
        return [
            ControlledProcess(name=name, kind=ProcessKind.NODE, state=ProcessState.RUNNING, pid=pid)
            for name, pid in self.pids.items()
        ]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_PERIOD_S", 0.01)


def a_watch(folder: Path, control: Any) -> tuple[ResourceWatch, Book]:
    (folder / "logs").mkdir(exist_ok=True)
    book = Book(folder, RESOURCES)
    return ResourceWatch(control, BundleLayout(root=folder), book.writer), book


def report_load(folder: Path, *lines: dict[str, Any] | str) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "load.jsonl").write_text("".join(text + "\n" for text in texts))


def test_a_process_is_sampled_with_all_columns(tmp_path: Path) -> None:
    watch, book = a_watch(tmp_path, FakeControl(node=os.getpid()))
    with watching(watch):
        wait_for(lambda: book.count >= 2, "two rows")
    rows = book.rows()
    for row in rows:
        assert (row["process"], row["pid"]) == ("node", os.getpid())
        assert row["at_s"] > 1e9
        assert row["rss_bytes"] > 1_000_000
        assert row["cpu_s"] > 0
        assert row["threads"] >= 2  # the watch has one of its own
        assert row["open_files"] > 0
        assert row["read_bytes"] >= 0
        assert row["written_bytes"] >= 0
    assert rows[0]["cpu_s"] <= rows[1]["cpu_s"]


def test_a_process_that_has_ended_gives_no_row_and_costs_no_other_its_own(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    watch, book = a_watch(tmp_path, FakeControl(gone=child.pid, exited=None, node=os.getpid()))
    with watching(watch):
        wait_for(lambda: book.count >= 2, "two rows")
    assert set(book.column("process")) == {"node"}


def test_load_processes_are_those_that_reported_themselves(tmp_path: Path) -> None:
    report_load(tmp_path, {"worker": "worker-1", "event": "ready", "pid": os.getpid()})
    watch, book = a_watch(tmp_path, None)
    with watching(watch):
        wait_for(lambda: book.count >= 1, "a row")
    assert set(book.column("process")) == {"load worker-1"}


def test_half_a_line_in_the_loads_log_is_waited_out(tmp_path: Path) -> None:
    report_load(tmp_path, {"worker": "local", "event": "ready", "pid": os.getpid()}, '{"worker": "loc')
    watch, book = a_watch(tmp_path, FakeControl(node=os.getpid()))
    with watching(watch):
        wait_for(lambda: book.count >= 2, "rows of the node")
        assert set(book.column("process")) == {"node"}
        report_load(tmp_path, {"worker": "local", "event": "ready", "pid": os.getpid()})
        wait_for(lambda: "load local" in book.column("process"), "a row of the load")


def test_a_control_port_that_is_gone_leaves_the_load(tmp_path: Path) -> None:
    control = FakeControl(node=os.getpid())
    report_load(tmp_path, {"worker": "local", "event": "ready", "pid": os.getpid()})
    watch, book = a_watch(tmp_path, control)
    with watching(watch):
        wait_for(lambda: "node" in book.column("process"), "a row of the node")
        control.fails = True
        before = book.count
        wait_for(lambda: book.count > before + 3, "more rows")
        assert set(book.column("process")[before + 2 :]) == {"load local"}


def test_nothing_to_watch_gives_no_rows(tmp_path: Path) -> None:
    watch, book = a_watch(tmp_path, None)
    with watching(watch):
        pass
    assert book.rows() == []
