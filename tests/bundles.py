"""Synthetic run bundles: a healthy run in memory, small named ways to spoil it, and its way to disk.

    run = healthy()
    shift_balance(run, by=1)
    path = run.write(tmp_path)

A healthy run is four validators and a provider that went through one fault under load, seen by complete observers.
It is written through the bundle's own writers and sealed, so that a reader meets what a real run leaves behind.
Nothing here is random: the same call gives the same rows. All moments are seconds after `START_AT_S`, the beginning
of the baseline, unless a name ends in `_at_s`.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from analysis.budget import Budget, read_rulebook, write_budgets
from analysis.judge import Judgement, judge
from analysis.run import Run
from bundle import (
    BALANCES,
    BLOCKS,
    GENERATOR,
    PROBES,
    RESOURCES,
    SAMPLES,
    SUPPLY,
    TRANSACTIONS,
    BundleLayout,
    ChildRecord,
    ClockRecord,
    ExpectedFault,
    ExpectedLoad,
    ExpectedOperation,
    FaultEvent,
    FaultEventKind,
    FaultJournal,
    Manifest,
    PhaseRecord,
    RunEnd,
    Table,
    TableWriter,
    TargetRecord,
    Undo,
    seal,
    write_manifest,
)
from bundle.manifest import SCHEMA_VERSION
from bundle.tables import NO_FAILURE_KINDS

Row = dict[str, Any]

START_AT_S = 1_800_000_000.0
"""Beginning of the baseline. Large as real times are, and a whole number: sixteenths of a second stay exact."""
NODES = ("validator-0", "validator-1", "validator-2", "validator-3")
PROVIDER = "provider-0"
PART = "local"
FIRST_HEIGHT = 10
MINTED_UVE = 2_068_789
FEE_UVE = 3_000
RUN_ID = "20270115T080000Z-synthetic-000000"

_WATCH_LEAD = 1.0
"""The observers look for so long before the baseline, and a little longer than the drain."""
_STEP = 1 / 16
_ACCOUNTS = 40
_OPENING_UVE = 10**11
_OPENING_SUPPLY_UVE = 10**20  # more than 64 bits hold


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSpec:
    """A fault of the synthetic run. `recovery` is the time from the undo to the target being on a par again."""

    experiment: str = "validator_kill"
    fault: str = "process.kill"
    targets: tuple[str, ...] = ("validator-3",)
    at: float = 8.0
    hold: float = 4.0
    recovery: float = 2.0

    @property
    def applied(self) -> float:
        return self.at + _STEP

    @property
    def effect(self) -> float:
        return self.at + 2 * _STEP

    @property
    def healed(self) -> float:
        return self.effect + self.hold + _STEP

    @property
    def recovered(self) -> float:
        return self.healed + self.recovery

    @property
    def is_cut_off(self) -> bool:
        """Whether the target answers while the fault lasts, as one behind a partition does."""
        return self.fault == "network.partition"


KILL = FaultSpec()
PARTITION = FaultSpec(
    experiment="validator_partition", fault="network.partition", targets=("validator-2",), at=28.0, hold=6.0
)
PROVIDER_KILL = FaultSpec(experiment="provider_kill", targets=(PROVIDER,), at=48.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large the run is. The default is as small as it can be and still be judged PASS on three budgets."""

    baseline: float = 4.0
    load: float = 24.0
    drain: float = 2.0
    probe_period: float = 0.25
    block_every: float = 1.0
    transfers_per_s: float = 8.0
    queries_per_s: float = 12.0
    portal_per_s: float = 2.0
    subscribers: int = 1
    faults: tuple[FaultSpec, ...] = (KILL,)
    halt: tuple[float, float] | None = None
    """No block is committed in this stretch, [from, to)."""
    budgets: tuple[str, ...] = ("PB-L-02", "PB-L-03", "CE-NO-BLOCK")

    @property
    def end(self) -> float:
        return self.baseline + self.load + self.drain


