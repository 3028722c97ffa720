"""Run Locust as a user does, on one of our files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle import SAMPLES, BundleLayout, read_table
from bundle.tables import NO_FAILURE_KINDS

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "loadtests"
LIMIT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How Locust ended."""

    code: int
    text: str
    """What it printed, standard output and error."""


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without the settings that our options read."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GAMEDAY_", "LOCUST_"))} | more


def locust_command(file: str, *arguments: str | Path) -> list[str]:
    """Return the command for one file, or for several with commas between them."""
    files = ",".join(str(FILES / name) for name in file.split(","))
    return [sys.executable, "-m", "locust", "-f", files, *(str(argument) for argument in arguments)]


def locust(file: str, *arguments: str | Path, **more: str) -> Ended:
    """Run Locust to its end."""
    answer = subprocess.run(
        locust_command(file, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        env=environment(**more),
        check=False,
    )
    return Ended(code=answer.returncode, text=answer.stdout)


def locust_counts(path: Path) -> dict[str, tuple[int, int]]:
    """Return (requests, failures) by operation from a file that Locust's --json-file wrote."""
    found: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for entry in json.loads(path.read_text()):
        found[entry["name"]] += entry["num_requests"]
        failed[entry["name"]] += entry["num_failures"]
    return {name: (found[name], failed[name]) for name in found}


def samples_of(bundle: Path) -> list[dict[str, Any]]:
    return list(read_table(BundleLayout(root=bundle), SAMPLES).to_pylist())


def sample_counts(rows: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return (rows, rows that are failures to Locust) by operation."""
    harmless = {kind.value for kind in NO_FAILURE_KINDS}
    found = Counter(row["operation"] for row in rows)
    failed = Counter(row["operation"] for row in rows if row["outcome"] != "ok" and row["error_kind"] not in harmless)
    return {name: (found[name], failed[name]) for name in found}
