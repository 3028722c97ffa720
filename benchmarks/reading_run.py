"""Runs Locust on `reading.py` as a user does, bound to the first core, and returns what it recorded."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from benchmarks.servers import on_first_core
from bundle import GENERATOR, SAMPLES, BundleLayout
from bundle.tables_io import read_table

_FILE = Path(__file__).parent / "reading.py"
_TARGET = """
name = "benchmark"
environment = "dev"
chain_id = "benchmark-1"

[[node]]
name = "node-0"
rpc = "http://127.0.0.1:1"
"""


class LoadFailed(Exception):
    """Locust did not come to its end."""


class Reading:
    """A Locust that runs; when it has ended, `samples` and `generator` are its tables."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.process = process

    def finish(self) -> None:
        """Wait for the end. Raises LoadFailed."""
        text, _ = self.process.communicate(timeout=120)
        if self.process.returncode != 0:
            raise LoadFailed(text[-2000:])

    @property
    def samples(self) -> pd.DataFrame:
        return read_table(BundleLayout(root=self.folder), SAMPLES).to_pandas()

    @property
    def generator(self) -> pd.DataFrame:
        return read_table(BundleLayout(root=self.folder), GENERATOR).to_pandas()


@contextmanager
def reading(url: str, user: str, users: int, load_s: float, *arguments: str) -> Iterator[Reading]:
    """Give a Locust that has begun; its folder goes at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="reliability-bench-") as name:
        folder = Path(name)
        (folder / "target.toml").write_text(_TARGET)
        command = [
            sys.executable,
            "-m",
            "locust",
            "-f",
            str(_FILE),
            user,
            "--host",
            url,
            "--headless",
            "--only-summary",
        ]
        command += ["-u", str(users), "-r", str(users), "-t", str(round(load_s + 3))]
        command += ["--load-time", str(load_s)]
        command += ["--target-file", str(folder / "target.toml"), "--bundle", str(folder), "--exit-code-on-error", "0"]
        with subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=on_first_core,
            cwd=_FILE.parent.parent,
            env=os.environ | {"PYTHONPATH": str(_FILE.parent.parent)},
        ) as process:
            try:
                yield Reading(folder, process)
            finally:
                process.kill()