@dataclass(slots=True, kw_only=True)
class SyntheticRun:
    """Everything that a run writes, ready to be changed. Rows are plain dicts with the columns of their table."""

    shape: Shape
    manifest: Manifest
    budgets: tuple[Budget, ...]
    samples: dict[str, list[Row]] = field(default_factory=lambda: {PART: []})
    blocks: list[Row] = field(default_factory=list)
    transactions: list[Row] = field(default_factory=list)
    supply: list[Row] = field(default_factory=list)
    balances: list[Row] = field(default_factory=list)
    probes: list[Row] = field(default_factory=list)
    resources: list[Row] = field(default_factory=list)
    generator: list[Row] = field(default_factory=list)
    faults: list[FaultEvent] = field(default_factory=list)
    journals: dict[str, Any] = field(default_factory=dict)
    locust: list[Row] | None = None
    """Locust's statistics; None: as the samples are when the run is written."""
    worker_counts: dict[str, dict[str, list[int]]] | None = None
    """What reached Locust's master from each worker, by operation; None: as the samples are."""
    left_out: set[str] = field(default_factory=set)
    """Files and tables, by path without ending for a table, that are not written at all."""

    @property
    def rows(self) -> list[Row]:
        """The samples of the one worker that a healthy run has."""
        return self.samples[PART]

    @property
    def load_start_at_s(self) -> float:
        return START_AT_S + self.shape.baseline

    @property
    def load_end_at_s(self) -> float:
        return self.load_start_at_s + self.shape.load

    def of(self, operation: str) -> list[Row]:
        """Return the samples of one operation, in order."""
        return [row for row in self.rows if row["operation"] == operation]

    def write(self, folder: Path, *, sealed: bool = True) -> Path:
        """Write the bundle into the new folder `folder`/run and return its path."""
        root = folder / "run"
        layout = BundleLayout(root=root)
        for part in (layout.samples, layout.journals, layout.logs):
            part.mkdir(parents=True)
        for name, text in _texts(self).items():
            if name not in self.left_out:
                (root / name).write_text(text, encoding="utf-8")
        if "budgets.json" not in self.left_out:
            write_budgets(layout.budgets, self.budgets)
        for table, rows in self._tables():
            if table.path not in self.left_out:
                _write_rows(layout, table, rows)
        if SAMPLES.path not in self.left_out:
            for part_name, rows in self.samples.items():
                _write_rows(layout, SAMPLES, rows, part=part_name)
        if GENERATOR.path not in self.left_out:
            _write_rows(layout, GENERATOR, self.generator, part=PART)
        if "faults.jsonl" not in self.left_out:
            for event in self.faults:
                FaultJournal(layout.fault_journal).write(event)
        if sealed:
            seal(layout, self.manifest)
        else:
            write_manifest(layout.manifest, self.manifest)
        return root

    def open(self, folder: Path) -> Run:
        """Write the bundle and return it loaded."""
        return Run.open(self.write(folder))

    def judge(self, folder: Path) -> Judgement:
        """Write the bundle and return its judgement."""
        return judge(self.write(folder))[1]

    def _tables(self) -> Iterator[tuple[Table, list[Row]]]:
        yield BLOCKS, self.blocks
        yield TRANSACTIONS, self.transactions
        yield SUPPLY, self.supply
        yield BALANCES, self.balances
        yield PROBES, self.probes
        yield RESOURCES, self.resources


def healthy(**changes: Any) -> SyntheticRun:
    """Return a healthy run of its own; `changes` are fields of its Shape."""
    return pickle.loads(_pickled(Shape(**changes)))  # type: ignore[no-any-return]


@cache
def _pickled(shape: Shape) -> bytes:
    """Return a healthy run as bytes: building it takes ten times as long as reading it."""
    return pickle.dumps(_build(shape))


def _build(shape: Shape) -> SyntheticRun:
    rulebook = read_rulebook()
    chain = _Chain(shape)
    run = SyntheticRun(
        shape=shape,
        manifest=_manifest(shape),
        budgets=tuple(rulebook[id_] for id_ in shape.budgets),
    )
    _add_blocks(run, chain)
    _add_transfers(run, chain)
    _add_queries(run)
    _add_messages(run, chain)
    _add_probes(run, chain)
    _add_resources(run)
    _add_generator(run)
    for number, spec in enumerate(shape.faults):
        run.faults += _events(spec, lease=f"{spec.fault}-{number:08x}")
        run.journals[f"{number:02d}-{spec.experiment}.json"] = chaos_journal(spec)
    return run


BEYOND_A_MINUTE = ("PB-T-02", "PB-T-07", "PB-T-08", "SOAK-TX-LATENCY")
"""Budgets that a synthetic minute of 52 transfers and 64 queries a second does not meet: it is too little for them."""


