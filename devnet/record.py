"""What is on disk about a network: one folder a network under the user's state folder.

The record is enough to find a network again, to tell whether it lives, and to take it down, whoever
started it and whatever became of that process.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import psutil

from bundle import DocumentError, document, read_json
from devnet.errors import NoSuchNetwork
from devnet.network import Network, NetworkSpec

RECORD_FILE = "network.json"
_CLOCK_TOLERANCE_S = 2.0


@document
class RecordFile:
    """`network.json` as written."""

    name: str
    block: int
    spec: NetworkSpec
    chain_binary: str
    socket: str
    keeper_pid: int
    """The process that is responsible for the network: first its starter, then its supervisor."""
    keeper_started_at_s: float
    """With the pid, the identity of the keeper: a pid alone is reused by the system."""
    is_supervised: bool = False
    """Whether the supervisor has taken over from the starter."""
    owned: bool = False
    """Whether the network ends with the process that started it."""


class NetworkRecord:
    """A network as recorded on disk."""

    def __init__(self, home: Path, file: RecordFile) -> None:
        self.file = file
        self.network = Network(name=file.name, block=file.block, home=home, spec=file.spec)
        self.chain_binary = Path(file.chain_binary)
        self.socket = Path(file.socket)

    def keeper(self) -> psutil.Process | None:
        """Return the living keeper, None when it is gone."""
        try:
            process = psutil.Process(self.file.keeper_pid)
            same = abs(process.create_time() - self.file.keeper_started_at_s) < _CLOCK_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def is_held_by_a_run(self) -> bool:
        """Whether the network lives and ends with the process that started it: nobody else has to clean up there."""
        return self.file.owned and self.keeper() is not None

    def kept_by_me(self, *, as_supervisor: bool) -> NetworkRecord:
        """Return the record with this process as keeper, written."""
        me = psutil.Process()
        file = replace(self.file, keeper_pid=me.pid, keeper_started_at_s=me.create_time(), is_supervised=as_supervisor)
        write_record(self.network.home, file)
        return NetworkRecord(self.network.home, file)


def state_root() -> Path:
    """Return the folder that holds all networks of this user."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "virtengine-reliability" / "devnets"


def network_home(name: str) -> Path:
    return state_root() / name


def socket_path(home: Path) -> Path:
    """Return where the control port of the network listens.

    Not in the home: the name of a Unix socket may have 107 bytes at most.
    """
    folder = Path(tempfile.gettempdir()) / f"virtengine-reliability-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{hashlib.sha256(str(home).encode()).hexdigest()[:16]}.sock"


def write_record(home: Path, file: RecordFile) -> None:
    """Write the record by rename."""
    fresh = home / f"{RECORD_FILE}.new"
    fresh.write_text(json.dumps(asdict(file), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    fresh.replace(home / RECORD_FILE)


def read_record(home: Path) -> NetworkRecord:
    """Return the record in a network's home. Raises DocumentError."""
    return NetworkRecord(home, read_json(home / RECORD_FILE, RecordFile))


def find_record(name: str) -> NetworkRecord:
    """Return the network of that name. Raises NoSuchNetwork."""
    home = network_home(name)
    if not (home / RECORD_FILE).is_file():
        known = [record.network.name for record in all_records()]
        there_are = f"there are {', '.join(known)}" if known else "there is none"
        raise NoSuchNetwork(f"no devnet is called {name!r}: {there_are}")
    return read_record(home)


def all_records() -> list[NetworkRecord]:
    """Return every network on disk in name order; unreadable ones are left out."""
    records = []
    for home in sorted(state_root().glob("*")):
        try:
            records.append(read_record(home))
        except DocumentError:
            continue
    return records
