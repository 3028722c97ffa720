"""The command line, `gameday`. What it ends with is in `exit_code.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from analysis.judge import judge as judge_bundle
from bundle import DocumentError
from bundle.errors import BundleError
from devnet.errors import DevnetError
from experiments.fault import Forbidden
from gamedays.exit_code import ExitCode, of_verdict
from gamedays.gameday import Options, publish, run_gameday
from gamedays.interruption import StopRun
from gamedays.plan import find_plan, load_plan
from gamedays.progress import Progress
from reports.table import verdict_table

_PATH = click.Path(path_type=Path)


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
    layout, judgement = run_gameday(load_plan(find_plan(plan)), options, Progress())
    click.echo(verdict_table(judgement))
    click.echo(f"report: {layout.report_html}")
    sys.exit(of_verdict(judgement.verdict))


@cli.command()
@click.argument("bundle", type=_PATH)
@click.option("--budgets", type=_PATH, help="Judge by the budgets in this file instead of the run's own.")
@click.option("--write/--no-write", default=True, show_default=True, help="Write verdict and reports into the bundle.")
def judge(bundle: Path, budgets: Path | None, write: bool) -> None:
    """Judge a BUNDLE again, by its own budgets or by others. The same bundle gives the same bytes."""
    run, judgement = judge_bundle(bundle, budgets=budgets)
    if write:
        publish(run, judgement, Progress())
    click.echo(verdict_table(judgement))
    sys.exit(of_verdict(judgement.verdict))


def main() -> None:
    """Run the command line; every expected trouble is one sentence and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except click.Abort:
        sys.exit(ExitCode.INCONCLUSIVE)
    except (DocumentError, BundleError) as error:
        _fail(str(error), ExitCode.USAGE)
    except Forbidden as error:
        _fail(str(error), ExitCode.REFUSED)
    except StopRun as error:
        _fail(f"{error}: nothing was begun", ExitCode.INCONCLUSIVE)
    except DevnetError as error:
        _fail(str(error), ExitCode.HARNESS_ERROR)


def _fail(message: str, code: ExitCode) -> None:
    click.echo(f"gameday: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