def healthy_by_the_rulebook(
    faults: tuple[FaultSpec, ...] = (replace(KILL, at=12.0, hold=6.0), PARTITION, PROVIDER_KILL),
) -> SyntheticRun:
    """Return a healthy run that is long enough, and has faults of enough kinds, to decide nearly every budget."""
    return healthy(
        baseline=8.0,
        load=64.0,
        drain=4.0,
        probe_period=_STEP,
        transfers_per_s=52.0,
        queries_per_s=64.0,
        portal_per_s=4.0,
        subscribers=2,
        faults=faults,
        budgets=tuple(id_ for id_ in read_rulebook() if id_ not in BEYOND_A_MINUTE),
    )


# --- what a healthy run consists of ---


class _Chain:
    """When each block was committed, and where each node stood."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.commits: dict[int, float] = {}
        moment = -2 * shape.block_every
        for height in count(FIRST_HEIGHT):
            if shape.halt is not None and shape.halt[0] <= moment < shape.halt[1]:
                moment = shape.halt[1]
            if moment > shape.end:
                break
            self.commits[height] = moment
            moment += shape.block_every

    @property
    def opening(self) -> int:
        """The height at which the observers find the chain."""
        return self.height(-_WATCH_LEAD - _lag(0))

    @property
    def last(self) -> int:
        return max(self.commits)

    def height(self, moment: float) -> int:
        """Return the last height that was committed by then."""
        return max((height for height, at in self.commits.items() if at <= moment), default=FIRST_HEIGHT)

    def after(self, moment: float) -> int | None:
        """Return the first height that is committed after a moment; None when the run ends before."""
        return next((height for height, at in self.commits.items() if at > moment), None)

    def node_height(self, place: int, moment: float) -> int:
        """Return the height that a node tells; each learns of a block a sixteenth of a second after the one before."""
        for spec in self.shape.faults:
            if NODES[place] in spec.targets and spec.applied <= moment < spec.recovered:
                return self.height(spec.applied - _lag(place))
        return self.height(moment - _lag(place))


def _lag(place: int) -> float:
    return (place + 1) * _STEP


def _hash(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest().upper()


def block_hash(height: int) -> str:
    return _hash(f"block {height}")


def app_hash(height: int) -> str:
    """The state after a height, as every healthy node computes it."""
    return _hash(f"state after {height}")


def _add_blocks(run: SyntheticRun, chain: _Chain) -> None:
    for height in range(chain.opening + 1, chain.last + 1):
        for place, node in enumerate(NODES):
            observed, newest = chain.commits[height] + _lag(place), True
            for spec in run.shape.faults:
                if node in spec.targets and spec.applied <= observed < spec.recovered:
                    # Fetched in one go with everything that the node missed; it tells its own state only of the newest.
                    observed, newest = spec.recovered, height == chain.height(spec.recovered - _lag(place))
            run.blocks.append(
                {
                    "node": node,
                    "height": height,
                    "block_hash": block_hash(height),
                    "header_app_hash": app_hash(height - 1),
                    "own_app_hash": app_hash(height) if newest else None,
                    "header_time_at_s": START_AT_S + chain.commits[height - 1],
                    "observed_at_s": START_AT_S + observed,
                    "tx_count": 0,
                    "proposer": _hash(NODES[height % 4])[:40],
                }
            )


def _address(number: int) -> str:
    return f"ve1account{number:04d}"


def _add_transfers(run: SyntheticRun, chain: _Chain) -> None:
    """Every transfer is accepted at once and is in the next block; the books say the same."""
    balances = dict.fromkeys(range(_ACCOUNTS), _OPENING_UVE)
    run.balances += [_balance(chain.opening, number, amount) for number, amount in balances.items()]
    total = round(run.shape.load * run.shape.transfers_per_s)
    in_block: dict[int, list[tuple[str, int]]] = {}
    for number in range(total):
        intended = run.load_start_at_s + number / run.shape.transfers_per_s
        tx_hash = _hash(f"transfer {number}")
        height = chain.after(intended - START_AT_S + _STEP)
        assert height is not None, "the drain is too short for the last transfer"
        common = {"tx_hash": tx_hash, "endpoint": NODES[number % 4]}
        run.rows.append(sample(intended, "tx.submit", "TX", 4.0 + number % 16, **common, bytes=152))
        settled = START_AT_S + chain.commits[height] + _STEP
        run.rows.append(sample(intended, "tx.confirm", "TX", (settled - intended) * 1000, **common))
        in_block.setdefault(height, []).append((tx_hash, number))
    for height in range(chain.opening + 1, chain.last + 1):
        for index, (tx_hash, number) in enumerate(in_block.get(height, [])):
            sender, recipient, amount = number % _ACCOUNTS, (7 * number + 1) % _ACCOUNTS, 1 + number * 37 % 999
            balances[sender] -= amount + FEE_UVE
            balances[recipient] += amount
            run.transactions.append(
                {
                    "height": height,
                    "index": index,
                    "tx_hash": tx_hash,
                    "code": 0,
                    "codespace": "",
                    "gas_wanted": 120_000,
                    "gas_used": 68_000,
                    "sender": _address(sender),
                    "recipient": _address(recipient),
                    "amount_uve": amount,
                    "fee_uve": FEE_UVE,
                    "node": NODES[0],
                    "observed_at_s": START_AT_S + chain.commits[height] + _STEP,
                }
            )
        run.supply.append({"height": height, "minted_uve": str(MINTED_UVE), "burned_uve": "0"})
    minted = MINTED_UVE * (chain.last - chain.opening)
    run.supply.insert(0, {"height": chain.opening, "total_uve": str(_OPENING_SUPPLY_UVE)})
    run.supply.append({"height": chain.last, "total_uve": str(_OPENING_SUPPLY_UVE + minted)})
    run.balances += [_balance(chain.last, number, amount) for number, amount in balances.items()]


def _balance(height: int, number: int, amount: int) -> Row:
    return {"height": height, "address": _address(number), "amount_uve": str(amount)}


def sample(intended_at_s: float, operation: str, protocol: str, latency_ms: float | None, **more: Any) -> Row:
    """Return one sample that ended well, unless `more` says otherwise."""
    row: Row = {
        "intended_at_s": intended_at_s,
        "sent_at_s": intended_at_s + 0.001,
        "latency_ms": latency_ms,
        "operation": operation,
        "protocol": protocol,
        "outcome": "ok",
        "attempts": 1,
    }
    return row | more


def failed(outcome: str, error_kind: str, detail: str | None = None, **more: Any) -> Row:
    """Return the columns of a sample that did not end well."""
    return {"outcome": outcome, "error_kind": error_kind, "detail": detail} | more


def _add_generator(run: SyntheticRun) -> None:
    """A generator with time to spare: 10 arrivals a second, each noticed at once."""
    for second in range(int(run.shape.load)):
        run.generator.append(
            {
                "at_s": run.load_start_at_s + second + 1,
                "period_s": 1.0,
                "due": 10,
                "begun": 10,
                "given_up": 0,
                "waiting": 0,
                "late_by_2_ms": 0,
                "late_by_20_ms": 0,
                "late_by_100_ms": 0,
                "late_max_ms": 0.5,
                "cpu_ratio": 0.2,
                "collected_ms": 1.0,
                "stalled_max_ms": 2.0,
            }
        )


_QUERIES = (("rpc.status", "RPC"), ("rest.balance", "REST"), ("grpc.balance", "GRPC"))


def _add_queries(run: SyntheticRun) -> None:
    for number in range(round(run.shape.load * run.shape.queries_per_s)):
        operation, protocol = _QUERIES[number % len(_QUERIES)]
        intended = run.load_start_at_s + number / run.shape.queries_per_s
        run.rows.append(sample(intended, operation, protocol, 2.0 + number % 20, endpoint=NODES[number % 4]))
    for number in range(round(run.shape.load * run.shape.portal_per_s)):
        intended = run.load_start_at_s + number / run.shape.portal_per_s
        run.rows.append(sample(intended, "provider.health", "HTTP", 1.0 + number % 8, endpoint=PROVIDER))


def _add_messages(run: SyntheticRun, chain: _Chain) -> None:
    """Every subscriber connects once and hears of every block of the load, 60 to 100 ms after its commit."""
    first, last = run.shape.baseline, run.shape.baseline + run.shape.load
    for _ in range(run.shape.subscribers):
        run.rows.append(sample(run.load_start_at_s, "ws.connect", "WS", 2.0, endpoint=NODES[0]))
        for height, commit in chain.commits.items():
            if first <= commit < last:
                row = sample(START_AT_S + commit, "ws.new_block", "WS", 60.0 + height % 5 * 10, endpoint=NODES[0])
                run.rows.append(row)


def _is_down(run: SyntheticRun, name: str, moment: float) -> bool:
    return any(
        name in spec.targets and not spec.is_cut_off and spec.applied <= moment < spec.healed
        for spec in run.shape.faults
    )


def _is_behind(run: SyntheticRun, name: str, moment: float) -> bool:
    return any(name in spec.targets and spec.healed <= moment < spec.recovered for spec in run.shape.faults)


def _looks(run: SyntheticRun, period: float) -> Iterator[float]:
    for number in count():
        moment = -_WATCH_LEAD + number * period
        if moment > run.shape.end + period:
            return
        yield moment


def _add_probes(run: SyntheticRun, chain: _Chain) -> None:
    for moment in _looks(run, run.shape.probe_period):
        for place, node in enumerate(NODES):
            up = not _is_down(run, node, moment)
            run.probes.append(probe(moment, node, "node", "health", ok=up))
            height = chain.node_height(place, moment) if up else None
            catching_up = _is_behind(run, node, moment) if up else None
            run.probes.append(probe(moment, node, "node", "status", ok=up, height=height, catching_up=catching_up))
        up = not _is_down(run, PROVIDER, moment) and not _is_behind(run, PROVIDER, moment)
        run.probes.append(probe(moment, PROVIDER, "provider", "health", ok=up))
    for moment in _looks(run, 1.0):
        for node in NODES:
            up = not _is_down(run, node, moment)
            run.probes.append(probe(moment, node, "api", "health", ok=up))
            run.probes.append(probe(moment, node, "node", "peers", ok=up, peers=3 if up else None))
    run.probes.sort(key=lambda row: row["at_s"])


def probe(moment: float, endpoint: str, kind: str, which: str, *, ok: bool, **more: Any) -> Row:
    """Return one look at an endpoint; one that failed was refused within a millisecond."""
    return {
        "at_s": START_AT_S + moment,
        "endpoint": endpoint,
        "kind": kind,
        "probe": which,
        "ok": ok,
        "latency_ms": 1.5 if ok else 0.5,
        "detail": None if ok else "connection refused",
    } | more


def _add_resources(run: SyntheticRun) -> None:
    """Every process uses a quarter of a core and 120 MB, the provider 40 MB; a restart begins a new count."""
    for moment in _looks(run, 1.0):
        for place, name in enumerate((*NODES, PROVIDER)):
            if _is_down(run, name, moment):
                continue
            restarts = [spec.healed for spec in run.shape.faults if name in spec.targets and not spec.is_cut_off]
            since = max((healed for healed in restarts if healed <= moment), default=-_WATCH_LEAD)
            run.resources.append(
                {
                    "at_s": START_AT_S + moment,
                    "process": name,
                    "pid": 100 + place + (50 if since > -_WATCH_LEAD else 0),
                    "rss_bytes": 40_000_000 if name == PROVIDER else 120_000_000,
                    "cpu_s": 0.25 * (moment - since),
                }
            )


def event(spec: FaultSpec, kind: FaultEventKind, moment: float, *, lease: str, evidence: str = "") -> FaultEvent:
    """Return one line of the fault journal."""
    return FaultEvent(
        lease=lease,
        event=kind,
        at_s=START_AT_S + moment,
        fault=spec.fault,
        targets=spec.targets,
        undo=Undo(verb="start", targets=spec.targets) if kind is FaultEventKind.PLANNED else None,
        deadline_at_s=START_AT_S + moment + 600 if kind is FaultEventKind.PLANNED else None,
        evidence=evidence,
    )


def _events(spec: FaultSpec, *, lease: str) -> list[FaultEvent]:
    names = ", ".join(spec.targets)
    return [
        event(spec, FaultEventKind.PLANNED, spec.at, lease=lease),
        event(spec, FaultEventKind.APPLIED, spec.applied, lease=lease),
        event(spec, FaultEventKind.EFFECT_SEEN, spec.effect, lease=lease, evidence=f"{names}: gone"),
        event(spec, FaultEventKind.HEALED, spec.healed, lease=lease),
        event(spec, FaultEventKind.HEAL_SEEN, spec.recovered + 0.25, lease=lease, evidence=f"{names}: back"),
    ]


def chaos_journal(spec: FaultSpec, *, before: bool | None = True, after: bool | None = True) -> Row:
    """Return what Chaos Toolkit writes, as far as anybody reads it; None: the hypothesis was not looked at."""

    def state(met: bool | None) -> Row | None:
        return None if met is None else {"steady_state_met": met, "probes": []}

    return {
        "status": "completed",
        "deviated": after is False,
        "steady_states": {"before": state(before), "after": state(after), "during": []},
        "run": [{"activity": {"name": spec.experiment}, "status": "succeeded"}],
        "rollbacks": [],
    }


def _manifest(shape: Shape) -> Manifest:
    load_at_s = START_AT_S + shape.baseline
    drain_at_s = load_at_s + shape.load
    end_at_s = drain_at_s + shape.drain
    return Manifest(
        schema_version=SCHEMA_VERSION,
        run_id=RUN_ID,
        plan_name="synthetic",
        plan_title="A synthetic run",
        hypothesis="One validator of four is killed, and nobody notices.",
        seed=1,
        started_at_s=START_AT_S - 2,
        ended_at_s=end_at_s + 1,
        end=RunEnd.COMPLETED,
        planned_s=shape.baseline + shape.load,
        target=TargetRecord(
            name="synthetic-target",
            environment="dev",
            chain_id="synthetic-1",
            genesis_hash=_hash("genesis"),
            node_names=NODES,
            provider_names=(PROVIDER,),
            voting_power=dict.fromkeys(NODES, 10_000),
            app_version="0.38.19",
        ),
        loads=_loads(shape),
        faults=tuple(
            ExpectedFault(
                experiment=spec.experiment,
                targets=spec.targets,
                expected_halt=False,
                hold_s=spec.hold,
                recovery_limit_s=60.0,
            )
            for spec in shape.faults
        ),
        phases=(
            PhaseRecord(name="baseline", start_at_s=START_AT_S, end_at_s=load_at_s),
            PhaseRecord(name="load", start_at_s=load_at_s, end_at_s=drain_at_s),
            PhaseRecord(name="drain", start_at_s=drain_at_s, end_at_s=end_at_s),
        ),
        clocks=(
            ClockRecord(process="conductor", wall_minus_monotonic_s=1_799_990_000.25),
            ClockRecord(process="conductor at the end", wall_minus_monotonic_s=1_799_990_000.25),
        ),
        children=tuple(
            ChildRecord(name=name, exit_code=0)
            for name in ("locust", "observers", *(f"chaos-{n:02d}" for n in range(len(shape.faults))))
        ),
        probe_period_s=shape.probe_period,
        versions={"python": "3.11.7"},
        host={"cpu_count": 2},
        git_revision="0" * 40,
    )


def _loads(shape: Shape) -> tuple[ExpectedLoad, ...]:
    def scheduled(name: str, protocol: str, rate: float) -> ExpectedOperation:
        return ExpectedOperation(name=name, protocol=protocol, rate_per_s=rate, scheduled=True)

    def following(name: str, protocol: str, rate: float | None = None) -> ExpectedOperation:
        return ExpectedOperation(name=name, protocol=protocol, rate_per_s=rate)

    transfers, queries = shape.transfers_per_s, shape.queries_per_s
    return (
        ExpectedLoad(
            scenario="transfer",
            users=8,
            rate_per_s=transfers,
            operations=(scheduled("tx.submit", "TX", transfers), following("tx.confirm", "TX", transfers)),
        ),
        ExpectedLoad(
            scenario="query",
            users=6,
            rate_per_s=queries,
            operations=tuple(scheduled(name, kind, queries / len(_QUERIES)) for name, kind in _QUERIES),
        ),
        ExpectedLoad(
            scenario="websocket",
            users=shape.subscribers,
            rate_per_s=float(shape.subscribers),
            operations=(following("ws.connect", "WS"), following("ws.new_block", "WS")),
        ),
        ExpectedLoad(
            scenario="provider",
            users=2,
            rate_per_s=shape.portal_per_s,
            operations=(scheduled("provider.health", "HTTP", shape.portal_per_s),),
        ),
    )


# --- to disk ---


def locust_counts(rows: Iterable[Row]) -> list[Row]:
    """Return Locust's statistics of these samples, as far as anybody reads them."""
    counts: dict[str, Row] = {}
    harmless = {kind.value for kind in NO_FAILURE_KINDS}
    for row in rows:
        entry = counts.setdefault(
            row["operation"],
            {"name": row["operation"], "method": row["protocol"], "num_requests": 0, "num_failures": 0},
        )
        entry["num_requests"] += 1
        entry["num_failures"] += row["outcome"] != "ok" and row.get("error_kind") not in harmless
    return list(counts.values())


