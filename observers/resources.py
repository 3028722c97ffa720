"""Memory and CPU of each process of the target that runs on this machine, and of the load generator."""

from __future__ import annotations

import json
import threading

import psutil

from bundle import BundleLayout, TableWriter
from observers.observer import ticks
from target.control import DevnetControl
from target.errors import ControlError

_PERIOD_S = 1.0


class ResourceWatch:
    """Samples processes once a second. Those on other machines cannot be seen from here and give no rows."""

    name = "resources"

    def __init__(self, control: DevnetControl | None, layout: BundleLayout, resources: TableWriter) -> None:
        self._control = control
        self._load_log = layout.logs / "load.jsonl"
        self._resources = resources

    def run(self, stop: threading.Event) -> None:
        for at_s in ticks(stop, _PERIOD_S):
            for name, pid in (self._controlled() | self._generators()).items():
                try:
                    self._record(at_s, name, pid)
                except psutil.Error:
                    continue  # it has ended since it was listed

    def _controlled(self) -> dict[str, int]:
        if self._control is None:
            return {}
        try:
            return {process.name: process.pid for process in self._control.processes() if process.pid is not None}
        except ControlError:
            return {}

    def _generators(self) -> dict[str, int]:
        """Return the load processes that have reported themselves in the bundle."""
        try:
            lines = [json.loads(line) for line in self._load_log.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError):
            return {}
        return {f"load {line['worker']}": int(line["pid"]) for line in lines}

    def _record(self, at_s: float, name: str, pid: int) -> None:
        process = psutil.Process(pid)
        with process.oneshot():
            cpu, io = process.cpu_times(), process.io_counters()
            self._resources.append(
                at_s=at_s,
                process=name,
                pid=pid,
                rss_bytes=process.memory_info().rss,
                cpu_s=cpu.user + cpu.system,
                threads=process.num_threads(),
                open_files=process.num_fds(),
                read_bytes=io.read_bytes,
                written_bytes=io.write_bytes,
            )
