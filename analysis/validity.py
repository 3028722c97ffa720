"""Can this run be judged at all? Checks of the run itself, before anything is held against a budget.

None of these says that the target is bad: what fails here is INCONCLUSIVE, and taints the data it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import pandas as pd

from analysis.clocks import drifts_s, moved_s
from analysis.fault_story import FaultStory
from analysis.generator import generator_reasons, generator_summary
from analysis.guard import guarded
from analysis.indicator import Source
from analysis.run import LocustCount, Run
from analysis.verdict import Check, Evidence, Reason, Verdict
from analysis.workers import lost_workers, worker_reasons, worker_summary
from bundle import (
    BLOCKS,
    GENERATOR,
    PROBES,
    RESOURCES,
    SAMPLES,
    TRANSACTIONS,
    ErrorKind,
    ExpectedLoad,
    RunEnd,
)
from bundle.tables import NO_FAILURE_KINDS

OFFERED_AT_LEAST = 0.99
"""Share of the intended load that must have been offered (peers.md E4: under-send above 1 % is inconclusive)."""
GAP_PERIODS = 5
GAP_AT_LEAST_S = 2.5
"""A watch has a gap when two looks are further apart than this, or five periods: a look may take a second by itself."""
STATUS_GAP_AT_LEAST_S = 4.5
"""The same for a node's status: peers and mempool are asked for in between, each of which may take a second more."""
CLOCK_JUMP_S = 0.1
HELD_AT_LEAST = 0.99
"""Share of its planned time that a fault must have lasted, from its effect to its undo."""
_SURELY_SEEN = 10
_SHOWN = 5

_TABLE_SOURCES = {
    SAMPLES: Source.SAMPLES,
    BLOCKS: Source.BLOCKS,
    TRANSACTIONS: Source.TRANSACTIONS,
    PROBES: Source.PROBES,
    RESOURCES: Source.RESOURCES,
    GENERATOR: Source.SAMPLES,
}


def check_validity(run: Run, faults: tuple[FaultStory, ...]) -> list[Check]:
    """Return the checks in the order in which a reader should meet them."""
    asks: dict[str, Callable[[], Check]] = {
        "bundle.whole": lambda: _bundle_whole(run),
        "run.complete": lambda: _run_complete(run),
        "clock.steady": lambda: _clock_steady(run),
        "watch.gapless": lambda: _watch_without_gap(run),
        "load.workers": lambda: _workers_stayed(run),
        "load.offered": lambda: _load_offered(run),
        "load.counts": lambda: _counts_equal(run),
        "load.generator": lambda: _generator_kept_up(run),
        "faults.proved": lambda: _faults_proved(run, faults),
    }
    return [guarded(name, ask, taints=Source) for name, ask in asks.items()]


def _check(
    name: str, title: str, reasons: list[Reason], summary: str, *, taints: Iterable[Source] = (), applies: bool = True
) -> Check:
    """Return a check that passes when there is no reason against it."""
    verdict = Verdict.INCONCLUSIVE if reasons else Verdict.PASS
    return Check(
        name=name,
        title=title,
        verdict=verdict,
        summary=reasons[0].sentence if reasons else summary,
        reasons=tuple(reasons),
        taints=tuple(sorted(taints)) if reasons else (),
        applies=applies,
    )


def _bundle_whole(run: Run) -> Check:
    reasons = [
        Reason(
            code=f"bundle.{item.kind}",
            sentence=f"{item.file} is {item.kind}: {item.detail}",
            evidence=(Evidence(file=item.file),),
        )
        for item in run.damage
    ]
    tainted = {source for table, source in _TABLE_SOURCES.items() if run.is_damaged(table)}
    if {run.layout.manifest.name, run.layout.fault_journal.name} & {item.file for item in run.damage}:
        tainted = set(Source)  # which moments count, or whether rows are missing, is not known
    files = len(run.manifest.seal.files) if run.manifest.seal else 0
    return _check("bundle.whole", "The bundle is what was sealed", reasons, f"{files} files as sealed", taints=tainted)


def _run_complete(run: Run) -> Check:
    manifest = run.manifest
    reasons = []
    if manifest.end is not RunEnd.COMPLETED:
        why = manifest.end_reason or "the conductor ended before the run did"
        sentence = f"the run ended {manifest.end}: {why}"
        reasons.append(Reason(code=f"run.{manifest.end}", sentence=sentence, evidence=(_manifest(run),)))
    for child in manifest.children:
        if child.exit_code != 0:
            ended = "had to be killed" if child.exit_code is None else f"ended with code {child.exit_code}"
            note = f" ({child.note})" if child.note else ""
            reasons.append(
                Reason(
                    code="run.child_failed",
                    sentence=f"{child.name} {ended}{note}",
                    evidence=(Evidence(file=f"logs/{child.name}.log"),),
                )
            )
    summary = "every part ran to its end"
    return _check("run.complete", "The run came to its end", reasons, summary, taints=(Source.LOAD,))


