"""The table for a terminal, Markdown and JUnit: complete, in form, and proof against hostile text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.budget import Severity
from analysis.judge import Judgement, judge
from analysis.run import Run
from analysis.verdict import Verdict
from reports.junit import junit_report
from reports.markdown import SIGNS, markdown_report
from reports.table import verdict_table
from reports.write import render, write_reports
from tests.bundles import healthy
from tests.unit.reports.judged import HOSTILE, Judged, contradictory, hostile, judged, spoilt, unrecovered


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judged(healthy(), tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judged(spoilt(), tmp_path_factory.mktemp("bad"))


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("evil")
    root = hostile().write(folder)
    (root / "logs" / "a|`b`<script>\n.log").write_text("", encoding="utf-8")
    return judge(root)


# --- table ---


def test_the_table_has_every_budget_check_and_reason(bad: Judged) -> None:
    _, judgement = bad
    text = verdict_table(judgement)
    lines = text.splitlines()
    for result in judgement.budgets:
        [line] = [line for line in lines if line.startswith(f"{result.budget.id} ")]
        word = result.verdict.value
        assert line.endswith(word if result.budget.severity is Severity.GATE else f"({word})")
    for check in judgement.checks:
        assert any(check.title in line and check.summary in line for line in lines)
    for what, _, reason in judgement.reasons():
        assert any(what in line and reason.sentence in line and f"({reason.code})" in line for line in lines)
    assert lines[-1] == f"FAIL: {judgement.headline}"


def test_columns_of_the_table_are_aligned(bad: Judged) -> None:
    lines = verdict_table(bad[1]).splitlines()
    head = lines[0]
    for column in ("measured", "95 % interval", "limit", "used", "verdict"):
        place = head.index(column)
        for line in lines[1 : 1 + len(bad[1].budgets)]:
            assert line[place - 2 : place] == "  "
            assert line[place] != " "


def test_hostile_text_moves_no_cursor_and_begins_no_line(evil: Judged) -> None:
    """What a target says must not be able to write over the verdict in somebody's terminal."""
    _, judgement = evil
    text = verdict_table(judgement)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert not any(line.startswith("second line") for line in text.splitlines())
    budgets, checks, reasons = len(judgement.budgets), len(judgement.checks), len(judgement.reasons())
    assert len(text.splitlines()) == 1 + budgets + 1 + checks + 2 + min(reasons, 12) + (reasons > 12) + 2


def test_a_table_of_a_pass_has_no_why(good: Judged) -> None:
    text = verdict_table(good[1])
    assert "Why:" not in text
    assert text.splitlines()[-1].startswith("PASS: ")


def test_a_table_does_not_drown_in_reasons(bad: Judged) -> None:
    _, judgement = bad
    [fork] = [check for check in judgement.checks if check.name == "invariant.no_fork"]
    many = replace(fork, reasons=fork.reasons * 20)
    crowded = replace(judgement, checks=(many,), budgets=())
    lines = verdict_table(crowded).splitlines()
    assert sum(line.startswith("  FAIL") for line in lines) == 12
    assert "  … and 8 more in the report" in lines


# --- Markdown ---


def unescaped(text: str, char: str) -> int:
    """Return how often a character stands in a Markdown line neither escaped nor in a code span."""
    plain = re.sub(r"(?<!\\)`[^`]*`", "", text)
    return len(re.findall(r"(?<!\\)(?:\\\\)*" + re.escape(char), plain))


def test_markdown_has_every_part(bad: Judged) -> None:
    run, judgement = bad
    text = markdown_report(run, judgement)
    assert text.startswith(f"## {SIGNS[Verdict.FAIL]} FAIL: A synthetic run\n")
    for title in ("### Why", "### Budgets", "### Faults", "### Checks"):
        assert text.count(title) == 1
    for result in judgement.budgets:
        assert text.count(f"| {result.budget.id} ") == 1
    for check in judgement.checks:
        assert check.title in text
    for _, _, reason in judgement.reasons():
        assert f"(`{reason.code}`)" in text


