"""The manifest: round trip, its version, its phases, and the way it reaches the disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundle import DocumentError, Manifest, PhaseRecord, RunEnd, TargetRecord, read_manifest, write_manifest
from bundle.manifest import SCHEMA_VERSION, manifest_text

MANIFEST = Manifest(
    schema_version=SCHEMA_VERSION,
    run_id="20260301T120005Z-smoke-abcdef",
    plan_name="smoke",
    plan_title="One validator dies",
    hypothesis="Blocks go on.",
    seed=1,
    started_at_s=1000.0,
    planned_s=135.0,
    target=TargetRecord(
        name="devnet",
        environment="dev",
        chain_id="virtengine-devnet-1",
        genesis_hash=None,
        node_names=("validator-0", "validator-1"),
        provider_names=(),
        voting_power={"validator-0": 10, "validator-1": 10},
    ),
    loads=(),
    faults=(),
    phases=(
        PhaseRecord(name="baseline", start_at_s=1001.0, end_at_s=1016.0),
        PhaseRecord(name="load", start_at_s=1016.0),
    ),
    probe_period_s=0.2,
    host={"cpu_count": 2, "machine": "x86_64", "load_average_1min": 0.5},
)


def written(folder: Path, **changes: Any) -> Path:
    """Write a manifest with fields changed, or left out where the change is `...`, and return its path."""
    fields = json.loads(manifest_text(MANIFEST)) | changes
    path = folder / "manifest.json"
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not ...}))
    return path


def problem_of(path: Path) -> str:
    """Return the one problem of a manifest, without its source."""
    with pytest.raises(DocumentError) as caught:
        read_manifest(path)
    (problem,) = caught.value.problems
    return str(problem)


def test_manifest_comes_back(tmp_path: Path) -> None:
    """Every field, and the same text from what was read."""
    path = tmp_path / "manifest.json"
    write_manifest(path, MANIFEST)
    back = read_manifest(path)
    assert back == MANIFEST
    assert manifest_text(back) == path.read_text()


def test_what_a_later_phase_tells_may_be_left_out(tmp_path: Path) -> None:
    """A manifest of the first moment is a manifest: the run is still going on."""
    optional = ("ended_at_s", "end", "end_reason", "phases", "clocks", "children", "git_revision", "seal", "versions")
    back = read_manifest(written(tmp_path, **dict.fromkeys(optional, ...)))
    assert back.end is RunEnd.RUNNING
    assert back.phases == ()
    assert back.ended_at_s is None


def test_same_manifest_has_the_same_text() -> None:
    """However its tables were filled: the digest of the seal rests on it."""
    forth = {"locust": "2", "python": "3"}
    back = dict(reversed(forth.items()))
    assert list(forth) != list(back)
    assert manifest_text(replace(MANIFEST, versions=forth)) == manifest_text(replace(MANIFEST, versions=back))


@pytest.mark.parametrize("field", ["schema_version", "run_id", "seed", "target", "loads", "probe_period_s"])
def test_what_every_phase_knows_may_not_be_left_out(tmp_path: Path, field: str) -> None:
    """A manifest without its plan, target or time is none."""
    assert problem_of(written(tmp_path, **{field: ...})) == f"{field} is missing; expected a value"


@pytest.mark.parametrize("version", [0, 2, -1])
def test_manifest_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    """It may mean something else by the same words."""
    told = problem_of(written(tmp_path, schema_version=version))
    assert told == f"schema_version is {version}; expected {SCHEMA_VERSION}"
    with pytest.raises(ValueError):
        replace(MANIFEST, schema_version=version)


def test_phase_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    """In a file, and where it is made."""
    phase = {"name": "load", "start_at_s": 20.0, "end_at_s": 19.5}
    told = problem_of(written(tmp_path, phases=[phase]))
    assert told == "phases[0] ends at 19.5, before its start 20.0; expected an end after it"
    with pytest.raises(ValueError):
        PhaseRecord(name="load", start_at_s=20.0, end_at_s=19.5)
    assert PhaseRecord(name="load", start_at_s=20.0, end_at_s=20.0).end_at_s == 20.0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"end": "gone"}, "end is 'gone'; expected 'running', 'completed', 'interrupted', 'deadline' or 'aborted'"),
        ({"started_at_s": "now"}, "started_at_s is 'now'; expected a number"),
        ({"seed": 1.5}, "seed is 1.5; expected a whole number"),
        ({"sed": 1}, "sed is not a known field; expected 'seed'?"),
        ({"seal": {"sealed_at_s": 1.0, "files": {}}}, "seal.manifest_sha256 is missing; expected a value"),
        (
            {"seal": {"sealed_at_s": 1.0, "files": {"a/b.parquet": {"bytes": 1}}, "manifest_sha256": ""}},
            "seal.files.'a/b.parquet'.sha256 is missing; expected a value",
        ),
    ],
)
def test_problem_is_told_with_its_place(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    """As in every document."""
    assert problem_of(written(tmp_path, **changes)) == told


def test_phase_is_found_by_name() -> None:
    """A phase that the run did not come to is None."""
    found = MANIFEST.phase("load")
    assert found is not None
    assert found.start_at_s == 1016.0
    assert MANIFEST.phase("drain") is None


def test_new_manifest_replaces_the_old_at_once(tmp_path: Path) -> None:
    """A reader that has the old file open keeps it whole; nothing but the manifest is left in the folder."""
    path = tmp_path / "manifest.json"
    write_manifest(path, MANIFEST)
    with path.open() as old:
        write_manifest(path, replace(MANIFEST, end=RunEnd.COMPLETED))
        assert json.loads(old.read())["end"] == "running"
    assert read_manifest(path).end is RunEnd.COMPLETED
    assert list(tmp_path.iterdir()) == [path]
