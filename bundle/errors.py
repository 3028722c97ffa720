"""What can go wrong with a document or a bundle.

    BundleError
    ├── DocumentError   a TOML or JSON document that a person or a program wrote is not valid
    ├── NotABundle      the path holds no run
    ├── TableMissing    the run has no such table
    └── TableDamaged    the table is there and cannot be read

The command line turns each of these into one sentence and exit code 2. Analysis catches the two table
errors itself: damaged *data* is a reason in the verdict, damaged *input* is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in a document: where it is, what it is, what it should be."""

    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        place = f"{self.where} " if self.where else ""
        return f"{place}{self.found}; expected {self.expected}"


class BundleError(Exception):
    """Root of this room's errors."""


class DocumentError(BundleError):
    """A document is not valid. `problems` holds every problem found, in the document's order."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        self.source = source
        self.problems = problems
        super().__init__(source, problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.source}: {problem}" for problem in self.problems)


class NotABundle(BundleError):
    """The path is not a run bundle: it does not exist, is no folder, or has no manifest."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(path, why)

    def __str__(self) -> str:
        return f"{self.path}: {self.why}; expected a run bundle (a folder with a manifest.json)"


class TableMissing(BundleError):
    """The bundle has no file for the table."""

    def __init__(self, path: Path, table: str) -> None:
        self.path = path
        self.table = table
        super().__init__(path, table)

    def __str__(self) -> str:
        return f"{self.path}: is missing; expected the table {self.table}"


class TableDamaged(BundleError):
    """The file of a table cannot be read, or holds other columns than the table has."""

    def __init__(self, path: Path, table: str, why: str) -> None:
        self.path = path
        self.table = table
        self.why = why
        super().__init__(path, table, why)

    def __str__(self) -> str:
        return f"{self.path}: {self.why}; expected the table {self.table}"