def _texts(run: SyntheticRun) -> dict[str, str]:
    """Return the plain files of the bundle by their path in it."""
    every = [row for rows in run.samples.values() for row in rows]
    locust = locust_counts(every) if run.locust is None else run.locust
    return {
        "plan.toml": f'name = "{run.manifest.plan_name}"\n',
        "target.toml": f'name = "{run.manifest.target.name}"\n',
        "logs/locust.json": json.dumps(locust, indent=1) + "\n",
        **({"logs/locust-workers.json": json.dumps(_worker_counts(run)) + "\n"} if len(run.samples) > 1 else {}),
        "logs/observers.log": "watching\n",
        **{f"journals/{name}": json.dumps(journal, indent=1) + "\n" for name, journal in run.journals.items()},
    }


def _worker_counts(run: SyntheticRun) -> dict[str, dict[str, list[int]]]:
    """Return what Locust's master would have from each worker."""
    if run.worker_counts is not None:
        return run.worker_counts
    return {
        part: {entry["name"]: [entry["num_requests"], entry["num_failures"]] for entry in locust_counts(rows)}
        for part, rows in run.samples.items()
    }


def _write_rows(layout: BundleLayout, table: Table, rows: list[Row], *, part: str | None = None) -> None:
    writer = TableWriter(layout, table, part=part)
    for row in rows:
        writer.append(**row)
    writer.close()


