"""Make the golden bundle from a captured run, or its verdict anew from the bundle that is there.

    gameday run tests/golden/plan.toml --runs /tmp/golden
    python -m tests.golden.refresh /tmp/golden/latest      # a new bundle, and its verdict
    python -m tests.golden.refresh                         # the verdict only, after a change of the analysis

Look at `git diff tests/golden/verdict.json` before it is committed: it is what the change did to a real run.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from analysis.judge import judge, verdict_text
from bundle import open_bundle, read_manifest, seal
from bundle.layout import DERIVED_FILES

FOLDER = Path(__file__).parent
BUNDLE, VERDICT = FOLDER / "bundle", FOLDER / "verdict.json"
LOG_LINES = 30
"""What is kept of each log of the target's processes: nobody reads them, and they are most of a bundle's size."""


def capture(run: Path) -> None:
    """Replace the golden bundle by a reduced copy of a run. Every row of every table stays; the seal is made anew."""
    shutil.rmtree(BUNDLE, ignore_errors=True)
    shutil.copytree(run.resolve(), BUNDLE, ignore=shutil.ignore_patterns(*DERIVED_FILES))
    for log in BUNDLE.glob("logs/target-*.log"):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        log.write_text("".join(lines[:LOG_LINES]), encoding="utf-8")
    layout = open_bundle(BUNDLE)
    seal(layout, read_manifest(layout.manifest))


def write_verdict() -> None:
    """Judge the golden bundle and keep the verdict beside it."""
    VERDICT.write_text(verdict_text(judge(BUNDLE)[1]), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        capture(Path(sys.argv[1]))
    write_verdict()
    print(f"{VERDICT}: {judge(BUNDLE)[1].verdict}")