def _clock_steady(run: Run) -> Check:
    moved = moved_s(run.manifest.clocks)
    reasons = []
    if moved > CLOCK_JUMP_S:
        sentence = f"the wall clock jumped by {moved:.3f} s during the run: times before and after do not fit together"
        reasons.append(Reason(code="clock.jumped", sentence=sentence, evidence=(_manifest(run),)))
    for part, drift_s in sorted(drifts_s(run.manifest.clocks).items()):
        if drift_s > CLOCK_JUMP_S:
            sentence = f"the clock of {part} moved by {drift_s:.3f} s against the master's during the run"
            reasons.append(Reason(code="clock.drifted", sentence=sentence, evidence=(_manifest(run),)))
    shifted = [f"{part}'s times were moved by {by_s:+.3f} s" for part, by_s in sorted(run.clock_shifts_s.items())]
    summary = "; ".join([f"wall and monotonic clock moved {moved * 1000:.1f} ms apart", *shifted])
    every = (Source.SAMPLES, Source.BLOCKS, Source.PROBES, Source.TRANSACTIONS)
    return _check("clock.steady", "The clock was steady", reasons, summary, taints=every)


def _watch_without_gap(run: Run) -> Check:
    """Every endpoint was looked at from the baseline to the end of the load, without a gap, and every block was seen.

    A node is looked at in two ways, its health and its status; heights and recoveries rest on the second.
    """
    start, end = _watched_span(run)
    reasons: list[Reason] = []
    if end <= start:
        sentence = "no phase was run, so nothing was watched"
        reasons.append(Reason(code="watch.nothing", sentence=sentence, evidence=(_manifest(run),)))
    periods_s = GAP_PERIODS * run.manifest.probe_period_s
    limits_s = {"health": max(GAP_AT_LEAST_S, periods_s), "status": max(STATUS_GAP_AT_LEAST_S, periods_s)}
    target = run.manifest.target
    looks: list[tuple[str, str, tuple[str, ...]]] = [(name, "node", ("health", "status")) for name in target.node_names]
    looks += [(name, "provider", ("health",)) for name in target.provider_names]
    probes = run.probes[(run.probes["at_s"] >= start) & (run.probes["at_s"] < end)]
    for endpoint, kind, ways in looks:
        # By kind as well: a node's API entrance has the same name and looks of its own.
        own = probes[(probes["endpoint"] == endpoint) & (probes["kind"] == kind)].sort_values("at_s")
        each = [_gaps(run, endpoint, way, own[own["probe"] == way], (start, end), limits_s[way]) for way in ways]
        reasons += next((found for found in each if found), [])
    reasons += _heights_missing(run)
    summary = f"every endpoint was looked at at least every {limits_s['health']:.1f} s"
    return _check(
        "watch.gapless", "The watch had no gap", reasons[:_SHOWN], summary, taints=(Source.PROBES, Source.BLOCKS)
    )


def _watched_span(run: Run) -> tuple[float, float]:
    """Return from the baseline's start to the load's end; empty when there was no load."""
    first, load = run.manifest.phase("baseline"), run.manifest.phase("load")
    if first is None or load is None or load.end_at_s is None:
        return (0.0, 0.0)
    return (first.start_at_s, load.end_at_s)


def _gaps(
    run: Run, endpoint: str, way: str, rows: pd.DataFrame, span: tuple[float, float], limit_s: float
) -> list[Reason]:
    """Return a reason for the first stretch of the span in which nobody looked at an endpoint in this way."""
    times = [span[0], *rows["at_s"].to_list(), span[1]]
    numbers = rows["row"].to_list()
    found = []
    for place, (before, after) in enumerate(pairwise(times)):
        if after - before > limit_s:
            row = int(numbers[place - 1]) if 0 < place <= len(numbers) else None
            what = endpoint if way == "health" else f"{endpoint}'s {way}"
            sentence = f"{what} was not looked at for {after - before:.1f} s; expected at most {limit_s:.1f} s"
            evidence = (Evidence(file=run.file_of(PROBES), row=row),)
            found.append(Reason(code="watch.gap", sentence=sentence, evidence=evidence))
    return found[:1]


def _heights_missing(run: Run) -> list[Reason]:
    """Return a reason when there is a height between the first and the last block seen that no node was seen with."""
    seen = run.blocks["height"].drop_duplicates().sort_values()
    # Nothing seen is told by the table, and by every budget that rests on it.
    skipped = seen.diff() - 1
    missing = int(skipped.sum())
    if missing == 0:
        return []
    first = int(seen[skipped > 0].iloc[0] - skipped[skipped > 0].iloc[0])
    sentence = f"{missing} heights were seen on no node, the first of them {first}"
    return [Reason(code="watch.heights_missing", sentence=sentence, evidence=(Evidence(file=run.file_of(BLOCKS)),))]