# --- ways to spoil a run that is still in memory ---


def end_as(run: SyntheticRun, end: RunEnd, reason: str = "") -> None:
    """The run came to another end than its own."""
    run.manifest = replace(run.manifest, end=end, end_reason=reason)


def fail_child(run: SyntheticRun, name: str, exit_code: int | None) -> None:
    """A process of the run ended badly; None: it had to be killed."""
    run.manifest = replace(
        run.manifest,
        children=tuple(
            replace(child, exit_code=exit_code) if child.name == name else child for child in run.manifest.children
        ),
    )


def jump_clock(run: SyntheticRun, by_s: float) -> None:
    """The wall clock was set during the run."""
    first, *rest = run.manifest.clocks
    moved = [replace(clock, wall_minus_monotonic_s=clock.wall_minus_monotonic_s + by_s) for clock in rest]
    run.manifest = replace(run.manifest, clocks=(first, *moved))


def look_away(run: SyntheticRun, endpoint: str, start: float, end: float, *, kind: str = "", which: str = "") -> None:
    """Nobody looked at an endpoint in [start, end); `kind` and `which` narrow it to some of its probes."""

    def is_unseen(row: Row) -> bool:
        return (
            row["endpoint"] == endpoint
            and START_AT_S + start <= row["at_s"] < START_AT_S + end
            and (not kind or row["kind"] == kind)
            and (not which or row["probe"] == which)
        )

    run.probes = [row for row in run.probes if not is_unseen(row)]