def test_markdown_of_a_pass_without_faults_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    text = markdown_report(*judged(healthy(faults=()), tmp_path))
    assert "### Why" not in text
    assert "### Faults" not in text
    assert "### Budgets" in text


def test_markdown_tells_what_became_of_the_transactions(tmp_path: Path) -> None:
    text = markdown_report(*judged(contradictory(), tmp_path))
    table = text.split("### What became of the transactions", 1)[1].splitlines()
    assert [line for line in table if line.startswith("| ")][1:] == [
        f"| committed | – | 191 | 98.454 % | {healthy().transactions[0]['tx_hash']} |",
        f"| failed in the block | sdk/5 | 1 | 0.515 % | {healthy().transactions[5]['tx_hash']} |",
        "| accepted, never included | – | 1 | 0.515 % | LOST |",
        "| unknown: no answer, and in no block | – | 1 | 0.515 % | MUTE |",
    ]
    assert "- 194 transactions in 194 submissions" in text
    assert "The client was told something else: 1 refused and in a block all the same." in text


def test_warnings_are_told_in_every_form_and_change_nothing(tmp_path: Path) -> None:
    run, judgement = judged(contradictory(), tmp_path)
    [warning] = judgement.warnings
    assert f"### Warnings\n\n- ⚠️ {warning.sentence} (`{warning.code}`)" in markdown_report(run, judgement)
    assert f"\nWarnings:\n  {warning.sentence} ({warning.code})\n" in verdict_table(judgement)
    assert warning.code not in markdown_report(run, judgement).split("### Why", 1)[-1].split("###", 1)[0]


def test_a_warning_is_in_parentheses(bad: Judged) -> None:
    text = markdown_report(*bad)
    [line] = [line for line in text.splitlines() if "PB-L-15" in line]
    assert line.startswith(f"| ({SIGNS[Verdict.PASS]}) |")


def test_rows_of_a_markdown_table_have_its_columns_whatever_is_in_them(evil: Judged) -> None:
    lines = markdown_report(*evil).splitlines()
    columns = None
    rows = 0
    for line in lines:
        if not line.startswith("|"):
            columns = None
            continue
        found = unescaped(line, "|") - 1
        columns = columns or found
        assert found == columns, line
        rows += 1
    assert rows >= 2 + 5 + 2 + 1, "two tables, with five budgets and a fault"


def test_hostile_text_stays_text_in_markdown(evil: Judged) -> None:
    text = markdown_report(*evil)
    assert "script" in text, "it is shown"
    for line in text.splitlines():
        assert unescaped(line, "<") == 0, line
        assert unescaped(line, "[") == 0, line
        assert unescaped(line, "$") == 0, line
        assert len(re.findall(r"(?<!\\)`", line)) % 2 == 0, f"a code span does not end: {line}"
    assert "second line" in text
    assert not any(line.lstrip().startswith("second line") for line in text.splitlines())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_markdown_has_no_more_lines_for_hostile_text(evil: Judged, tmp_path: Path) -> None:
    """A line break in a title begins no new paragraph, list or heading."""
    text = markdown_report(*evil)
    allowed = ("## ", "### ", "| ", "|---", "- ", "`")
    run, _ = evil
    for number, line in enumerate(text.splitlines()):
        assert number == 2 or not line or line.startswith(allowed), line
    assert run.manifest.plan_title == HOSTILE


# --- JUnit ---


def parsed(run: Run, judgement: Judgement) -> ElementTree.Element:
    root = ElementTree.fromstring(junit_report(run, judgement).encode())
    assert root.tag == "testsuites"
    [suite] = root
    return suite


@pytest.mark.parametrize("make", [healthy, spoilt, unrecovered, hostile])
def test_junit_counts_its_cases(tmp_path: Path, make: object) -> None:
    assert callable(make)
    run, judgement = judged(make(), tmp_path)
    suite = parsed(run, judgement)
    cases = suite.findall("testcase")
    assert suite.get("tests") == str(len(cases))
    assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
    assert suite.get("errors") == str(len(suite.findall("testcase/error")))
    assert suite.get("skipped") == "0"
    shown = [check for check in judgement.checks if check.applies]
    assert len(cases) == len(judgement.budgets) + len(shown)


