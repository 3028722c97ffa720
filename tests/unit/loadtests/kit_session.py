"""Sessions and environments as Locust would make them, without running Locust."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from locust.argument_parser import get_parser
from locust.env import Environment

from loadtests.kit.notes import Notes
from loadtests.kit.place import Place
from loadtests.kit.recorder import Recorder
from loadtests.kit.session import Session, _sessions
from target.target import Target, load_target

TARGET = """
name = "fake"
environment = "dev"
chain_id = "fake-1"
"""
ACCOUNTS = """
[accounts]
mnemonic = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
count = {count}
"""


class Clock:
    """Stands for the modules `time` and `gevent`: time passes only by sleeping or by setting it."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def time(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@cache
def a_target(*rpc_urls: str, accounts: int = 0, more: str = "") -> Target:
    """Return a target of these nodes."""
    nodes = "".join(
        f'[[node]]\nname = "node-{place}"\nrpc = "{url}"\n'
        for place, url in enumerate(rpc_urls or ("http://127.0.0.1:1",))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "target.toml"
        path.write_text(TARGET + nodes + more + (ACCOUNTS.format(count=accounts) if accounts else ""))
        return load_target(path)


def an_environment(*arguments: str, **settings: Any) -> Environment:
    """Return an environment with Locust's and our options as given on a command line."""
    options = get_parser().parse_args([*arguments])
    return Environment(parsed_options=options, **settings)


def a_session(
    *arguments: str, target: Target | None = None, recorder: Recorder | None = None, place: Place | None = None
) -> Session:
    """Return a session that users of its environment find."""
    environment = an_environment(*arguments)
    session = Session(environment, target or a_target(), recorder, Notes(None, "local"), place=place or Place())
    _sessions[id(environment)] = session
    return session
