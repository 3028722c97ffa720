"""Run an observer in a thread, as `observers.watch` does, and look at the rows that it writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundle import BundleLayout, Table, TableWriter, read_table
from observers.observer import Observer
from target.file import AccountsEntry, Environment, NodeEntry, TargetFile
from target.target import Node, Target, resolve

LIMIT_S = 30.0
PERIOD_S = 0.01
MNEMONIC = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds. Raises AssertionError naming it when it does not come in time."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {LIMIT_S:.0f} s"
        time.sleep(0.005)


class Book:
    """A table that is being written, and its rows so far."""

    def __init__(self, folder: Path, table: Table) -> None:
        self._layout, self._table = BundleLayout(root=folder), table
        self.writer = TableWriter(self._layout, table)

    @property
    def count(self) -> int:
        return self.writer.row_count

    def rows(self) -> list[dict[str, Any]]:
        self.writer.flush()
        return list(read_table(self._layout, self._table).to_pylist())

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows()]


@contextmanager
def watching(observer: Observer) -> Iterator[threading.Event]:
    """Run the observer beside the block, which may end it early; afterwards it has ended, without an error."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            observer.run(stop)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(LIMIT_S)
    assert not thread.is_alive(), "the observer does not end"
    assert errors == [], errors


def a_target(*urls: str, accounts: int = 0) -> Target:
    """Return a target of nodes at these addresses."""
    nodes = tuple(NodeEntry(name=f"node-{place}", rpc=url) for place, url in enumerate(urls))
    entry = AccountsEntry(mnemonic=MNEMONIC, count=accounts) if accounts else None
    file = TargetFile(name="fake", environment=Environment.DEV, chain_id="fake-1", node=nodes, accounts=entry)
    return resolve(file, source="test", environ={})


def a_node(url: str) -> Node:
    return a_target(url).nodes[0]
