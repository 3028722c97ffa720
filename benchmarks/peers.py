"""Load generators of others that ours is measured beside.

hey and vegeta are built once into the cache; wrk is there if the machine has it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from devnet.build import cache_root, find_go

_PROGRAMS = {"hey": "github.com/rakyll/hey@v0.1.5", "vegeta": "github.com/tsenart/vegeta/v12@v12.13.0"}
_LIMIT_S = 600.0


def program(name: str) -> Path | None:
    """Return where a program is; None when it is not installed and cannot be built."""
    if found := shutil.which(name):
        return Path(found)
    if name not in _PROGRAMS:
        return None
    module, _, version = _PROGRAMS[name].partition("@")
    binary = cache_root() / "benchmarks" / f"{name}-{version}" / name
    if not binary.is_file():
        go = find_go(lambda line: print(line, file=sys.stderr))
        environment = os.environ | {"CGO_ENABLED": "0", "GOBIN": str(binary.parent), "GOFLAGS": ""}
        print(f"building {module} {version}", file=sys.stderr)
        built = subprocess.run(
            [str(go), "install", "-trimpath", _PROGRAMS[name]],
            env=environment,
            timeout=_LIMIT_S,
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode != 0:
            print(f"{name} cannot be built: {built.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
    return binary
