"""What is said against a run, in a form that tests can compare."""

from __future__ import annotations

from analysis.judge import Judgement
from analysis.verdict import Verdict


def codes(judgement: Judgement) -> set[str]:
    """Return the reason codes of all checks; those of budgets follow from them and are looked at elsewhere."""
    return {reason.code for check in judgement.checks for reason in check.reasons}


def against(judgement: Judgement) -> set[str]:
    """Return the names of the checks that did not pass."""
    return {check.name for check in judgement.checks if check.verdict is not Verdict.PASS}


def taints(judgement: Judgement) -> set[str]:
    """Return the sources of data that no budget may rest on."""
    return {str(source) for check in judgement.checks for source in check.taints}


def budget_verdicts(judgement: Judgement) -> dict[str, Verdict]:
    return {result.budget.id: result.verdict for result in judgement.budgets}


def sentences(judgement: Judgement, code: str) -> list[str]:
    """Return the sentences of a code, of checks and budgets."""
    return [reason.sentence for _, _, reason in judgement.reasons() if reason.code == code]
