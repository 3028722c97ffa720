"""Where everything of a run lies: `runs/<utc>-<plan>-<short id>/`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bundle.errors import NotABundle

DERIVED_FILES = frozenset({"verdict.json", "report.html", "report.md", "junit.xml"})
"""Files that are made from the others: not sealed, can be deleted and made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleLayout:
    """The paths of one run bundle. `root` exists; the files may not."""

    root: Path

    @property
    def run_id(self) -> str:
        return self.root.name

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def plan(self) -> Path:
        """The plan as run, TOML."""
        return self.root / "plan.toml"

    @property
    def target(self) -> Path:
        """The Target file as run, TOML, without secrets."""
        return self.root / "target.toml"

    @property
    def budgets(self) -> Path:
        """The budgets that the plan chose, complete, JSON."""
        return self.root / "budgets.json"

    @property
    def samples(self) -> Path:
        """Folder of the samples, one table a load worker."""
        return self.root / "samples"

    @property
    def fault_journal(self) -> Path:
        return self.root / "faults.jsonl"

    @property
    def journals(self) -> Path:
        """Folder of the Chaos Toolkit journals."""
        return self.root / "journals"

    @property
    def logs(self) -> Path:
        """Folder of process logs and of Locust's own statistics."""
        return self.root / "logs"

    @property
    def load_notes(self) -> Path:
        """What the load processes say of themselves, one JSON object a line."""
        return self.logs / "load.jsonl"

    @property
    def locust_counts(self) -> Path:
        """Locust's own statistics, of all load processes together."""
        return self.logs / "locust.json"

    @property
    def worker_counts(self) -> Path:
        """What of them reached Locust's master from each worker; only where there are workers."""
        return self.logs / "locust-workers.json"

    @property
    def verdict(self) -> Path:
        return self.root / "verdict.json"

    @property
    def report_html(self) -> Path:
        return self.root / "report.html"

    @property
    def report_markdown(self) -> Path:
        return self.root / "report.md"

    @property
    def junit(self) -> Path:
        return self.root / "junit.xml"


def create_bundle(runs: Path, plan_name: str, *, now: datetime | None = None) -> BundleLayout:
    """Return the layout of a new, empty bundle under `runs`, made with its folders.

    `runs/latest` is pointed at it. Raises OSError when the folder cannot be made.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    root = runs / f"{moment:%Y%m%dT%H%M%SZ}-{plan_name}-{secrets.token_hex(3)}"
    layout = BundleLayout(root=root)
    for folder in (layout.samples, layout.journals, layout.logs):
        folder.mkdir(parents=True)
    _point_latest(runs, root)
    return layout


def open_bundle(path: Path) -> BundleLayout:
    """Return the layout of the bundle at `path`. Raises NotABundle."""
    try:
        if not path.exists():
            raise NotABundle(path, "does not exist")
        if not path.is_dir():
            raise NotABundle(path, "is a file")
        layout = BundleLayout(root=path.resolve())
        if not layout.manifest.is_file():
            raise NotABundle(path, "has no manifest.json")
    except OSError as error:  # a name that no file can have, a folder that may not be entered
        raise NotABundle(path, f"cannot be read ({error.strerror})") from None
    return layout


def _point_latest(runs: Path, root: Path) -> None:
    """Make `runs/latest` a link to `root`, by rename so that a reader never sees it absent."""
    fresh = runs / f".latest-{root.name}"
    fresh.symlink_to(root.name)
    fresh.replace(runs / "latest")
