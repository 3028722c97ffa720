"""The verdict as JUnit XML: one test case a budget and a check.

FAIL is a failure, INCONCLUSIVE an error: a pipeline must not take "we do not know" for a pass or a skip.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from analysis.budget import Severity
from analysis.judge import Judgement
from analysis.run import Run
from analysis.verdict import Reason, Verdict
from reports.wording import interval, limit, measured

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_report(run: Run, judgement: Judgement) -> str:
    """Return the report as JUnit XML."""
    cases: list[ElementTree.Element] = []
    for result in judgement.budgets:
        budget = result.budget
        text = f"{measured(result)} ({interval(result.estimate, budget.unit)}); limit {limit(budget)}"
        case = _case("budgets", f"{budget.id} {budget.title}", result.verdict, result.reasons, text)
        if budget.severity is Severity.WARN:
            case = _case("budgets (warning)", f"{budget.id} {budget.title}", Verdict.PASS, (), text)
        cases.append(case)
    for check in judgement.checks:
        if check.applies:
            cases.append(_case("checks", check.title, check.verdict, check.reasons, check.summary))
    seconds = (run.manifest.ended_at_s or run.manifest.started_at_s) - run.manifest.started_at_s
    suite = ElementTree.Element(
        "testsuite",
        name=_text(judgement.plan_name),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped="0",
        time=f"{seconds:.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("run", judgement.run_id), ("verdict", judgement.verdict.value)):
        ElementTree.SubElement(properties, "property", name=name, value=_text(value))
    suite.extend(cases)
    root = ElementTree.Element("testsuites", name="gameday")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(group: str, name: str, verdict: Verdict, reasons: tuple[Reason, ...], output: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"gameday.{group}", name=_text(name), time="0")
    if verdict is not Verdict.PASS:
        kind = "failure" if verdict is Verdict.FAIL else "error"
        first = reasons[0] if reasons else Reason(code="unknown", sentence="no reason was given")
        element = ElementTree.SubElement(case, kind, type=_text(first.code), message=_text(first.sentence))
        element.text = _text("\n".join(_line(reason) for reason in reasons))
    ElementTree.SubElement(case, "system-out").text = _text(output)
    return case


def _line(reason: Reason) -> str:
    return f"{reason.code}: {reason.sentence} {[str(item) for item in reason.evidence]}"


def _text(text: str) -> str:
    """Return text without the characters that XML has no place for."""
    return _NOT_XML.sub("\ufffd", text)
