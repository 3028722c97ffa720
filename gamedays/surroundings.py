"""What a run was made with and on: versions, host, revision. Part of the evidence."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

_PACKAGES = ("virtengine-reliability", "locust", "gevent", "chaostoolkit", "chaostoolkit-lib", "pandas", "pyarrow")


def versions() -> dict[str, str]:
    """Return the version of this harness and of what it measures with."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def host() -> dict[str, str | int | float]:
    """Return what matters for a comparison of runs. The load average tells whether the machine was quiet."""
    return {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cpu_count": os.cpu_count() or 0,
        "memory_bytes": psutil.virtual_memory().total,
        "load_average_1min": round(os.getloadavg()[0], 2),
    }


def git_revision(folder: Path) -> str | None:
    """Return the revision of the plan's repository, "+changes" added when it has any; None outside of one."""
    revision = _git(folder, "rev-parse", "HEAD")
    if not revision:
        return None
    return revision + ("+changes" if _git(folder, "status", "--porcelain") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
