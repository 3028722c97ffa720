"""The conductor: baseline → load → fault → heal → recovery → drain → seal. It heals whatever happens.

It starts load, experiments and observers as child processes and writes the manifest at every step, so that a
bundle always says how far its run came. It does not judge.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.budget import write_budgets
from bundle import (
    BundleLayout,
    ChildRecord,
    ClockRecord,
    Manifest,
    PhaseRecord,
    RunEnd,
    TargetRecord,
    seal,
    write_manifest,
)
from bundle.manifest import SCHEMA_VERSION
from experiments.lease import LeaseBook
from gamedays import load as load_processes
from gamedays.child import Child, tail
from gamedays.interruption import DeadlinePassed, Interrupted, Interruption, PartFailed, StopRun
from gamedays.plan import FaultEntry, Plan
from gamedays.progress import Progress
from gamedays.surroundings import git_revision, host, versions
from target.control import connect_control
from target.errors import TargetError
from target.file import read_target_file, target_toml
from target.target import Target

_OBSERVERS_READY_LIMIT_S = 20.0
_LOAD_READY_LIMIT_S = 40.0
_LOAD_END_SPARE_S = 30.0
_EXPERIMENT_SPARE_S = 60.0
_EXPERIMENT, _OBSERVERS = "chaos-", "observers"
_STOP_GRACE_S = 15.0
_EXPERIMENT_GRACE_S = 3.0
_HEAL_LIMIT_S = 30.0
_LOG_END_BYTES = 2_000_000


class Conductor:
    """One run of one plan on one target."""

    def __init__(
        self,
        plan: Plan,
        target: Target,
        target_file: Path,
        layout: BundleLayout,
        progress: Progress,
        process_logs: Path | None = None,
        *,
        allow_production: bool = False,
    ) -> None:
        """`process_logs` is a folder with logs of the target's processes, whose ends go into the bundle."""
        self._plan = plan
        self._target = target
        self._target_file = target_file
        self._layout = layout
        self._progress = progress
        self._process_logs = process_logs
        self._allow_production = allow_production
        self._children: list[Child] = []
        self._records: list[ChildRecord] = []
        self._lost: set[str] = set()
        self._book = LeaseBook(path=layout.fault_journal)

    def conduct(self, record: TargetRecord, interruption: Interruption) -> Manifest:
        """Run the plan and return the manifest of the bundle, sealed. Whatever happened, nothing is left broken."""
        self._manifest = self._first_manifest(record)
        self._interruption = interruption
        end, reason = RunEnd.COMPLETED, ""
        try:
            interruption.set_deadline(self._plan.time_limit_s)
            self._run()
        except StopRun as stop:
            end, reason = _end_of(stop), str(stop)
        except Exception as error:  # a fault of the harness: heal and keep what was measured all the same
            end, reason = RunEnd.ABORTED, f"the harness failed: {type(error).__name__}: {error}"
        interruption.finish()
        self._end(end, reason)
        return self._manifest

    def record_failure(self, record: TargetRecord, reason: str) -> Manifest:
        """Write and seal the bundle of a run that could not begin."""
        self._manifest = self._first_manifest(record)
        self._end(RunEnd.ABORTED, reason)
        return self._manifest

    # --- the run, step by step ---

    def _run(self) -> None:
        plan = self._plan.file
        observers = self._start(_OBSERVERS, [sys.executable, "-m", "observers", *self._observer_arguments()])
        self._await_first_probes(observers)
        start = self._begin_phase("baseline")
        # Locust boots and prepares its accounts while the baseline is taken, and begins when the baseline ends.
        load = self._start_load(start + plan.baseline_s)
        self._wait_for_time(start + plan.baseline_s, "baseline", observers)
        load_start = self._await_load(load, observers)
        load_end = load_start + plan.load_s
        self._end_phase("baseline", load_start)
        self._begin_phase("load", load_start)
        for place, fault in enumerate(plan.fault):
            self._wait_for_time(load_start + fault.at_s, "load", observers, load)
            self._experiment(place, fault, observers, load, load_end)
        self._wait_for_time(load_end, "load", observers, load)
        self._end_phase("load", load_end)
        self._begin_phase("drain", load_end)
        self._progress.step("drain: waiting for the last transactions")
        self._finish(load, plan.drain_limit_s + _LOAD_END_SPARE_S)
        for worker in self._workers:
            self._finish_worker(worker)
        self._end_phase("drain", time.time())
        self._stop_child(observers)

    def _experiment(self, place: int, fault: FaultEntry, observers: Child, load: Child, load_end_at_s: float) -> None:
        """Run one experiment to its end. What it did is read from the fault journal, never from its exit code.

        A recovery that outlasts the load is waited for all the same: that is what the run is to find out.
        """
        name = f"{place:02}-{fault.experiment}"
        self._progress.step(f"fault: {fault.experiment} on {', '.join(fault.targets)} for {fault.hold_s:g} s")
        journal = self._layout.journals / f"{name}.json"
        argv = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--log-file", "/dev/null", "run"]
        argv += ["--journal-path", str(journal), str(self._plan.experiments[place])]
        chaos = self._start(f"{_EXPERIMENT}{name}", argv, self._fault_environment(fault))
        limit_s = fault.effect_limit_s + fault.hold_s + 2 * fault.recovery_limit_s + _EXPERIMENT_SPARE_S

        def ended() -> bool:
            self._watch(observers)
            if time.time() < load_end_at_s or load.exit_code != 0:
                self._watch(load)
            return chaos.exit_code is not None

        if not self._interruption.wait_until(ended, limit_s=limit_s):
            raise PartFailed(f"the experiment {fault.experiment} did not end within {limit_s:.0f} s")
        # 0 and 1 are both ordinary: the toolkit ends with 1 when its hypothesis does not hold.
        self._forget(chaos, "" if chaos.exit_code in (0, 1) else tail(self._log(chaos)), ordinary=(0, 1))
        self._progress.step("recovery: the experiment has ended")

    def _await_first_probes(self, observers: Child) -> None:
        """Wait until the observers have written what they saw first."""
        written = self._layout.root / "probes.arrows"
        empty = 0

        def seen() -> bool:
            nonlocal empty
            self._watch(observers)
            size = written.stat().st_size if written.exists() else 0
            empty = empty or size
            return size > empty > 0

        if not self._interruption.wait_until(seen, limit_s=_OBSERVERS_READY_LIMIT_S):
            raise PartFailed("the observers saw nothing within 20 s")

    def _await_load(self, load: Child, observers: Child) -> float:
        """Return when the load began, in all its processes. Raises PartFailed when it does not."""
        begun: list[float] = []

        def has_begun() -> bool:
            begun_at_s = load_processes.begun_at_s(self._layout, self._plan.file.processes)
            begun.extend([] if begun_at_s is None else [begun_at_s])
            if not begun:
                self._watch(observers, load, *self._workers)  # one that is lost before it began is waited for in vain
            return bool(begun)

        if not self._interruption.wait_until(has_begun, limit_s=_LOAD_READY_LIMIT_S):
            raise PartFailed(f"the load did not start within {_LOAD_READY_LIMIT_S:.0f} s: {tail(self._log(load))}")
        return begun[0]

    def _wait_for_time(self, at_s: float, phase: str, *children: Child) -> None:
        """Wait until a moment, watching over the children and telling how far it is."""
        start = time.time()
        whole = at_s - start

        def reached() -> bool:
            now = time.time()
            if now >= at_s:
                return True
            self._watch(*children)
            self._progress.during(phase, now - start, whole)
            return False

        self._interruption.wait_until(reached)

    def _watch(self, *children: Child) -> None:
        """Raise PartFailed when a child that should run has ended; tell of a load worker that has, and go on."""
        for child in children:
            if child.exit_code is not None:
                raise PartFailed(f"{child.name} ended with code {child.exit_code}: {tail(self._log(child))}")
        for worker in self._workers:
            if worker.exit_code is not None and worker.name not in self._lost:
                self._lost.add(worker.name)
                self._progress.step(f"{worker.name} ended with code {worker.exit_code}: the load goes on without it")

    # --- children ---

    def _start(self, name: str, argv: Sequence[str], environment: dict[str, str] | None = None) -> Child:
        self._interruption.check()
        child = Child(name, argv, environment or {}, self._layout.logs / f"{name}.log")
        self._children.append(child)
        return child

    def _start_load(self, start_at_s: float) -> Child:
        """Start the processes of the load; return the one that the others follow."""
        commands = load_processes.load_commands(self._plan, self._target_file, self._layout, start_at_s)
        leader, *_ = [self._start(command.name, command.argv, command.environment) for command in commands]
        return leader

    @property
    def _workers(self) -> list[Child]:
        return [child for child in self._children if load_processes.is_worker(child.name)]

    def _finish_worker(self, worker: Child) -> None:
        """Wait for a load worker, whose master has told it to end or has lost it. It is no matter of life and death."""
        if not self._interruption.wait_until(lambda: worker.exit_code is not None, limit_s=_STOP_GRACE_S):
            self._stop_child(worker)
            return
        self._forget(worker, self._why_ended(worker))

    def _why_ended(self, child: Child) -> str:
        """Return what a note says of a child that has ended; empty for one that ended as it should."""
        code = child.exit_code or 0
        return f"by {signal.Signals(-code).name}" if code < 0 else tail(self._log(child)) if code else ""

    def _finish(self, child: Child, limit_s: float) -> None:
        """Wait for a child that ends by itself."""
        if not self._interruption.wait_until(lambda: child.exit_code is not None, limit_s=limit_s):
            raise PartFailed(f"{child.name} did not end within {limit_s:.0f} s")
        self._forget(child, tail(self._log(child)) if child.exit_code else "")

    def _stop_child(self, child: Child) -> None:
        # An experiment gets a moment to write its journal; what it leaves broken is healed from the fault journal.
        by_itself = child.stop(grace_s=_EXPERIMENT_GRACE_S if child.name.startswith(_EXPERIMENT) else _STOP_GRACE_S)
        self._forget(child, "" if by_itself else "did not end when asked to", by_force=not by_itself)

    def _forget(self, child: Child, note: str, *, ordinary: tuple[int, ...] = (0,), by_force: bool = False) -> None:
        """Write down how a child ended."""
        code = child.exit_code
        # A load worker may be killed by somebody else, and the run goes on: its signal is told.
        is_ours = by_force or (code is not None and code < 0 and not load_processes.is_worker(child.name))
        recorded = 0 if code in ordinary else None if is_ours else code
        self._children.remove(child)
        self._records.append(ChildRecord(name=child.name, exit_code=recorded, note=note))

    def _log(self, child: Child) -> Path:
        return self._layout.logs / f"{child.name}.log"

    def _observer_arguments(self) -> list[str]:
        period_s = str(self._plan.file.probe_period_s)
        files = ["--target-file", str(self._target_file), "--bundle", str(self._layout.root)]
        return [*files, "--period-s", period_s, "--end-with-parent"]

    def _fault_environment(self, fault: FaultEntry) -> dict[str, str]:
        lease_s = fault.effect_limit_s + fault.hold_s + fault.recovery_limit_s
        return {
            "GAMEDAY_TARGET": str(self._target_file),
            "GAMEDAY_FAULT_JOURNAL": str(self._layout.fault_journal),
            "GAMEDAY_FAULT_TARGETS": ",".join(fault.targets),
            "GAMEDAY_FAULT_HOLD_S": str(fault.hold_s),
            "GAMEDAY_FAULT_LEASE_S": str(lease_s),
            "GAMEDAY_EFFECT_LIMIT_S": str(fault.effect_limit_s),
            "GAMEDAY_RECOVERY_LIMIT_S": str(fault.recovery_limit_s),
            "GAMEDAY_EXPECTED_HALT": str(fault.expected_halt).lower(),
            "GAMEDAY_ALLOW_PRODUCTION": str(self._allow_production).lower(),
        }

    # --- the end, whatever came before ---

    def _end(self, end: RunEnd, reason: str) -> None:
        """End children, heal, and seal. Each step is tried although the one before it failed."""
        if reason:
            self._progress.step(f"stopping: {reason}")
        # Experiments first, then what they left broken; observers last, because they see it healed.
        for child in [child for child in self._children if child.name.startswith(_EXPERIMENT)]:
            self._stop_child(child)
        healing = self._heal()
        # Observers last. The load's processes are asked together: each is waited for by the others.
        for child in self._children:
            if child.name != _OBSERVERS:
                child.ask()
        for child in sorted(self._children, key=lambda child: child.name == _OBSERVERS):
            self._stop_child(child)
        if healing:
            end, reason = RunEnd.ABORTED, "; ".join(filter(None, (reason, healing)))
        now = time.time()
        phases = tuple(replace(p, end_at_s=max(now, p.start_at_s)) if p.end_at_s is None else p for p in self._phases)
        self._manifest = replace(
            self._manifest,
            ended_at_s=now,
            end=end,
            end_reason=reason,
            phases=phases,
            children=tuple(self._records),
            workers=load_processes.worker_records(self._layout, self._plan.file.processes),
            clocks=(
                *self._manifest.clocks,
                _clock("conductor at the end"),
                *load_processes.clock_records(self._layout),
            ),
        )
        self._keep_process_logs()
        self._progress.step("sealing")
        self._manifest = seal(self._layout, self._manifest)

    def _keep_process_logs(self) -> None:
        """Copy the end of each log of the target's own processes."""
        for log in sorted(self._process_logs.glob("*.log")) if self._process_logs else []:
            with contextlib.suppress(OSError), log.open("rb") as source:
                source.seek(max(0, log.stat().st_size - _LOG_END_BYTES))
                (self._layout.logs / f"target-{log.name}").write_bytes(source.read())

    def _heal(self) -> str:
        """Undo what is still open in the fault journal; returns what could not be undone, in words."""
        control = connect_control(self._target)
        limit = time.monotonic() + _HEAL_LIMIT_S
        problem = ""
        while time.monotonic() < limit:
            try:
                still_open = self._book.open()
                if not still_open or control is None:
                    return ""
                self._progress.step(f"healing: {', '.join(lease.fault for lease in still_open)}")
                self._book.undo_all(control)
                return ""
            except TargetError as error:
                problem = f"not healed: {error}"
                time.sleep(0.5)  # the control port may be busy ending what we asked it to end
        return problem

    # --- the manifest ---

    @property
    def _phases(self) -> tuple[PhaseRecord, ...]:
        return self._manifest.phases

    def _begin_phase(self, name: str, start_at_s: float | None = None) -> float:
        start = time.time() if start_at_s is None else start_at_s
        self._manifest = replace(self._manifest, phases=(*self._phases, PhaseRecord(name=name, start_at_s=start)))
        write_manifest(self._layout.manifest, self._manifest)
        self._progress.step(name)
        return start

    def _end_phase(self, name: str, end_at_s: float) -> None:
        phases = tuple(replace(p, end_at_s=end_at_s) if p.name == name else p for p in self._phases)
        self._manifest = replace(self._manifest, phases=phases)
        write_manifest(self._layout.manifest, self._manifest)

    def _first_manifest(self, record: TargetRecord) -> Manifest:
        """Write what is known before the run: plan, target, budgets, what will have to be in the bundle."""
        plan = self._plan
        self._layout.plan.write_text(plan.text, encoding="utf-8")
        bare = target_toml(read_target_file(self._target_file), with_secrets=False)
        self._layout.target.write_text(bare, encoding="utf-8")
        write_budgets(self._layout.budgets, plan.budgets)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            run_id=self._layout.run_id,
            plan_name=plan.file.name,
            plan_title=plan.file.title,
            hypothesis=plan.file.hypothesis,
            seed=plan.file.seed,
            started_at_s=time.time(),
            planned_s=plan.planned_s,
            target=record,
            loads=plan.expected_loads(),
            faults=plan.expected_faults(),
            clocks=(_clock("conductor"),),
            probe_period_s=plan.file.probe_period_s,
            warm_up_s=plan.file.warm_up_s,
            rate_scale=plan.file.rate_scale,
            time_scale=plan.file.time_scale,
            versions=versions(),
            host=host(),
            git_revision=git_revision(plan.path.resolve().parent),
        )
        write_manifest(self._layout.manifest, manifest)
        return manifest


def _clock(process: str) -> ClockRecord:
    steady = time.time() - time.monotonic()
    return ClockRecord(process=process, wall_minus_monotonic_s=steady, host=socket.gethostname())


def _end_of(stop: StopRun) -> RunEnd:
    if isinstance(stop, Interrupted):
        return RunEnd.INTERRUPTED
    return RunEnd.DEADLINE if isinstance(stop, DeadlinePassed) else RunEnd.ABORTED