def test_junit_tells_fail_from_what_cannot_be_said(bad: Judged) -> None:
    run, judgement = bad
    kinds = {Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "error", Verdict.PASS: None}
    expected = {f"{r.budget.id} {r.budget.title}": kinds[r.verdict] for r in judgement.budgets}
    expected |= {check.title: kinds[check.verdict] for check in judgement.checks if check.applies}
    assert set(expected.values()) == {"failure", "error", None}, "the run has all three"
    found = {
        case.get("name"): next((child.tag for child in case if child.tag in ("failure", "error")), None)
        for case in parsed(run, judgement).findall("testcase")
    }
    assert found == expected


def test_junit_carries_code_sentence_and_evidence(bad: Judged) -> None:
    run, judgement = bad
    [fork] = [check for check in judgement.checks if check.name == "invariant.no_fork"]
    [case] = [case for case in parsed(run, judgement).findall("testcase") if case.get("name") == fork.title]
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("type") == "fork.own_state"
    assert failure.get("message") == fork.reasons[0].sentence
    assert "blocks.parquet row " in (failure.text or "")


def test_a_warning_that_is_not_met_fails_no_pipeline(tmp_path: Path) -> None:
    run = healthy(budgets=("PB-L-15",))
    for row in run.of("tx.submit"):
        row["latency_ms"] = 900.0
    opened, judgement = judged(run, tmp_path)
    assert judgement.budgets[0].verdict is Verdict.FAIL
    suite = parsed(opened, judgement)
    assert suite.get("failures") == suite.get("errors") == "0"
    [case] = [case for case in suite.findall("testcase") if "PB-L-15" in (case.get("name") or "")]
    assert "900 ms" in (case.findtext("system-out") or "")


def test_junit_of_hostile_text_is_xml_without_control_characters(evil: Judged) -> None:
    text = junit_report(*evil)
    suite = parsed(*evil)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", text)
    assert "<script" not in text
    names = [case.get("name") or "" for case in suite.findall("testcase")]
    assert any("<script>alert('x')</script>" in name and "\ufffd" in name for name in names), "it is shown as text"


def test_junit_tells_run_verdict_and_time(good: Judged) -> None:
    suite = parsed(*good)
    properties = {item.get("name"): item.get("value") for item in suite.findall("properties/property")}
    assert properties == {"run": good[1].run_id, "verdict": "PASS"}
    # Started 2 s before the baseline, ended 1 s after the drain of a run of 30 s.
    assert suite.get("time") == "33.000"


def test_junit_of_a_run_without_an_end(tmp_path: Path) -> None:
    run = healthy()
    run.manifest = replace(run.manifest, ended_at_s=None)
    assert parsed(*judged(run, tmp_path)).get("time") == "0.000"


# --- all forms ---


def test_each_form_is_rendered_by_name(bad: Judged) -> None:
    run, judgement = bad
    assert render(run, judgement, "markdown") == markdown_report(run, judgement)
    assert render(run, judgement, "junit") == junit_report(run, judgement)
    assert render(run, judgement, "html").startswith("<!doctype html>")
    assert render(run, judgement, "json").startswith("{\n")
    with pytest.raises(KeyError):
        render(run, judgement, "pdf")


@pytest.mark.slow
def test_reports_are_written_beside_the_run_and_leave_it_whole(tmp_path: Path) -> None:
    root = healthy().write(tmp_path)
    run, judgement = judge(root)
    write_reports(run, judgement)
    for name, form in {
        "verdict.json": "json",
        "report.html": "html",
        "report.md": "markdown",
        "junit.xml": "junit",
    }.items():
        assert (root / name).read_text(encoding="utf-8") == render(run, judgement, form)
    assert judge(root)[1].verdict is Verdict.PASS