def offer_less(run: SyntheticRun, operation: str, share: float) -> None:
    """The generator left out a share of an operation, evenly over the load."""
    places = [place for place, row in enumerate(run.rows) if row["operation"] == operation]
    left_out = {places[round(n / share)] for n in range(round(len(places) * share))}
    run.samples[PART] = [row for place, row in enumerate(run.rows) if place not in left_out]


def miscount(run: SyntheticRun, operation: str, *, requests: int = 0, failures: int = 0) -> None:
    """Locust counted more than the samples have."""
    run.locust = locust_counts(run.rows)
    entry = next(entry for entry in run.locust if entry["name"] == operation)
    entry["num_requests"] += requests
    entry["num_failures"] += failures


def forget_events(run: SyntheticRun, *kinds: FaultEventKind) -> None:
    """Some steps of every fault never came."""
    run.faults = [event for event in run.faults if event.event not in kinds]


def move_event(run: SyntheticRun, kind: FaultEventKind, moment: float) -> None:
    """A step of every fault came at another time."""
    run.faults = [replace(event, at_s=START_AT_S + moment) if event.event is kind else event for event in run.faults]


def block_rows(run: SyntheticRun, height: int, node: str | None = None) -> list[Row]:
    """Return the rows of a height, of one node or of all."""
    return [row for row in run.blocks if row["height"] == height and node in (None, row["node"])]


