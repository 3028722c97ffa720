"""The verdict as Markdown for a pull request or a step summary."""

from __future__ import annotations

from analysis.budget import Severity
from analysis.judge import Judgement
from analysis.run import Run
from analysis.verdict import Verdict
from reports.wording import (
    chain_code,
    duration,
    fate_title,
    interval,
    limit,
    measured,
    moment,
    number,
    percent,
    plain,
    share,
    truth_note,
)

SIGNS = {Verdict.PASS: "✅", Verdict.INCONCLUSIVE: "❔", Verdict.FAIL: "❌"}


def markdown_report(run: Run, judgement: Judgement) -> str:
    """Return the report as Markdown."""
    manifest = run.manifest
    lines = [
        f"## {SIGNS[judgement.verdict]} {judgement.verdict.value}: {_escape(judgement.plan_title)}",
        "",
        _escape(judgement.headline),
        "",
        f"{_code(judgement.run_id)} · {moment(manifest.started_at_s)} · target {_code(manifest.target.name)}"
        f" ({_escape(manifest.target.environment)}, {_code(manifest.target.chain_id)})",
        "",
        *_reasons(judgement),
        *_warnings(judgement),
        *_budgets(judgement),
        *_faults(judgement),
        *_checks(judgement),
        *_transactions(judgement),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _reasons(judgement: Judgement) -> list[str]:
    lines = []
    for what, verdict, reason in judgement.reasons():
        where = f" – {', '.join(_code(str(item)) for item in reason.evidence[:3])}" if reason.evidence else ""
        lines.append(
            f"- {SIGNS[verdict]} **{_escape(what)}**: {_escape(reason.sentence)} ({_code(reason.code)}){where}"
        )
    return ["### Why", "", *lines, ""] if lines else []


def _warnings(judgement: Judgement) -> list[str]:
    lines = [f"- ⚠️ {_escape(reason.sentence)} ({_code(reason.code)})" for reason in judgement.warnings]
    return ["### Warnings", "", *lines, ""] if lines else []


def _budgets(judgement: Judgement) -> list[str]:
    lines = ["### Budgets", "", "| | budget | measured | 95 % interval | limit | used |", "|---|---|---|---|---|---|"]
    for result in judgement.budgets:
        budget = result.budget
        sign = SIGNS[result.verdict] if budget.severity is Severity.GATE else f"({SIGNS[result.verdict]})"
        cells = (measured(result), interval(result.estimate, budget.unit), limit(budget), share(result.used_ratio))
        told = " | ".join(_escape(cell) for cell in (f"{budget.id} {budget.title}", *cells))
        lines.append(f"| {sign} | {told} |")
    return [*lines, ""]


def _faults(judgement: Judgement) -> list[str]:
    if not judgement.faults:
        return []
    lines = ["### Faults", "", "| fault | targets | effect | target recovered | next block |", "|---|---|---|---|---|"]
    for fault in judgement.faults:
        target = duration(fault.target_recovery.value_s if fault.target_recovery else None)
        chain = duration(fault.chain_recovery.value_s if fault.chain_recovery else None)
        cells = (fault.fault, ", ".join(fault.targets), fault.effect or "not seen", target, chain)
        lines.append(f"| {' | '.join(_escape(cell) for cell in cells)} |")
    return [*lines, ""]


def _checks(judgement: Judgement) -> list[str]:
    lines = ["### Checks", ""]
    for check in judgement.checks:
        sign = SIGNS[check.verdict] if check.applies else "–"
        lines.append(f"- {sign} {_escape(check.title)}: {_escape(check.summary)}")
    return lines


def _transactions(judgement: Judgement) -> list[str]:
    truth = judgement.transactions
    if truth is None:
        return []
    lines = ["", "### What became of the transactions", "", "| state | code | count | share | for example |"]
    lines.append("|---|---|---|---|---|")
    for fate in truth.fates:
        cells = (fate_title(fate), chain_code(fate), number(fate.count), percent(fate.share_ratio), fate.example or "–")
        lines.append(f"| {' | '.join(_escape(cell) for cell in cells)} |")
    return [*lines, "", f"- {_escape(truth_note(truth))}"]


def _escape(text: str) -> str:
    """Return text that stays text in a Markdown table."""
    text = plain(text)
    for char in "\\`*_[]<>|~$":
        text = text.replace(char, "\\" + char)
    return text


def _code(text: str) -> str:
    """Return a code span, outside of tables; a backtick in it would end it."""
    return f"`{plain(text).replace('`', '’')}`"
