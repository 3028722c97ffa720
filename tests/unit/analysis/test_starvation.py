"""Take any file away, cut it, empty it, change it: no such bundle passes, and the reason names the file.

And none fails either: what was lost or changed accuses nobody.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.judge import Judgement, judge
from analysis.verdict import Verdict
from bundle import DocumentError, NotABundle, open_bundle, read_manifest, seal
from tests.bundles import (
    KILL,
    PARTITION,
    drop_column,
    edit,
    empty,
    fork_block,
    healthy,
    put_twice,
    remove,
    sealed_files,
    shift_balance,
    shift_supply,
    truncate,
)
from tests.unit.analysis.judgements import against, codes, taints

pytestmark = pytest.mark.slow

TABLES = {
    "samples/local.parquet": "samples",
    "generator/local.parquet": "samples",
    "blocks.parquet": "blocks",
    "transactions.parquet": "transactions",
    "supply.parquet": "",
    "balances.parquet": "",
    "probes.parquet": "probes",
    "resources.parquet": "resources",
}
OTHERS = [
    "budgets.json",
    "faults.jsonl",
    "journals/00-validator_kill.json",
    "logs/locust.json",
    "logs/observers.log",
    "plan.toml",
    "target.toml",
]
SPOILS: dict[str, Callable[[Path, str], object]] = {
    "missing": remove,
    "truncated": truncate,
    "empty": empty,
    "edited": edit,
}


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy bundle, to be copied."""
    return healthy().write(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """A healthy bundle, to be spoiled."""
    return shutil.copytree(whole, tmp_path / "run")


def named(judgement: Judgement) -> set[str]:
    """Return the files that the check of the bundle names, each in a sentence that says so."""
    [whole] = [check for check in judgement.checks if check.name == "bundle.whole"]
    assert all(reason.evidence[0].file in reason.sentence for reason in whole.reasons)
    return {reason.evidence[0].file for reason in whole.reasons}


def test_these_are_all_files(whole: Path) -> None:
    assert sealed_files(whole) == sorted([*TABLES, *OTHERS])


@pytest.mark.parametrize("how", SPOILS)
@pytest.mark.parametrize("file", [*TABLES, *OTHERS])
def test_a_spoiled_file_is_named_and_nothing_passes_or_fails_by_it(root: Path, file: str, how: str) -> None:
    SPOILS[how](root, file)
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert file in named(found)
    assert {code for code in codes(found) if code.startswith("bundle.")} == {
        "bundle." + ("truncated" if how == "empty" else how)
    }
    source = TABLES.get(file)
    if source:
        assert source in taints(found)


@pytest.mark.parametrize("file", TABLES)
def test_a_table_with_other_columns_is_named(root: Path, file: str) -> None:
    """The seal tells that it was changed; sealed like that, the table itself tells which column it lacks."""
    drop_column(root, file)
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert file in named(found)


def _seal_again(root: Path) -> None:
    layout = open_bundle(root)
    seal(layout, read_manifest(layout.manifest))


@pytest.mark.parametrize("file", TABLES)
def test_a_table_that_was_sealed_with_other_columns_is_unreadable(root: Path, file: str) -> None:
    column = drop_column(root, file)
    _seal_again(root)
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert named(found) == {file}
    [reason] = [reason for _, _, reason in found.reasons() if reason.code == "bundle.unreadable"]
    assert f"has no column {column}" in reason.sentence


@pytest.mark.parametrize("file", TABLES)
def test_a_table_that_was_sealed_as_rubbish_is_unreadable(root: Path, file: str) -> None:
    (root / file).write_bytes(b"not a table at all" * 10)
    _seal_again(root)
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert named(found) == {file}
    source = TABLES[file]
    assert not source or source in taints(found)


@pytest.mark.parametrize("file", TABLES)
def test_a_table_that_was_never_written_is_missing(root: Path, file: str) -> None:
    """The observers did not start, or Locust did not: the seal is right, and there is too little."""
    remove(root, file)
    _seal_again(root)
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert named(found) == {file.removesuffix("/local.parquet")}
    [whole] = [check for check in found.checks if check.name == "bundle.whole"]
    assert set(whole.taints) == ({TABLES[file]} - {""})


@pytest.mark.parametrize(
    ("file", "check"),
    [
        ("budgets.json", "bundle.whole"),
        ("faults.jsonl", "faults.proved"),
        ("journals/00-validator_kill.json", "experiments.hypothesis"),
        ("logs/locust.json", "load.counts"),
    ],
)
def test_a_file_that_was_never_written_is_missed(root: Path, file: str, check: str) -> None:
    remove(root, file)
    _seal_again(root)
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert check in against(found)


@pytest.mark.parametrize("file", ["faults.jsonl", "journals/00-validator_kill.json", "logs/locust.json"])
@pytest.mark.parametrize("content", [b"[1]\n", b"{}\n", b"\xff\xfe\n"])
def test_a_file_that_was_sealed_as_rubbish_is_named(root: Path, file: str, content: bytes) -> None:
    (root / file).write_bytes(content)
    _seal_again(root)
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert named(found) == {file}
    assert "bundle.unreadable" in codes(found)


def test_a_folder_where_a_journal_should_be_is_named(root: Path) -> None:
    (root / "journals" / "01-validator_kill.json").mkdir()
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert named(found) == {"journals/01-validator_kill.json"}


def test_a_run_that_was_not_sealed_is_named(tmp_path: Path) -> None:
    """Streams are read as they are: the conductor died, and what was flushed is there."""
    _, found = judge(healthy().write(tmp_path, sealed=False))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert named(found) == {"manifest.json"}
    assert codes(found) == {"bundle.unsealed"}


def test_what_was_not_sealed_decides_no_budget(tmp_path: Path) -> None:
    """Any row may be missing from streams that nobody closed: slow answers fail no budget, and fast ones pass none."""
    run = healthy()
    for row in run.of("rpc.status"):
        row["latency_ms"] = 60_000.0
    _, found = judge(run.write(tmp_path, sealed=False))
    assert {result.verdict for result in found.budgets} == {Verdict.INCONCLUSIVE}


def test_a_stream_that_was_cut_off_keeps_what_was_flushed(tmp_path: Path) -> None:
    root = healthy().write(tmp_path, sealed=False)
    truncate(root, "probes.arrows")
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "bundle.unsealed" in codes(found)


@pytest.mark.parametrize("how", ["missing", "truncated", "empty"])
def test_a_bundle_without_its_manifest_is_no_bundle(root: Path, how: str) -> None:
    SPOILS[how](root, "manifest.json")
    with pytest.raises((NotABundle, DocumentError)) as caught:
        judge(root)
    assert "manifest.json" in str(caught.value)


def test_an_edited_manifest_taints_everything(root: Path) -> None:
    """Phases, target, loads: whatever was changed in it, no number can be trusted."""
    text = (root / "manifest.json").read_text(encoding="utf-8")
    assert '"seed": 1' in text
    (root / "manifest.json").write_text(text.replace('"seed": 1', '"seed": 2'), encoding="utf-8")
    _, found = judge(root)
    assert (found.verdict, named(found)) == (Verdict.INCONCLUSIVE, {"manifest.json"})
    assert {result.verdict for result in found.budgets} == {Verdict.INCONCLUSIVE}


def test_a_file_too_many_is_named_and_taints_its_table(root: Path) -> None:
    shutil.copy(root / "samples/local.parquet", root / "samples/another.parquet")
    _, found = judge(root)
    assert named(found) == {"samples/another.parquet"}
    assert "samples" in taints(found)


def test_derived_files_are_not_part_of_the_seal(root: Path) -> None:
    for name in ("verdict.json", "report.html", "report.md", "junit.xml"):
        (root / name).write_text("anything", encoding="utf-8")
    assert judge(root)[1].verdict is Verdict.PASS


# --- what a changed file must not be able to do ---


def test_changed_budgets_fail_nobody(root: Path) -> None:
    """Somebody made the limits stricter after the run: that is no failure of the target."""
    text = (root / "budgets.json").read_text(encoding="utf-8")
    assert '"limit": 10000' in text
    (root / "budgets.json").write_text(text.replace('"limit": 10000', '"limit": 1'), encoding="utf-8")
    assert judge(root)[1].verdict is Verdict.INCONCLUSIVE


def test_a_lost_fault_journal_accuses_nobody(tmp_path: Path) -> None:
    """Without it the time under the fault would count: the killed node as down, the cut-off one as stuck."""
    cut_off = replace(PARTITION, at=10.0, hold=12.0)
    run = healthy(faults=(replace(KILL, at=5.0, hold=2.0), cut_off), budgets=("PB-Q-05", "PB-L-02"))
    root = run.write(tmp_path)
    assert judge(root)[1].verdict is not Verdict.FAIL
    remove(root, "faults.jsonl")
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert {result.verdict for result in found.budgets} == {Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("table", ["blocks", "balances", "supply", "transactions"])
def test_changed_books_accuse_nobody(tmp_path: Path, table: str) -> None:
    """Rows that were changed after the seal may say that the chain forked or lost money. They are not the chain's."""
    good, bad = healthy(), healthy()
    fork_block(bad, 20, "validator-1")
    shift_balance(bad, by=1)
    shift_supply(bad, by=1)
    put_twice(bad)
    root, forged = good.write(tmp_path / "good"), bad.write(tmp_path / "bad")
    shutil.copy(forged / f"{table}.parquet", root / f"{table}.parquet")
    _, found = judge(root)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert f"{table}.parquet" in named(found)
