"""Did the experiments' steady-state hypotheses hold, before the fault and after it?

From the journals' own record of each hypothesis. Neither a journal's status nor an exit code is believed: both
are "completed" and 0 when a fault was never injected.
"""

from __future__ import annotations

from analysis.run import Run
from analysis.verdict import Check, Evidence, Reason, Verdict

_NAME, _TITLE = "experiments.hypothesis", "The steady state held before and after each fault"


def hypotheses_held(run: Run) -> Check:
    """Return the check: FAIL when the steady state did not come back, INCONCLUSIVE when it was not there before."""
    if not run.manifest.faults:
        return Check(name=_NAME, title=_TITLE, verdict=Verdict.PASS, summary="the plan has no fault", applies=False)
    broken, unclear = [], []
    for journal in run.chaos_journals:
        evidence = (Evidence(file=journal.file),)
        if journal.hypothesis_met_before is not True:
            sentence = f"{journal.file}: the steady state was not there before the fault"
            unclear.append(Reason(code="experiment.no_steady_state", sentence=sentence, evidence=evidence))
        elif journal.hypothesis_met_after is False:
            sentence = f"{journal.file}: the steady state did not come back after the fault"
            broken.append(Reason(code="experiment.deviated", sentence=sentence, evidence=evidence))
        elif journal.hypothesis_met_after is None:
            sentence = (
                f"{journal.file}: ended {journal.status} before it was found out whether the steady state came back"
            )
            unclear.append(Reason(code="experiment.unfinished", sentence=sentence, evidence=evidence))
    missing = len(run.manifest.faults) - len(run.chaos_journals)
    if missing > 0:
        sentence = f"{missing} of {len(run.manifest.faults)} experiments left no journal"
        unclear.append(Reason(code="experiment.no_journal", sentence=sentence, evidence=(Evidence(file="journals"),)))
    verdict = Verdict.FAIL if broken else Verdict.INCONCLUSIVE if unclear else Verdict.PASS
    reasons = (*broken, *unclear)
    summary = reasons[0].sentence if reasons else f"{len(run.chaos_journals)} of {len(run.manifest.faults)} experiments"
    return Check(name=_NAME, title=_TITLE, verdict=verdict, summary=summary, reasons=reasons)