def fork_block(run: SyntheticRun, height: int, node: str) -> None:
    """One node has another block at a height."""
    [row] = block_rows(run, height, node)
    row["block_hash"] = _hash("another block")


def fork_header(run: SyntheticRun, height: int, node: str) -> None:
    """One node has another app hash in the header of a height."""
    [row] = block_rows(run, height, node)
    row["header_app_hash"] = _hash("another state")


def compute_otherwise(run: SyntheticRun, height: int, node: str) -> None:
    """One node computed another state after a height than the one that the next header tells."""
    [row] = block_rows(run, height, node)
    row["own_app_hash"] = _hash("another state")


def stick(run: SyntheticRun, node: str, start: float, end: float) -> None:
    """A node stands still from `start` to `end` while its /health says 200, and then has everything at once."""
    looks = [row for row in run.probes if row["endpoint"] == node and row["probe"] == "status"]
    height = max(row["height"] for row in looks if row["height"] is not None and row["at_s"] <= START_AT_S + start)
    for row in looks:
        if START_AT_S + start <= row["at_s"] < START_AT_S + end and row["height"] is not None:
            row["height"] = height


def put_twice(run: SyntheticRun) -> str:
    """The first transfer is in the next block once more. Returns its hash."""
    first = run.transactions[0]
    run.transactions.append({**first, "height": first["height"] + 1, "index": 1_000})
    return str(first["tx_hash"])


