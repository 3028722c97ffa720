"""One gameday from plan to report: find or start the target, clear it, conduct, judge, tell."""

from __future__ import annotations

import importlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bundle import BundleLayout, create_bundle
from devnet.lifecycle import bring_up
from devnet.network import NetworkSpec
from gamedays.conductor import Conductor
from gamedays.interruption import Interruption
from gamedays.plan import Plan
from gamedays.preflight import clear, unreachable_record
from gamedays.progress import Progress
from target.errors import TargetError
from target.target import Target, load_target

if TYPE_CHECKING:
    from analysis.judge import Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a gameday runs on."""

    target: Target
    target_file: Path
    process_logs: Path | None
    """Folder with the logs of the target's processes, where they are on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says besides the plan."""

    runs: Path
    target_file: Path | None = None
    """Overrides the plan's own target."""
    allow_production: bool = False


def run_gameday(plan: Plan, options: Options, progress: Progress) -> tuple[BundleLayout, Judgement]:
    """Return the bundle and the judgement of a run of the plan.

    Raises Forbidden when the target refuses the plan as unsafe (nothing is broken then), Interrupted when a signal
    came before anything began, DevnetError, DocumentError.
    """
    interruption = Interruption(progress.step)
    interruption.listen()
    with stand_on(plan, options, progress) as ground:
        interruption.careful()
        layout = conduct(plan, ground, options, progress, interruption)
    return layout, judge_and_report(layout.root, progress)


def judge_and_report(bundle: Path, progress: Progress, *, budgets: Path | None = None, write: bool = True) -> Judgement:
    """Return the judgement of a bundle; write it and the reports into the bundle unless told not to."""
    # Not at the top: data frames and plots take a second to import, which a run spends beside its load.
    from analysis.judge import judge
    from reports.write import write_reports

    progress.step("judging")
    run, judgement = judge(bundle, budgets=budgets)
    if write:
        progress.step("report")
        write_reports(run, judgement)
    return judgement


def _import_beside_the_load() -> None:
    """Import what comes after the run while the run waits for itself."""
    threading.Thread(target=importlib.import_module, args=("reports.write",), daemon=True).start()


def conduct(
    plan: Plan, ground: Ground, options: Options, progress: Progress, interruption: Interruption
) -> BundleLayout:
    """Return the bundle, sealed, of a run of the plan on ground that outlasts it."""
    progress.step(f"preflight of {ground.target.name}")
    failure = ""
    try:
        record = clear(plan, ground.target, allow_production=options.allow_production)
    except TargetError as error:
        failure, record = f"the target cannot be used: {error}", unreachable_record(ground.target)
    layout = create_bundle(options.runs, plan.file.name)
    progress.step(f"bundle {layout.root}")
    conductor = Conductor(
        plan,
        ground.target,
        ground.target_file,
        layout,
        progress,
        ground.process_logs,
        allow_production=options.allow_production,
    )
    if failure:
        conductor.record_failure(record, failure)
    else:
        _import_beside_the_load()
        conductor.conduct(record, interruption)
    return layout


@contextmanager
def stand_on(plan: Plan, options: Options, progress: Progress) -> Iterator[Ground]:
    """Give the target of the plan: the one named on the command line, the plan's, or a devnet for the run's length."""
    named = options.target_file or _relative_to(plan.path, plan.file.target_file)
    with stand_on_target(plan.file.name, named, plan.file.devnet or NetworkSpec(), progress) as ground:
        yield ground


@contextmanager
def stand_on_target(name: str, target_file: Path | None, spec: NetworkSpec, progress: Progress) -> Iterator[Ground]:
    """Give the target of a Target file; without one, a devnet that ends with the block. Raises DevnetError."""
    if target_file is not None:
        yield Ground(target=load_target(target_file), target_file=target_file, process_logs=None)
        return
    running = bring_up(f"run-{name}-{secrets.token_hex(3)}", spec, progress.step, owned=True)
    try:
        network = running.network
        target = load_target(network.target_file)
        yield Ground(target=target, target_file=network.target_file, process_logs=network.logs)
    finally:
        running.close()


def _relative_to(plan: Path, target_file: str | None) -> Path | None:
    return None if target_file is None else plan.parent / target_file
