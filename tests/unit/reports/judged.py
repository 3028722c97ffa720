"""Judged runs for the tests of reports: a good one, a bad one, and one that is full of hostile text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.judge import Judgement, judge
from analysis.run import Run
from bundle import ErrorKind, FaultEventKind, Rejection
from tests.bundles import (
    NODES,
    START_AT_S,
    SyntheticRun,
    compute_otherwise,
    fail_child,
    failed,
    healthy,
    sample,
)

Judged = tuple[Run, Judgement]

HOSTILE = (
    "a|b <script>alert('x')</script> `code` *bold* [link](http://evil.example) & \"q\" $\\frac$ \u202etxt.exe"
    "\nsecond line\x00\x1b[31m $x$"
)
"""Text that means something to each format that it may end up in."""


def judged(run: SyntheticRun, folder: Path) -> Judged:
    return judge(run.write(folder))


def spoilt() -> SyntheticRun:
    """A run of which all can be said: budgets failed, met and without data, a warning, checks of all three verdicts."""
    run = healthy(budgets=("PB-L-02", "PB-L-03", "PB-L-15", "RT-PARTITION-RECOVERY", "CE-NO-BLOCK"))
    run.budgets = tuple(replace(b, limit=50.0) if b.id == "PB-L-02" else b for b in run.budgets)
    compute_otherwise(run, 20, NODES[1])
    run.balances.pop()
    return run


def unrecovered() -> SyntheticRun:
    """A run whose node never comes back: infinities in budgets, faults and intervals."""
    run = healthy(budgets=("PB-L-03", "RT-NODE-RECOVERY"))
    for row in run.probes:
        if row["endpoint"] == NODES[3] and row["at_s"] > START_AT_S + 12:
            row.update(ok=False, height=None, catching_up=None)
    return run


def hostile() -> SyntheticRun:
    """A run in which every text that comes from outside is hostile."""
    run = spoilt()
    fail_child(run, "observers", 1)
    run.manifest = replace(
        run.manifest,
        plan_title=HOSTILE,
        plan_name=HOSTILE,
        hypothesis=HOSTILE,
        end_reason=HOSTILE,
        target=replace(run.manifest.target, name=HOSTILE, environment=HOSTILE, chain_id=HOSTILE, app_version=HOSTILE),
        children=tuple(replace(child, note=HOSTILE) for child in run.manifest.children),
        versions={HOSTILE: HOSTILE},
        host={HOSTILE: HOSTILE},
        git_revision=HOSTILE,
    )
    run.budgets = tuple(
        replace(b, title=HOSTILE, source=HOSTILE, note=HOSTILE, unit="a|b<i>" if b.unit == "s" else b.unit)
        for b in run.budgets
    )
    run.faults = [
        replace(event, evidence=HOSTILE) if event.event is not FaultEventKind.PLANNED else event for event in run.faults
    ]
    run.rows[0].update(failed("fail", ErrorKind.SERVER_ERROR, HOSTILE), operation=HOSTILE)
    # The chain and a node name codespaces as they like; so are hashes, to whoever made the bundle.
    run.transactions[5].update(code=7, codespace=HOSTILE)
    refused = failed("fail", ErrorKind.CLIENT_ERROR, HOSTILE, rejection=Rejection.CHECK_TX, codespace=HOSTILE, code=3)
    run.of("tx.submit")[9].update(refused, tx_hash=HOSTILE)
    return run


def contradictory() -> SyntheticRun:
    """A run in which a transaction was refused and is in a block all the same, beside others that ended badly."""
    run = healthy()
    submits = run.of("tx.submit")
    limit = {"rejection": Rejection.RATE_LIMIT, "codespace": "ratelimit", "code": 1}
    submits[3].update(failed("fail", ErrorKind.BACK_PRESSURE, "ratelimit/1", **limit))
    run.transactions[5].update(code=5, codespace="sdk")
    at_s = run.load_start_at_s + 1
    run.rows.append(sample(at_s, "tx.submit", "TX", 5.0, tx_hash="MUTE") | failed("unknown", ErrorKind.TIMEOUT, "mute"))
    run.rows.append(sample(at_s, "tx.submit", "TX", 5.0, tx_hash="LOST"))
    return run
