"""Building the chain: what the cache is keyed by, which Go is taken, and what a failing build says.

A stub stands for the Go tool chain: a script that writes down how it was called.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from devnet import build
from devnet.build import CHAIN_SOURCES, build_chain, find_go, go_version
from devnet.errors import BuildFailed

STUB = """#!/bin/sh
echo "$@" >> "{log}"
case "$1" in
version) echo "go version {version} linux/amd64" ;;
list) echo "go: downloading example.org/module v1.0.0"; echo "example.org/module" ;;
build)
    {build}
    while [ $# -gt 0 ]; do
        if [ "$1" = "-o" ]; then echo "{binary}" > "$2"; fi
        shift
    done ;;
esac
"""


class StubGo:
    """A Go tool chain that does nothing but note it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / "calls"
        self.path = folder / "bin" / "go"
        self.path.parent.mkdir(parents=True)
        self.write()

    def write(self, *, version: str = "go1.25.3", build: str = ":", binary: str = "ved") -> None:
        text = STUB.format(log=self._log, version=version, build=build, binary=binary)
        self.path.write_text(text)
        self.path.chmod(0o755)

    def calls(self, verb: str) -> list[str]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [line for line in lines if line.split()[0] == verb]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubGo:
    """A stub that is found first, a cache of its own, and a small copy of the chain's sources."""
    stub = StubGo(tmp_path / "go")
    monkeypatch.setenv("PATH", f"{stub.path.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sources = tmp_path / "chain"
    sources.mkdir()
    for name in ("main.go", "app.go", "app_test.go", "go.mod", "go.sum", "README.md"):
        (sources / name).write_text(f"{name}\n")
    monkeypatch.setattr(build, "CHAIN_SOURCES", sources)
    return stub


def sources() -> Path:
    return build.CHAIN_SOURCES


def build_quietly(tags: str = "") -> Path:
    return build_chain(lambda line: None, tags=tags)


def test_what_is_in_the_cache_is_not_built_again(go: StubGo) -> None:
    first = build_quietly()
    assert first.read_text() == "ved\n"
    assert build_quietly() == first
    assert len(go.calls("build")) == 1


def test_the_build_is_told_about_and_reproducible(go: StubGo) -> None:
    told: list[str] = []
    binary = build_chain(told.append, tags="plant_fork")
    assert binary.name == "ved"
    assert told[0].startswith("building the chain")
    assert told[-1].startswith("building the chain: done")
    (call,) = go.calls("build")
    for flag in ("-trimpath", "-mod=readonly", "-tags plant_fork"):
        assert flag in call
    told.clear()
    build_chain(told.append, tags="plant_fork")
    assert told == []


@pytest.mark.parametrize("name", ["main.go", "app.go", "go.mod", "go.sum"])
def test_a_byte_of_a_source_is_another_binary(go: StubGo, name: str) -> None:
    first = build_quietly()
    before = (sources() / name).read_text()
    (sources() / name).write_text(before + " ")
    other = build_quietly()
    assert other != first
    assert len(go.calls("build")) == 2
    (sources() / name).write_text(before)
    assert build_quietly() == first
    assert len(go.calls("build")) == 2


@pytest.mark.parametrize("name", ["app_test.go", "README.md", "notes.txt"])
def test_a_byte_of_anything_else_is_not(go: StubGo, name: str) -> None:
    first = build_quietly()
    (sources() / name).write_text("changed")
    assert build_quietly() == first


def test_a_source_more_or_under_another_name_is_another_binary(go: StubGo) -> None:
    first = build_quietly()
    (sources() / "more.go").write_text("")
    second = build_quietly()
    (sources() / "more.go").rename(sources() / "moved.go")
    third = build_quietly()
    (sources() / "inner").mkdir()
    (sources() / "moved.go").rename(sources() / "inner" / "moved.go")
    assert len({first, second, third, build_quietly()}) == 4


def test_content_that_moves_from_one_file_to_the_next_is_another_binary(go: StubGo) -> None:
    (sources() / "app.go").write_text("ab")
    (sources() / "go.mod").write_text("c")
    first = build_quietly()
    (sources() / "app.go").write_text("a")
    (sources() / "go.mod").write_text("bc")
    assert build_quietly() != first


def test_tags_are_another_binary(go: StubGo) -> None:
    assert len({build_quietly(), build_quietly("plant_fork"), build_quietly("a,b")}) == 3


def test_two_builders_at_once_build_once(go: StubGo) -> None:
    go.write(build="sleep 0.3")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(build_quietly())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(go.calls("build")) == 1


def test_a_failing_build_tells_its_last_lines_and_leaves_no_binary(go: StubGo) -> None:
    go.write(build="echo 'app.go:7: undefined: x' >&2; exit 1")
    with pytest.raises(BuildFailed) as caught:
        build_quietly()
    assert "app.go:7: undefined: x" in str(caught.value)
    assert "build failed in" in str(caught.value)
    go.write()
    assert build_quietly().read_text() == "ved\n"


def test_an_interrupted_build_leaves_nothing_that_passes_for_a_binary(go: StubGo) -> None:
    go.write(build='echo half > "$(dirname "$0")/../half"; kill -9 $$')
    with pytest.raises(BuildFailed):
        build_quietly()
    assert not list((go.folder.parent / "cache").rglob("ved"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("go1.25.3", (1, 25)),
        ("go1.25", (1, 25)),
        ("go1.26rc1", (1, 26)),
        ("go2.0.1", (2, 0)),
        ("devel go1.27-abcdef", (1, 27)),
        ("go1.9", (1, 9)),
        ("nonsense", ()),
        ("", ()),
    ],
)
def test_go_version(go: StubGo, answer: str, expected: tuple[int, ...]) -> None:
    go.write(version=answer)
    assert go_version(go.path) == expected


def test_a_go_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert go_version(tmp_path / "nothing") == ()
    text = tmp_path / "text"
    text.write_text("no program")
    text.chmod(0o755)
    assert go_version(text) == ()
    assert go_version(tmp_path) == ()


@pytest.mark.parametrize(
    ("version", "is_taken"), [("go1.25.0", True), ("go1.30.1", True), ("go1.24.9", False), ("go1.9", False)]
)
def test_a_go_on_the_path_is_taken_when_it_is_new_enough(
    go: StubGo, version: str, is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    go.write(version=version)
    wheel = go.folder / "from-wheel"
    real = go_version
    monkeypatch.setattr(build, "_go_from_wheel", lambda say: wheel)
    # Only the stub: what else is installed on this machine is no part of the question.
    monkeypatch.setattr(build, "go_version", lambda path: real(path) if path == go.path else ())
    assert (find_go(lambda line: None) == go.path) is is_taken
    assert is_taken or find_go(lambda line: None) == wheel


def test_the_real_sources_have_a_module_and_a_program() -> None:
    names = {path.name for path in CHAIN_SOURCES.iterdir()}
    assert {"go.mod", "go.sum", "main.go"} <= names
    text = (CHAIN_SOURCES / "go.mod").read_text()
    wanted = re.search(r"^go (\d+)\.(\d+)", text, re.MULTILINE)
    assert wanted is not None
    assert (int(wanted[1]), int(wanted[2])) <= build._OLDEST_GO
