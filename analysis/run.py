"""One run as analysis sees it: the bundle's tables as data frames, its journals, its windows of time.

A table that is missing or damaged is an empty frame here, and a Damage in `damage`: the checks make a reason of
it. Row numbers are those of the file, so that every finding can be looked up.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.clocks import shifts_s
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
    Damage,
    DamageKind,
    DocumentError,
    FaultEvent,
    LoadNote,
    Manifest,
    Table,
    TableDamaged,
    TableMissing,
    find_damage,
    open_bundle,
    parse_load_notes,
    read_fault_journal,
    read_manifest,
    read_table,
)
from bundle.tables import ALL_TABLES
from bundle.tables_io import table_files

_REPEATED = frozenset({"operation", "protocol", "outcome", "error_kind", "endpoint", "part"})
"""Columns of the samples that hold few texts again and again: as categories they need one byte a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosJournal:
    """What a Chaos Toolkit journal says. Neither its status nor an exit code proves that a fault happened."""

    file: str
    status: str
    deviated: bool
    hypothesis_met_before: bool | None
    hypothesis_met_after: bool | None
    failed_activities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocustCount:
    """Locust's own count of one operation."""

    requests: int
    failures: int


class Run:
    """A loaded bundle."""

    def __init__(self, layout: BundleLayout, manifest: Manifest) -> None:
        self.layout = layout
        self.manifest = manifest
        self.derived: dict[str, Any] = {}
        """What was made of the tables once, and is used again: by the name that its maker gives it."""
        self._damage: dict[str, Damage] = {item.file: item for item in find_damage(layout, manifest)}

    @classmethod
    def open(cls, path: Path) -> Run:
        """Return the run at `path`. Raises NotABundle, DocumentError."""
        layout = open_bundle(path)
        return cls(layout, read_manifest(layout.manifest))

    @property
    def damage(self) -> list[Damage]:
        """Every file that is not as it was sealed, cannot be read, or should be there and is not."""
        for table in ALL_TABLES:
            self._frame(table)
        _ = self.fault_events, self.chaos_journals, self.locust_counts, self.worker_counts, self.load_notes
        if not self.layout.budgets.is_file():
            self._note(DamageKind.MISSING, self.layout.budgets, "the run has no budgets")
        return [self._damage[file] for file in sorted(self._damage)]

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Times are by the clock of Locust's master: a worker whose clock was off is corrected."""
        return self._by_the_masters_clock(self._frame(SAMPLES), ("intended_at_s", "sent_at_s"))

    @cached_property
    def blocks(self) -> pd.DataFrame:
        return self._frame(BLOCKS)

    @cached_property
    def transactions(self) -> pd.DataFrame:
        return self._frame(TRANSACTIONS)

    @cached_property
    def supply(self) -> pd.DataFrame:
        return self._frame(SUPPLY)

    @cached_property
    def balances(self) -> pd.DataFrame:
        return self._frame(BALANCES)

    @cached_property
    def probes(self) -> pd.DataFrame:
        return self._frame(PROBES)

    @cached_property
    def resources(self) -> pd.DataFrame:
        return self._frame(RESOURCES)

    @cached_property
    def generator(self) -> pd.DataFrame:
        return self._by_the_masters_clock(self._frame(GENERATOR), ("at_s",))

    @cached_property
    def clock_shifts_s(self) -> dict[str, float]:
        """Seconds that were added to the times of a part of samples and generator; parts without are absent."""
        return shifts_s(self.manifest.clocks)

    @cached_property
    def fault_events(self) -> list[FaultEvent]:
        try:
            return read_fault_journal(self.layout.fault_journal)
        except DocumentError as error:
            self._note(DamageKind.UNREADABLE, self.layout.fault_journal, str(error.problems[0]))
            return []

    @cached_property
    def chaos_journals(self) -> list[ChaosJournal]:
        found = []
        for path in sorted(self.layout.journals.glob("*.json")):
            try:
                found.append(_parse_chaos_journal(self._name(path), json.loads(path.read_bytes())))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                why = error.strerror if isinstance(error, OSError) else repr(error)
                self._note(DamageKind.UNREADABLE, path, f"is no Chaos Toolkit journal ({why})")
        return found

    @cached_property
    def locust_counts(self) -> dict[str, LocustCount] | None:
        """Locust's own counts by operation; None when Locust left none."""
        path = self.layout.locust_counts
        if not path.is_file():
            return None
        try:
            entries = json.loads(path.read_bytes())
            if not isinstance(entries, list):
                raise TypeError("a list of operations is expected")
            return {
                entry["name"]: LocustCount(requests=int(entry["num_requests"]), failures=int(entry["num_failures"]))
                for entry in entries
            }
        except (ValueError, KeyError, TypeError) as error:
            self._note(DamageKind.UNREADABLE, path, f"is no Locust statistics ({error!r})")
            return None

    @cached_property
    def load_notes(self) -> list[LoadNote]:
        """What the load processes noted of themselves, in order of writing."""
        try:
            return parse_load_notes(self.layout.load_notes)
        except DocumentError as error:
            self._note(DamageKind.UNREADABLE, self.layout.load_notes, f"is no log of the load: {error.problems[0]}")
            return []

    @cached_property
    def worker_counts(self) -> dict[str, dict[str, LocustCount]]:
        """What reached Locust's master from each worker, by part and operation; empty when there is none."""
        path = self.layout.worker_counts
        if not path.is_file():
            return {}
        try:
            return {
                str(part): {
                    str(name): LocustCount(requests=int(requests), failures=int(failures))
                    for name, (requests, failures) in operations.items()
                }
                for part, operations in json.loads(path.read_bytes()).items()
            }
        except (ValueError, TypeError, AttributeError) as error:
            self._note(DamageKind.UNREADABLE, path, f"is no count of workers ({error!r})")
            return {}

    def file_of(self, table: Table, part: str | None = None) -> str:
        """Return the file that a row of the table is in, relative to the bundle."""
        for path in table_files(self.layout, table):
            if part is None or path.stem == part:
                return self._name(path)
        return table.path

    def is_damaged(self, *tables: Table) -> bool:
        """Whether rows of one of the tables may be missing or wrong."""
        for table in tables:
            self._frame(table)
            prefix = f"{table.path}/" if table.is_folder else f"{table.path}."
            if any(file == table.path or file.startswith(prefix) for file in self._damage):
                return True
        return False

    @property
    def is_fault_journal_damaged(self) -> bool:
        """Whether it may be unknown when something was broken on purpose."""
        _ = self.fault_events
        return self.layout.fault_journal.name in self._damage

    def _frame(self, table: Table) -> pd.DataFrame:
        cached = self.__dict__.get(f"_frame_{table.name}")
        if cached is None:
            cached = self.__dict__[f"_frame_{table.name}"] = self._load(table)
        return cached

    def _by_the_masters_clock(self, frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
        if not self.clock_shifts_s:
            return frame
        added = frame["part"].map(self.clock_shifts_s).fillna(0.0).astype("float64")
        return frame.assign(**{column: frame[column] + added for column in columns})

    def _load(self, table: Table) -> pd.DataFrame:
        try:
            rows = read_table(self.layout, table, repeated=_REPEATED if table is SAMPLES else ())
            # Arrow's copy of a column goes as soon as pandas has its own.
            frame = rows.to_pandas(self_destruct=True, split_blocks=True)
            del rows
        except TableMissing as error:
            path = self.layout.root / table.path if table.is_folder else error.path
            self._note(DamageKind.MISSING, path, f"the table {table.name} has no file")
            frame = table.schema.empty_table().to_pandas()
        except TableDamaged as error:
            self._note(DamageKind.UNREADABLE, error.path, _without_path(error.why))
            frame = table.schema.empty_table().to_pandas()
        for name in frame.select_dtypes("category"):
            # Groups come in the order of the categories: that of the texts, and not that of their first rows.
            frame[name] = frame[name].cat.reorder_categories(sorted(frame[name].cat.categories))
        if "part" in frame:
            frame["row"] = frame.groupby("part", observed=True).cumcount()
        elif table.is_folder:
            frame["part"], frame["row"] = pd.Series(dtype="str"), pd.Series(dtype="int64")
        else:
            frame["row"] = range(len(frame))
        return frame

    def _note(self, kind: DamageKind, path: Path, detail: str) -> None:
        """Take note of damage, unless the seal knows more about the file already."""
        name = self._name(path)
        self._damage.setdefault(name, Damage(kind=kind, file=name, detail=detail))

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.layout.root))


