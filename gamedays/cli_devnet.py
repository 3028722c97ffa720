"""`gameday devnet`, `gameday doctor`, `gameday janitor`: the target, without a run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bundle import DocumentError, Problem
from bundle.document import parse_document
from devnet.errors import NoSuchNetwork
from devnet.lifecycle import bring_up, describe, sweep_dead, take_down
from devnet.network import FIRST_BLOCK, LAST_BLOCK, NetworkSpec
from devnet.record import all_records, find_record
from gamedays.exit_code import ExitCode
from gamedays.interruption import Interruption
from gamedays.janitor import clean_devnets, heal_target
from gamedays.progress import Progress
from target.probe import Answer, examine
from target.target import load_target

_PATH = click.Path(path_type=Path)
_DEFAULTS = NetworkSpec()


@click.group()
def devnet() -> None:
    """A VirtEngine-shaped network on this machine's loopback addresses."""


@devnet.command()
@click.argument("name", default="dev")
@click.option("--validators", default=_DEFAULTS.validators, show_default=True)
@click.option("--providers", default=_DEFAULTS.providers, show_default=True)
@click.option("--accounts", default=_DEFAULTS.accounts, show_default=True, help="Prefunded accounts.")
@click.option("--timeout-commit-ms", default=_DEFAULTS.timeout_commit_ms, show_default=True)
@click.option("--rate-limit/--no-rate-limit", default=True, show_default=True, help="VirtEngine's ante rate limit.")
@click.option("--build-tags", default="", help='Go build tags: "plant_fork" builds a defect in.')
@click.option("--block", type=click.IntRange(FIRST_BLOCK, LAST_BLOCK), help="Use the addresses 127.BLOCK.0.0/16.")
def up(
    name: str,
    validators: int,
    providers: int,
    accounts: int,
    timeout_commit_ms: int,
    rate_limit: bool,
    build_tags: str,
    block: int | None,
) -> None:
    """Start a network called NAME (default "dev"). It stays until `gameday devnet down`."""
    written = {
        "validators": validators,
        "providers": providers,
        "accounts": accounts,
        "timeout_commit_ms": timeout_commit_ms,
        "rate_limit": rate_limit,
        "build_tags": build_tags,
    }
    spec = parse_document(NetworkSpec, written, source="gameday devnet up")
    if not name.replace("-", "").replace("_", "").isalnum() or not name.islower():
        problem = Problem(where="NAME", found=f"is {name!r}", expected="lower-case letters, digits, - and _")
        raise DocumentError("gameday devnet up", (problem,))
    progress = Progress()
    Interruption(progress.step).listen()
    running = bring_up(name, spec, progress.step, owned=False, block=block)
    for line in describe(running.record).lines:
        click.echo(line)
    click.echo(f"export GAMEDAY_TARGET={running.network.target_file}")


@devnet.command()
@click.argument("name", required=False)
def status(name: str | None) -> None:
    """Show a network, or all of them."""
    records = [find_record(name)] if name else all_records()
    if not records:
        click.echo("no devnet is up")
    for record in records:
        state = describe(record)
        owner = ", owned by a run" if record.file.owned else ""
        click.echo(f"{record.network.name}: 127.{record.file.block}.0.0/16{owner}, target {record.network.target_file}")
        for line in state.lines:
            click.echo(f"  {line}")


@devnet.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Every network of this user but those of runs that go on.")
@click.option("--keep-files", is_flag=True, help="Leave data and logs on disk.")
def down(name: str | None, everything: bool, keep_files: bool) -> None:
    """Stop a network and delete its files."""
    if everything == (name is not None):
        raise click.UsageError("name one network, or say --all")
    # One that a run owns ends with the run; by its name it can be taken down all the same.
    every = [record for record in all_records() if not record.is_held_by_a_run()]
    for record in every if everything else [find_record(name or "")]:
        take_down(record, keep_files=keep_files)
        click.echo(f"{record.network.name}: down")
    if everything:
        sweep_dead()


@click.command()
@click.option("--target", "target_file", type=_PATH, envvar="GAMEDAY_TARGET", help="Target file ($GAMEDAY_TARGET).")
def doctor(target_file: Path | None) -> None:
    """Say what works on a target, by asking it. Ends with 3 when something does not that should."""
    target = load_target(chosen_target_file(target_file))
    bad = 0
    for finding in examine(target):
        bad += finding.answer is Answer.NO
        click.echo(f"{finding.answer:<7} {finding.part:<14} {finding.capability:<22} {finding.detail}".rstrip())
    click.echo(f"{bad} things do not work" if bad else "everything works that should")
    sys.exit(ExitCode.INCONCLUSIVE if bad else ExitCode.PASS)


@click.command()
@click.option("--target", "target_file", type=_PATH, help="Heal this target instead of every devnet.")
def janitor(target_file: Path | None) -> None:
    """Heal faults that somebody left behind, and delete what dead devnets left on disk."""
    lines = list(heal_target(load_target(target_file)) if target_file else clean_devnets())
    for line in lines or ["nothing to clean up"]:
        click.echo(line)
    sys.exit(ExitCode.HARNESS_ERROR if any("not healed" in line for line in lines) else ExitCode.PASS)


def chosen_target_file(target_file: Path | None) -> Path:
    """Return the Target file that is meant: the one named, or that of the only devnet there is."""
    if target_file is not None:
        return target_file
    records = all_records()
    if len(records) != 1:
        raise NoSuchNetwork(f"there are {len(records)} devnets: name a Target file with --target or $GAMEDAY_TARGET")
    return records[0].network.target_file
