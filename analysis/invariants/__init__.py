"""What must hold on any chain at any time, whatever the budgets: one module an invariant."""

from analysis.fault_story import FaultStory
from analysis.guard import guarded
from analysis.indicator import Source
from analysis.invariants.fork import no_fork
from analysis.invariants.standing import nobody_left_behind
from analysis.invariants.supply import supply_accounted_for
from analysis.invariants.transfers import transfers_exactly_once
from analysis.run import Run
from analysis.verdict import Check


def check_invariants(run: Run, faults: tuple[FaultStory, ...] | None) -> list[Check]:
    """Return the checks of every invariant; `faults` is None where it is not known what became of them."""
    return [
        guarded("invariant.no_fork", lambda: no_fork(run)),
        guarded("invariant.nobody_left_behind", lambda: nobody_left_behind(run, faults)),
        guarded("invariant.transfers", lambda: transfers_exactly_once(run), taints=(Source.TRANSACTIONS,)),
        guarded("invariant.supply", lambda: supply_accounted_for(run)),
    ]


__all__ = ["check_invariants"]
