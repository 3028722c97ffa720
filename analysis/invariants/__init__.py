"""What must hold on any chain at any time, whatever the budgets: one module an invariant."""

from analysis.fault_story import FaultStory
from analysis.invariants.fork import no_fork
from analysis.invariants.standing import nobody_left_behind
from analysis.invariants.supply import supply_accounted_for
from analysis.invariants.transfers import transfers_exactly_once
from analysis.run import Run
from analysis.verdict import Check


def check_invariants(run: Run, faults: tuple[FaultStory, ...]) -> list[Check]:
    """Return the checks of every invariant."""
    return [
        no_fork(run),
        nobody_left_behind(run, faults),
        transfers_exactly_once(run),
        supply_accounted_for(run),
    ]


__all__ = ["check_invariants"]