def confirm_phantom(run: SyntheticRun) -> str:
    """A transfer was confirmed to us that is in no block. Returns its hash."""
    tx_hash = _hash("phantom")
    at_s = run.load_start_at_s + 1
    run.rows.append(sample(at_s, "tx.submit", "TX", 5.0, tx_hash=tx_hash))
    run.rows.append(sample(at_s, "tx.confirm", "TX", 900.0, tx_hash=tx_hash))
    return tx_hash


def shift_balance(run: SyntheticRun, *, by: int) -> str:
    """The closing balance of one account is not what its transfers make it. Returns its address."""
    last = run.balances[-1]
    last["amount_uve"] = str(int(last["amount_uve"]) + by)
    return str(last["address"])


def shift_supply(run: SyntheticRun, *, by: int) -> None:
    """The closing total is not what was minted and burned."""
    run.supply[-1]["total_uve"] = str(int(run.supply[-1]["total_uve"]) + by)


def skip_heights(run: SyntheticRun, *heights: int) -> None:
    """The ledger did not read these heights."""
    run.supply = [row for row in run.supply if row["height"] not in heights or row.get("total_uve") is not None]
    run.transactions = [row for row in run.transactions if row["height"] not in heights]


# --- ways to spoil a bundle on disk ---


def remove(root: Path, name: str) -> None:
    (root / name).unlink()


def truncate(root: Path, name: str) -> None:
    """Cut a file off in the middle."""
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: len(data) // 2])


def empty(root: Path, name: str) -> None:
    (root / name).write_bytes(b"")


def edit(root: Path, name: str) -> None:
    """Change one byte in the middle of a file; its length stays."""
    data = bytearray((root / name).read_bytes())
    data[len(data) // 2] ^= 0x01
    (root / name).write_bytes(bytes(data))


def drop_column(root: Path, name: str) -> str:
    """Write a table again without its last column. Returns that column's name."""
    rows = pq.read_table(root / name)
    column = str(rows.schema.names[-1])
    pq.write_table(rows.drop_columns([column]), root / name)
    return column


def sealed_files(root: Path) -> list[str]:
    """Return every file that the seal covers."""
    manifest = json.loads((root / "manifest.json").read_bytes())
    return sorted(manifest["seal"]["files"])