def _workers_stayed(run: Run) -> Check:
    """Every process of the load began in time and was there to the end."""
    title = "Every load process was there all the time"
    if len(run.manifest.workers) < 2 or run.manifest.phase("load") is None:
        return _check("load.workers", title, [], "the load is one process, or there was none", applies=False)
    reasons = worker_reasons(run)
    summary = "" if reasons else worker_summary(run)
    return _check("load.workers", title, reasons, summary, taints=(Source.LOAD, Source.SAMPLES))


def _load_offered(run: Run) -> Check:
    """Every load that the plan asked for was offered to at least 99 %."""
    load = run.manifest.phase("load")
    reasons, parts = [], []
    for expected in run.manifest.loads:
        if load is None or load.end_at_s is None:
            code = "load.not_started" if load is None else "load.unfinished"
            happened = "never began" if load is None else "was under way when the run died"
            sentence = f"the load {expected.scenario} {happened}"
            reasons.append(Reason(code=code, sentence=sentence, evidence=(_manifest(run),)))
            continue
        intended = expected.rate_per_s * (load.end_at_s - load.start_at_s)
        offered, kept_back = _offered(run, expected)
        parts.append(
            f"{expected.scenario} {f'{offered} of {intended:.0f}' if _is_scheduled(expected) else 'as it came'}"
        )
        if _is_scheduled(expected) and offered < OFFERED_AT_LEAST * intended:
            held = f", {kept_back} were not sent for want of a free user, account or endpoint" if kept_back else ""
            sentence = (
                f"{expected.scenario} offered {offered} operations of {intended:.0f}{held};"
                f" expected at least {OFFERED_AT_LEAST:.0%}"
            )
            code = "load.nothing_offered" if offered == 0 else "load.under_offered"
            reasons.append(Reason(code=code, sentence=sentence, evidence=(Evidence(file=SAMPLES.path),)))
        silent = _missing_operations(run, expected, load.end_at_s - load.start_at_s)
        if silent:
            sentence = f"{expected.scenario} has no sample of {', '.join(silent)}"
            evidence = (Evidence(file=SAMPLES.path),)
            reasons.append(Reason(code="load.operation_missing", sentence=sentence, evidence=evidence))
    summary = "; ".join(parts) or "the plan has no load"
    return _check("load.offered", "The load was really offered", reasons, summary, taints=(Source.LOAD,))


def _is_scheduled(expected: ExpectedLoad) -> bool:
    return any(operation.scheduled for operation in expected.operations)


def _missing_operations(run: Run, expected: ExpectedLoad, seconds: float) -> list[str]:
    """Return the operations of which there is no sample though there must be some.

    One that is drawn at random may be absent from a short run by chance; from ten expected ones on it may not.
    """
    found = set(run.samples["operation"])
    return [
        operation.name
        for operation in expected.operations
        if operation.name not in found
        and (operation.rate_per_s is None or operation.rate_per_s * seconds >= _SURELY_SEEN)
    ]


def _offered(run: Run, expected: ExpectedLoad) -> tuple[int, int]:
    """Return (operations begun, operations that the generator could not begin) of a load's scheduled operations."""
    scheduled = [operation.name for operation in expected.operations if operation.scheduled]
    # An arrival of the open model that found no free user has no operation yet: it has the scenario's name.
    rows = run.samples[run.samples["operation"].isin([*scheduled, expected.scenario])]
    kept_back = int((rows["error_kind"] == ErrorKind.NOT_SENT.value).sum())
    return len(rows) - kept_back, kept_back


