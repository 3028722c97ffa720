"""What `gameday` ends with, so that a script can tell a bad target from a bad run and from a bad command."""

from __future__ import annotations

from enum import IntEnum

from analysis.verdict import Verdict


class ExitCode(IntEnum):
    """Exit codes of every `gameday` command."""

    PASS = 0
    BUDGET_FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    REFUSED = 4
    """Refused as unsafe: nothing was broken."""
    HARNESS_ERROR = 5


def of_verdict(verdict: Verdict) -> ExitCode:
    """Return the exit code of a verdict."""
    return {
        Verdict.PASS: ExitCode.PASS,
        Verdict.FAIL: ExitCode.BUDGET_FAILED,
        Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    }[verdict]
