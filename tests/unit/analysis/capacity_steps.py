"""Steps of a capacity search, without the runs behind them."""

from __future__ import annotations

from analysis.load_step import LoadStep, Pressure, StepBudget
from analysis.rate_search import Outcome
from analysis.verdict import Verdict


def pressure(**known: float) -> Pressure:
    """Return what was watched; a machine of two cores."""
    return Pressure(
        machine_cores=2,
        machine_load=known.get("load"),
        target_cores=known.get("cores"),
        busiest_process="validator-1" if "cores" in known else None,
        busiest_cores=known["cores"] / 4 if "cores" in known else None,
        generator_cores=known.get("generator"),
        memory_ratio=known.get("memory"),
        mempool_growth_per_s=known.get("mempool"),
        block_interval_s=known.get("block"),
    )


def budget(id_: str, value: float, limit: float, *, broken: bool) -> StepBudget:
    return StepBudget(
        id=id_,
        title=f"Budget {id_}",
        unit="ms",
        value=value,
        limit=limit,
        used_ratio=value / limit,
        is_broken=broken,
    )


def step(
    number: int,
    rate_per_s: float,
    outcome: Outcome,
    *budgets: StepBudget,
    found: Pressure | None = None,
    why: str = "",
) -> LoadStep:
    """Return a step that was offered its rate exactly."""
    return LoadStep(
        number=number,
        rate_per_s=rate_per_s,
        outcome=outcome,
        verdict=Verdict.FAIL if outcome is Outcome.GAVE_WAY else Verdict.PASS,
        why=why,
        offered_per_s=rate_per_s,
        done_per_s=rate_per_s * 0.9,
        p95_ms=1234.5,
        budgets=budgets,
        pressure=found or pressure(),
        bundle=f"bundle-{number}",
    )