def _counts_equal(run: Run) -> Check:
    """Our samples are exactly what Locust counted, operation by operation.

    Of a worker that was lost, samples and Locust's reports end at different times: it is left out on both sides.
    """
    counts, lost = run.locust_counts, {worker.part for worker in lost_workers(run)}
    if not run.manifest.loads:
        return _check("load.counts", "Samples equal Locust's counts", [], "the plan has no load", applies=False)
    if not counts:
        sentence = "Locust left no statistics to compare the samples with"
        reasons = [Reason(code="load.no_statistics", sentence=sentence, evidence=(Evidence(file="logs/locust.json"),))]
        return _check("load.counts", "Samples equal Locust's counts", reasons, "", taints=(Source.SAMPLES,))
    samples = run.samples
    if lost:
        samples = samples[~samples["part"].isin(lost)]
        counts = _counts_without(run, lost)
    rows = samples.groupby("operation", observed=True).size()
    harmless = [kind.value for kind in NO_FAILURE_KINDS]
    bad = (
        samples[(samples["outcome"] != "ok") & ~samples["error_kind"].isin(harmless)]
        .groupby("operation", observed=True)
        .size()
    )
    reasons = []
    for name in sorted({*counts, *rows.index}):
        mine = (int(rows.get(name, 0)), int(bad.get(name, 0)))
        theirs = (counts[name].requests, counts[name].failures) if name in counts else (0, 0)
        if mine != theirs:
            sentence = (
                f"{name}: {mine[0]} samples with {mine[1]} failures;"
                f" Locust counted {theirs[0]} requests with {theirs[1]} failures"
            )
            evidence = (Evidence(file=SAMPLES.path), Evidence(file="logs/locust.json"))
            reasons.append(Reason(code="load.counts_differ", sentence=sentence, evidence=evidence))
    left_out = f"; without {', '.join(sorted(lost))}, whose last reports never came" if lost else ""
    summary = f"{len(samples)} samples of {len(rows)} operations, as Locust counted them{left_out}"
    return _check("load.counts", "Samples equal Locust's counts", reasons, summary, taints=(Source.SAMPLES,))


def _counts_without(run: Run, lost: set[str]) -> dict[str, LocustCount]:
    """Return Locust's counts of the workers that were not lost."""
    found: dict[str, LocustCount] = {}
    for part, operations in run.worker_counts.items():
        for name, count in operations.items() if part not in lost else ():
            so_far = found.get(name, LocustCount(requests=0, failures=0))
            found[name] = LocustCount(
                requests=so_far.requests + count.requests, failures=so_far.failures + count.failures
            )
    return found


def _generator_kept_up(run: Run) -> Check:
    """The generator kept to its schedule, so that latencies are the target's."""
    title = "The load generator kept up"
    if not run.manifest.loads or run.manifest.phase("load") is None:
        return _check("load.generator", title, [], "there was no load", applies=False)
    reasons = generator_reasons(run)
    summary = "" if reasons else generator_summary(run)
    return _check("load.generator", title, reasons, summary, taints=(Source.SAMPLES,))


def _faults_proved(run: Run, faults: tuple[FaultStory, ...]) -> Check:
    """Every fault that the plan asked for was applied, seen to take effect, undone, and seen to be gone.

    A recovery that never came is no matter of this check: the recovery budget fails by it.
    """
    reasons: list[Reason] = []
    unclaimed = list(faults)
    for expected in run.manifest.faults:
        mine = [fault for fault in unclaimed if set(fault.targets) == set(expected.targets)]
        applied = next((fault for fault in mine if fault.applied_at_s is not None), None)
        if applied is None:
            why = "; ".join(problem for fault in mine for problem in fault.problems) or "nothing in the fault journal"
            reasons.append(_fault_reason(run, "fault.not_applied", f"{expected.experiment} was not applied: {why}"))
            continue
        unclaimed.remove(applied)  # one lease proves one fault, though the plan may break the same target twice
        lasted_s = _lasted(applied)
        if lasted_s is not None and 0 <= lasted_s < HELD_AT_LEAST * expected.hold_s:
            sentence = f"{expected.experiment} lasted {lasted_s:.1f} s; expected {expected.hold_s:.1f} s"
            reasons.append(_fault_reason(run, "fault.undone_early", sentence))
    for fault in faults:
        what = f"{fault.fault} on {', '.join(fault.targets)}"
        if fault.applied_at_s is None:
            continue
        if fault.effect_at_s is None:
            reasons.append(_fault_reason(run, "fault.no_effect", f"{what} was applied and its effect was never seen"))
        if fault.healed_at_s is None:
            reasons.append(_fault_reason(run, "fault.not_undone", f"{what} was applied and never undone"))
        lasted_s = _lasted(fault)
        if lasted_s is not None and lasted_s < 0:
            reasons.append(_fault_reason(run, "fault.undone_early", f"{what} was undone before its effect was seen"))
    summary = "; ".join(fault.effect for fault in faults if fault.effect) or "the plan has no fault"
    return _check("faults.proved", "Every fault took effect and was undone", reasons, summary, taints=(Source.FAULTS,))


def _lasted(fault: FaultStory) -> float | None:
    """Return the time from the effect to the undo, negative when the undo came first; None where one is missing."""
    if fault.effect_at_s is None or fault.healed_at_s is None:
        return None
    return fault.healed_at_s - fault.effect_at_s


def _fault_reason(run: Run, code: str, sentence: str) -> Reason:
    return Reason(code=code, sentence=sentence, evidence=(Evidence(file=run.layout.fault_journal.name),))


def _manifest(run: Run) -> Evidence:
    return Evidence(file=run.layout.manifest.name)