def _without_path(why: str) -> str:
    """Return a library's words up to the path in them, if there is one: a verdict does not depend on the place."""
    kept, *path = re.split(r"[\s'\"]+/", why, maxsplit=1)
    return f"{kept} …)" if path else why


def _says_no(probe: dict[str, Any]) -> bool:
    return probe["status"] == "succeeded" and probe.get("tolerance_met") is False


def _parse_chaos_journal(file: str, raw: Any) -> ChaosJournal:
    states = raw.get("steady_states") or {}

    def met(moment: str) -> bool | None:
        state = states.get(moment)
        if not state:
            return None
        probes = state.get("probes") or []
        # A probe that raised, as one does that is ended in its middle, did not find out: that is no "not met".
        if any(probe["status"] != "succeeded" for probe in probes) and not any(map(_says_no, probes)):
            return None
        return bool(state["steady_state_met"])

    activities = [*(raw.get("run") or []), *(raw.get("rollbacks") or [])]
    failed = tuple(item["activity"]["name"] for item in activities if item.get("status") != "succeeded")
    return ChaosJournal(
        file=file,
        status=str(raw["status"]),
        deviated=bool(raw.get("deviated", False)),
        hypothesis_met_before=met("before"),
        hypothesis_met_after=met("after"),
        failed_activities=failed,
    )
