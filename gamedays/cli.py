"""The command line, `gameday`. What it ends with is in `exit_code.py`."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from bundle import DocumentError
from bundle.errors import BundleError
from devnet.errors import DevnetError, NoSuchNetwork
from experiments.fault import Forbidden
from gamedays.cli_capacity import capacity
from gamedays.cli_devnet import devnet, doctor, janitor
from gamedays.cli_fund import fund
from gamedays.exit_code import ExitCode, of_verdict
from gamedays.gameday import Options, judge_and_report, run_gameday
from gamedays.interruption import Interruption, StopRun
from gamedays.plan import EXPERIMENTS, Plan, find_level, find_plan, load_plan, shipped_levels, shipped_plans
from gamedays.progress import Progress
from gamedays.validate import validate as validate_file
from target.errors import TargetError

if TYPE_CHECKING:
    from analysis.judge import Judgement

_PATH = click.Path(path_type=Path)
_SCALE = click.FloatRange(min=0, min_open=True, max=100)
_FORMATS = ("html", "markdown", "junit", "json")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="virtengine-reliability", prog_name="gameday")
def cli() -> None:
    """Reliability tests for VirtEngine: load, faults, truth, verdicts."""


@cli.command()
@click.argument("plan")
@click.option("--target", "target_file", type=_PATH, help="Target file to run on instead of the plan's own target.")
@click.option("--runs", type=_PATH, default=Path("runs"), show_default=True, help="Folder for the run bundle.")
@click.option("--allow-production", is_flag=True, help="Allow load and faults on a production target.")
def run(plan: str, target_file: Path | None, runs: Path, allow_production: bool) -> None:
    """Run a gameday: PLAN is a file, or the name of a plan that comes with the harness."""
    options = Options(runs=runs, target_file=target_file, allow_production=allow_production)
    _run(load_plan(find_plan(plan)), options)


@cli.command()
@click.argument("level")
@click.option("--scale", type=_SCALE, default=1.0, show_default=True, help="Multiply rates, users and rate budgets.")
@click.option("--time-scale", type=_SCALE, default=1.0, show_default=True, help="Multiply the lengths of the load.")
@click.option("--target", "target_file", type=_PATH, help="Target file to run on instead of the level's own target.")
@click.option("--runs", type=_PATH, default=Path("runs"), show_default=True, help="Folder for the run bundle.")
def load(level: str, scale: float, time_scale: float, target_file: Path | None, runs: Path) -> None:
    """Run a load LEVEL without faults, judged and reported like a gameday: a name of `gameday list`, or a file.

    Never on a production target.
    """
    plan = load_plan(find_level(level), rate_scale=scale, time_scale=time_scale)
    _run(plan, Options(runs=runs, target_file=target_file))


@cli.command()
@click.argument("bundle", type=_PATH)
@click.option("--budgets", type=_PATH, help="Judge by the budgets in this file instead of the run's own.")
@click.option("--write/--no-write", default=True, show_default=True, help="Write verdict and reports into the bundle.")
def judge(bundle: Path, budgets: Path | None, write: bool) -> None:
    """Judge a BUNDLE again, by its own budgets or by others. The same bundle gives the same bytes."""
    judgement = judge_and_report(bundle, Progress(), budgets=budgets, write=write)
    _tell(judgement)
    sys.exit(of_verdict(judgement.verdict))


@cli.command()
@click.argument("bundle", type=_PATH)
@click.option("--format", "form", type=click.Choice(_FORMATS), default="html", show_default=True)
@click.option("--output", type=_PATH, help="File to write to (default: standard output).")
def report(bundle: Path, form: str, output: Path | None) -> None:
    """Render the report of a BUNDLE in one format."""
    from analysis.judge import judge as judge_bundle
    from reports.write import render

    found, judgement = judge_bundle(bundle)
    text = render(found, judgement, form)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


@cli.command()
@click.argument("files", type=_PATH, nargs=-1, required=True)
def validate(files: tuple[Path, ...]) -> None:
    """Check FILES: plans, Target files, budgets, experiments, bundles. Every problem of every file is told."""
    bad = False
    for path in files:
        try:
            click.echo(f"{path}: {validate_file(path)}")
        except (DocumentError, BundleError) as error:
            bad = True
            click.echo(str(error), err=True)
    sys.exit(ExitCode.USAGE if bad else ExitCode.PASS)


@cli.command("list")
def list_all() -> None:
    """List the plans, load levels, scenarios, experiments and budgets that come with the harness."""
    from analysis.budget import read_rulebook
    from loadtests.catalogue import scenarios

    click.echo("plans")
    for path in shipped_plans():
        click.echo(f"  {path.stem:<22} {load_plan(path).file.title}")
    click.echo("levels")
    for path in shipped_levels():
        click.echo(f"  {path.stem:<22} {load_plan(path).file.title}")
    click.echo("scenarios")
    for scenario in scenarios().values():
        click.echo(f"  {scenario.name:<22} {scenario.title}")
    click.echo("experiments")
    for path in sorted(EXPERIMENTS.glob("*.yaml")):
        click.echo(f"  {path.stem:<22} {_title(path)}")
    click.echo("budgets")
    for budget in read_rulebook().values():
        click.echo(f"  {budget.id:<22} {budget.title} ({budget.indicator}, {budget.statistic})")


cli.add_command(capacity)
cli.add_command(devnet)
cli.add_command(doctor)
cli.add_command(fund)
cli.add_command(janitor)


def _run(plan: Plan, options: Options) -> NoReturn:
    """Run a plan, tell the verdict, and end with its code."""
    layout, judgement = run_gameday(plan, options, Progress())
    _tell(judgement)
    click.echo(f"report: {layout.report_html}")
    Interruption.ignore()
    sys.exit(of_verdict(judgement.verdict))


def _title(experiment: Path) -> str:
    """Return the title in an experiment; every experiment of ours has it on a line of its own."""
    lines = experiment.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("title: ") for line in lines if line.startswith("title: ")), "")


def _tell(judgement: Judgement) -> None:
    from reports.table import verdict_table  # pandas comes with it, which `gameday --help` should not wait for

    click.echo(verdict_table(judgement))


def main() -> None:
    """Run the command line; every expected trouble is one sentence and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except click.Abort:
        sys.exit(ExitCode.INCONCLUSIVE)
    except (BundleError, NoSuchNetwork) as error:
        _fail(str(error), ExitCode.USAGE)
    except Forbidden as error:
        _fail(str(error), ExitCode.REFUSED)
    except StopRun as error:
        _fail(f"{error}: nothing was begun", ExitCode.INCONCLUSIVE)
    except TargetError as error:
        _fail(str(error), ExitCode.INCONCLUSIVE)
    except (DevnetError, OSError) as error:
        _fail(str(error), ExitCode.HARNESS_ERROR)
    except Exception as error:  # Python would end with 1, which says that a budget failed
        traceback.print_exc()
        _fail(f"the harness failed: {type(error).__name__}: {error}", ExitCode.HARNESS_ERROR)


def _fail(message: str, code: ExitCode) -> None:
    click.echo(f"gameday: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
