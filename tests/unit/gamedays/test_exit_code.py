"""Exit codes are an interface: scripts rely on their numbers."""

from __future__ import annotations

import pytest

from analysis.verdict import Verdict
from gamedays.exit_code import ExitCode, of_verdict


def test_the_numbers() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "PASS": 0,
        "BUDGET_FAILED": 1,
        "USAGE": 2,
        "INCONCLUSIVE": 3,
        "REFUSED": 4,
        "HARNESS_ERROR": 5,
    }


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_its_own(verdict: Verdict) -> None:
    expected = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}
    assert of_verdict(verdict) == expected[verdict.value]
    assert (of_verdict(verdict) == 0) == (verdict is Verdict.PASS)
