"""The verdict as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.budget import Severity
from analysis.judge import Judgement
from reports.wording import interval, limit, measured, plain, share

_REASONS_SHOWN = 12


def verdict_table(judgement: Judgement) -> str:
    """Return the verdict, budgets, checks and reasons as plain text."""
    rows = [("budget", "", "measured", "95 % interval", "limit", "used", "verdict")]
    for result in judgement.budgets:
        budget = result.budget
        word = result.verdict.value if budget.severity is Severity.GATE else f"({result.verdict.value})"
        rows.append(
            (
                plain(budget.id),
                plain(budget.title),
                plain(measured(result)),
                plain(interval(result.estimate, budget.unit)),
                plain(limit(budget)),
                share(result.used_ratio),
                word,
            )
        )
    lines = [_aligned(rows), ""]
    for check in judgement.checks:
        word = check.verdict.value if check.applies else "n/a"
        lines.append(f"{word:<13} {plain(check.title)}: {plain(check.summary)}")
    if judgement.warnings:
        lines += ["", "Warnings:", *(f"  {plain(f'{item.sentence} ({item.code})')}" for item in judgement.warnings)]
    reasons = judgement.reasons()
    if reasons:
        lines += ["", "Why:"]
        for what, verdict, reason in reasons[:_REASONS_SHOWN]:
            where = f" [{', '.join(str(item) for item in reason.evidence[:3])}]" if reason.evidence else ""
            told = plain(f"{what}: {reason.sentence} ({reason.code}){where}")
            lines.append(f"  {verdict.value:<13} {told}")
        if len(reasons) > _REASONS_SHOWN:
            lines.append(f"  … and {len(reasons) - _REASONS_SHOWN} more in the report")
    lines += ["", f"{judgement.verdict.value}: {plain(judgement.headline)}"]
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
