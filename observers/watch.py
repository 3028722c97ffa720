"""Run all observers of a target until told to stop. What could be seen is in the bundle at every moment."""

from __future__ import annotations

import os
import threading

from bundle import BALANCES, BLOCKS, PROBES, RESOURCES, SUPPLY, TRANSACTIONS, BundleLayout, Table, TableWriter
from observers.blocks import BlockWatch
from observers.health import NodeStatusWatch, api_health, node_health, provider_health
from observers.ledger import FINISH_LIMIT_S, LedgerWatch
from observers.observer import Observer
from observers.resources import ResourceWatch
from target.control import connect_control
from target.target import Target

FLUSH_PERIOD_S = 0.25
_JOIN_LIMIT_S = FINISH_LIMIT_S + 5.0


def watch(
    target: Target, layout: BundleLayout, *, period_s: float, stop: threading.Event, parent: int | None = None
) -> None:
    """Watch until `stop` is set, or until the process `parent` is gone; then write the closing balances and end."""
    writers = {table.name: TableWriter(layout, table) for table in _TABLES}
    threads = [
        threading.Thread(target=observer.run, args=(stop,), name=observer.name, daemon=True)
        for observer in _observers(target, layout, writers, period_s)
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(FLUSH_PERIOD_S):
        _flush(writers)
        if parent is not None and os.getppid() != parent:
            stop.set()
    for thread in threads:
        thread.join(_JOIN_LIMIT_S)
    for writer in writers.values():
        writer.close()


_TABLES: tuple[Table, ...] = (PROBES, BLOCKS, TRANSACTIONS, SUPPLY, BALANCES, RESOURCES)


def _observers(
    target: Target, layout: BundleLayout, writers: dict[str, TableWriter], period_s: float
) -> list[Observer]:
    probes, blocks = writers[PROBES.name], writers[BLOCKS.name]
    observers: list[Observer] = []
    for node in target.nodes:
        observers.append(node_health(node, probes, period_s))
        observers.append(NodeStatusWatch(node, probes, period_s))
        observers.append(BlockWatch(node, blocks, period_s))
    for api in target.apis:
        if (entrance := api_health(api, probes, period_s)) is not None:
            observers.append(entrance)
    observers += [provider_health(provider, probes, period_s) for provider in target.providers]
    observers.append(LedgerWatch(target, writers[TRANSACTIONS.name], writers[SUPPLY.name], writers[BALANCES.name]))
    observers.append(ResourceWatch(connect_control(target), layout, writers[RESOURCES.name]))
    return observers


def _flush(writers: dict[str, TableWriter]) -> None:
    for writer in writers.values():
        writer.flush()
