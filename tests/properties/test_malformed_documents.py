"""Malformed plans, Target files, rulebooks and bundles at the real command line.

Each ends with exit code 2, tells on every line of standard error where, what is and what is expected, and starts
nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bundle import (
    BundleLayout,
    ChildRecord,
    ClockRecord,
    ExpectedFault,
    ExpectedLoad,
    ExpectedOperation,
    PhaseRecord,
    WorkerRecord,
    create_bundle,
    seal,
    write_manifest,
)
from bundle.manifest import manifest_text
from gamedays import cli
from gamedays.exit_code import ExitCode
from tests.properties import malformed
from tests.properties.malformed import BUDGET, SEED, TARGET, Malformed, toml
from tests.unit.bundle.test_manifest import MANIFEST

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
PLAN = ROOT / "gamedays" / "smoke.toml"
FULL_MANIFEST = replace(
    MANIFEST,
    ended_at_s=1200.0,
    target=replace(MANIFEST.target, genesis_hash="0" * 64, app_version="1.0", provider_names=("provider-0",)),
    phases=(PhaseRecord(name="load", start_at_s=1016.0, end_at_s=1136.0),),
    git_revision="abc",
    versions={"python": "3.11"},
    loads=(
        ExpectedLoad(
            scenario="transfer",
            users=5,
            rate_per_s=5.0,
            operations=(ExpectedOperation(name="tx.submit", protocol="TX", rate_per_s=5.0),),
        ),
    ),
    faults=(ExpectedFault(experiment="kill", targets=("a",), expected_halt=False, hold_s=5.0, recovery_limit_s=60.0),),
    clocks=(
        ClockRecord(
            process="load worker-0",
            wall_minus_monotonic_s=1.0,
            host="here",
            part="worker-0",
            master_minus_own_s=0.5,
            clock_error_s=0.25,
        ),
    ),
    workers=(WorkerRecord(part="worker-0", core=1, begins_at_s=1016.0, late_s=0.5, ended_at_s=1136.0),),
    children=(ChildRecord(name="locust", exit_code=0),),
)


def sealed_text() -> str:
    """Return the text of the full manifest, sealed. Two of them differ by their time alone."""
    with tempfile.TemporaryDirectory() as folder:
        layout = BundleLayout(root=Path(folder))
        layout.budgets.write_text(json.dumps({"budget": [BUDGET]}))
        return manifest_text(seal(layout, FULL_MANIFEST))


PLANS = malformed.plans(PLAN.read_text(encoding="utf-8"), tomllib.loads(PLAN.read_text(encoding="utf-8")))
TARGETS = malformed.targets()
RULEBOOKS = malformed.rulebooks(toml)
BUDGETS = malformed.rulebooks(json.dumps)
MANIFESTS = malformed.manifests(sealed_text())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def problems(self) -> list[str]:
        """The lines of standard error that are no progress."""
        return [line for line in self.err.splitlines() if not re.match(r" *[0-9]+\.[0-9] s  ", line)]


def gameday(*arguments: str | Path) -> Ended:
    """Return how `gameday` ends, in this process; an exception that gets out of it gets out of here."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv, {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    sys.argv = ["gameday", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = before[0]
        for number, handler in before[1].items():
            signal.signal(number, handler)
    code = ended.value.code
    assert isinstance(code, int)
    return Ended(code=int(code), out=out.getvalue(), err=err.getvalue())


@pytest.fixture(autouse=True)
def _nothing_starts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No devnet and no process is started in these tests, whatever they are given."""
    started: list[str] = []

    def starting(what: str) -> Callable[..., None]:
        def start(*arguments: object, **options: object) -> None:
            started.append(what)
            raise AssertionError(f"{what} was called")

        return start

    for place in ("devnet.lifecycle.bring_up", "gamedays.gameday.bring_up", "gamedays.cli_devnet.bring_up"):
        monkeypatch.setattr(place, starting(place))
    monkeypatch.setattr("gamedays.conductor.Child", starting("a process"))
    yield
    assert not started


def assert_refused(ended: Ended, *sources: Path) -> None:
    """Assert exit code 2, and on each line of standard error a source, what is, and what is expected."""
    assert ended.code == ExitCode.USAGE, ended.err
    assert ended.out == ""
    assert ended.problems
    for line in ended.problems:
        told = line.removeprefix("gameday: ")
        assert told.startswith(tuple(f"{source}: " for source in sources)), line
        found, _, expected = told.rpartition("; expected ")
        assert found
        assert expected
        assert len(told) < 2000
        assert "Traceback" not in told


# --- the valid ones, and how many there are ---


def test_what_they_are_made_from_is_valid(tmp_path: Path) -> None:
    """Otherwise it would prove nothing that the mutants are refused."""
    target, book = tmp_path / "target.toml", tmp_path / "budgets.toml"
    target.write_text(toml(TARGET))
    book.write_text(toml({"budget": [BUDGET]}))
    plan = tmp_path / "plan.toml"
    plan.write_text(toml(tomllib.loads(PLAN.read_text(encoding="utf-8"))))
    bundle = sealed_bundle(tmp_path)
    ended = gameday("validate", PLAN, plan, target, book, bundle / "budgets.json", bundle)
    assert (ended.code, ended.err) == (ExitCode.PASS, "")
    assert len(ended.out.splitlines()) == 6


def test_there_are_enough_of_each_kind_and_all_are_different() -> None:
    """The bar is 200 in all."""
    kinds = {"plans": PLANS, "targets": TARGETS, "rulebooks": RULEBOOKS, "budgets": BUDGETS, "manifests": MANIFESTS}
    counts = {kind: len({document.content for document in documents}) for kind, documents in kinds.items()}
    assert counts == {kind: len(documents) for kind, documents in kinds.items()}
    assert all(count >= least for count, least in zip(counts.values(), (300, 300, 100, 100, 400), strict=True)), counts
    assert sum(counts.values()) >= 200
    for kind, documents in kinds.items():
        assert len({document.name for document in documents}) == counts[kind]


def test_they_are_the_same_every_time() -> None:
    """A failure can be looked at again."""
    again = malformed.plans(PLAN.read_text(encoding="utf-8"), tomllib.loads(PLAN.read_text(encoding="utf-8")))
    assert again == PLANS
    assert malformed.targets() == TARGETS


# --- plans ---


@pytest.mark.parametrize("document", PLANS, ids=str)
def test_malformed_plan_is_refused(tmp_path: Path, document: Malformed) -> None:
    """By `validate` and by `run`, which makes no bundle."""
    path = tmp_path / "plan.toml"
    path.write_bytes(document.content)
    told = gameday("validate", path)
    assert_refused(told, path)
    ran = gameday("run", path, "--runs", tmp_path / "runs")
    assert_refused(ran, path)
    assert [line.removeprefix("gameday: ") for line in ran.problems] == told.problems
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["none", ".", "folder", "n" * 300, "no_such_plan"])
def test_path_that_is_no_plan_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nothing there, a folder, a name that no file can have, a plan that does not come with the harness."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert_refused(gameday("run", name), Path(name))
    assert_refused(gameday("validate", name), Path(name))


# --- Target files ---


@pytest.mark.parametrize("document", TARGETS, ids=str)
def test_malformed_target_is_refused(tmp_path: Path, document: Malformed) -> None:
    """By every command that takes one; by `validate` alone where nothing tells that it should be one."""
    path, plan = tmp_path / "target.toml", tmp_path / "plan.toml"
    path.write_bytes(document.content)
    assert_refused(gameday("validate", path), path)
    for command in (("run", PLAN, "--target"), ("doctor", "--target"), ("janitor", "--target")):
        assert_refused(gameday(*command, path), path)
    fields = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    del fields["devnet"]
    plan.write_text(toml(fields | {"target_file": "target.toml"}))
    assert_refused(gameday("validate", plan), path)
    assert_refused(gameday("run", plan, "--runs", tmp_path / "runs"), path)
    assert not (tmp_path / "runs").exists()


def test_plan_whose_target_file_is_not_there_is_refused(tmp_path: Path) -> None:
    """By `validate` too: it is a name that nothing has."""
    plan = tmp_path / "plan.toml"
    fields = tomllib.loads(PLAN.read_text(encoding="utf-8"))
    del fields["devnet"]
    plan.write_text(toml(fields | {"target_file": "nowhere.toml"}))
    assert_refused(gameday("validate", plan), tmp_path / "nowhere.toml")
    assert_refused(gameday("run", plan), tmp_path / "nowhere.toml")


def test_secret_that_is_not_there_is_a_matter_of_running(tmp_path: Path) -> None:
    """A file can be validated where its secrets are not known; it cannot be run there."""
    path = tmp_path / "target.toml"
    accounts = {"mnemonic_env": "A_VARIABLE_THAT_NOBODY_SETS", "count": 1}
    path.write_text(toml(TARGET | {"accounts": accounts}))
    assert gameday("validate", path).code == ExitCode.PASS
    assert_refused(gameday("run", PLAN, "--target", path), path)


# --- bundles ---


def sealed_bundle(folder: Path) -> Path:
    """Return a small bundle, sealed."""
    layout = create_bundle(folder / "runs", "smoke")
    layout.budgets.write_text(json.dumps({"budget": [BUDGET]}))
    seal(layout, FULL_MANIFEST)
    return layout.root


BUNDLE_COMMANDS = ("validate", "judge", "report")


@pytest.mark.parametrize("document", MANIFESTS, ids=str)
def test_bundle_with_a_malformed_manifest_is_refused(tmp_path: Path, document: Malformed) -> None:
    """Whatever is asked of it; and nothing is written into it."""
    bundle = sealed_bundle(tmp_path)
    (bundle / "manifest.json").write_bytes(document.content)
    files = sorted(bundle.rglob("*"))
    for command in BUNDLE_COMMANDS:
        assert_refused(gameday(command, bundle), bundle / "manifest.json")
    assert sorted(bundle.rglob("*")) == files


@pytest.mark.parametrize("document", BUDGETS, ids=str)
def test_unsealed_bundle_with_malformed_budgets_is_refused(tmp_path: Path, document: Malformed) -> None:
    """Nobody can say what it was to be held against."""
    layout = create_bundle(tmp_path / "runs", "smoke")
    write_manifest(layout.manifest, FULL_MANIFEST)
    layout.budgets.write_bytes(document.content)
    assert_refused(gameday("validate", layout.budgets), layout.budgets)
    assert_refused(gameday("validate", layout.root), layout.root)
    for command in ("judge", "report"):
        assert_refused(gameday(command, layout.root), layout.budgets)
    assert not layout.verdict.exists()


@pytest.mark.parametrize("document", RULEBOOKS, ids=str)
def test_malformed_rulebook_is_refused(tmp_path: Path, document: Malformed) -> None:
    """By `validate`, and by `judge` before it judges."""
    path, bundle = tmp_path / "budgets.toml", sealed_bundle(tmp_path)
    path.write_bytes(document.content)
    assert_refused(gameday("validate", path), path)
    assert_refused(gameday("judge", bundle, "--budgets", path), path)
    assert not (bundle / "verdict.json").exists()


def no_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


def manifest_is_a_folder(bundle: Path) -> None:
    no_manifest(bundle)
    (bundle / "manifest.json").mkdir()


def manifest_leads_nowhere(bundle: Path) -> None:
    no_manifest(bundle)
    (bundle / "manifest.json").symlink_to("nowhere")


def bundle_is_empty(bundle: Path) -> None:
    shutil.rmtree(bundle)
    bundle.mkdir()


def bundle_is_gone(bundle: Path) -> None:
    shutil.rmtree(bundle)


def bundle_is_a_file(bundle: Path) -> None:
    shutil.rmtree(bundle)
    bundle.write_text("bundle")


def bundle_is_a_loop(bundle: Path) -> None:
    shutil.rmtree(bundle)
    bundle.symlink_to(bundle)


@pytest.mark.parametrize(
    "harm",
    [
        no_manifest,
        manifest_is_a_folder,
        manifest_leads_nowhere,
        bundle_is_empty,
        bundle_is_gone,
        bundle_is_a_file,
        bundle_is_a_loop,
    ],
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """Without manifest, or without anything."""
    bundle = sealed_bundle(tmp_path)
    harm(bundle)
    for command in BUNDLE_COMMANDS:
        assert_refused(gameday(command, bundle), bundle)


@pytest.mark.parametrize("name", ["n" * 300, "a/b/c", "x\ty"])
def test_path_that_nothing_has_is_no_bundle(tmp_path: Path, name: str) -> None:
    """Too long, deep below nothing, with a tab."""
    for command in BUNDLE_COMMANDS:
        assert_refused(gameday(command, tmp_path / name), tmp_path / name)


def test_damaged_bundle_is_not_as_sealed(tmp_path: Path) -> None:
    """`validate` tells every damaged file on a line of its own, whatever the file is called."""
    bundle = sealed_bundle(tmp_path)
    (bundle / "budgets.json").unlink()
    (bundle / "two\nlines").touch()
    (bundle / "more").touch()
    ended = gameday("validate", bundle)
    assert_refused(ended, bundle)
    assert len(ended.problems) == 3


# --- what nobody expected ---


def test_error_that_nobody_expected_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own exit code would say that a budget failed."""

    def fail(path: Path) -> None:
        raise ZeroDivisionError("by the test")

    monkeypatch.setattr("gamedays.cli.load_plan", fail)
    ended = gameday("run", tmp_path / "plan.toml")
    assert ended.code == ExitCode.HARNESS_ERROR
    assert ended.problems[-1] == "gameday: the harness failed: ZeroDivisionError: by the test"
    assert "Traceback" in ended.err


# --- in a process of its own ---


@pytest.mark.parametrize("kind", ["plan", "target", "rulebook", "manifest"])
def test_a_process_ends_the_same_way(tmp_path: Path, kind: str) -> None:
    """Some of them once more, drawn by lot, with nothing replaced: `python -m gamedays.cli`."""
    draw = random.Random(f"{SEED} {kind}")
    bundle = sealed_bundle(tmp_path)
    documents = {"plan": PLANS, "target": TARGETS, "rulebook": RULEBOOKS, "manifest": MANIFESTS}[kind]
    path = bundle / "manifest.json" if kind == "manifest" else tmp_path / f"{kind}.toml"
    path.write_bytes(draw.choice(documents).content)
    command = {
        "plan": ["run", path, "--runs", tmp_path / "new"],
        "target": ["run", PLAN, "--target", path, "--runs", tmp_path / "new"],
        "rulebook": ["judge", bundle, "--budgets", path],
        "manifest": ["report", bundle],
    }[kind]
    ended = subprocess.run(
        [sys.executable, "-m", "gamedays.cli", *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_refused(Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr), path)
    assert not (tmp_path / "new").exists()
