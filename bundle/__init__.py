"""The run on disk: layout, table schemas, fault journal, manifest, sealing.

The narrow waist of the house: every room that writes or reads a run imports this one, and it imports
no room. It gives no meaning to what it stores and judges nothing.
"""

from bundle.document import document, parse_document, read_json, read_toml
from bundle.errors import (
    BundleError,
    DocumentError,
    NotABundle,
    Problem,
    TableDamaged,
    TableMissing,
)
from bundle.fault_journal import FaultEvent, FaultEventKind, FaultJournal, Undo, read_fault_journal
from bundle.layout import BundleLayout, create_bundle, open_bundle
from bundle.load_notes import LoadNote, LoadStep, parse_load_notes, read_load_notes, write_load_note
from bundle.manifest import (
    ChildRecord,
    ClockRecord,
    ExpectedFault,
    ExpectedLoad,
    ExpectedOperation,
    FileDigest,
    Manifest,
    PhaseRecord,
    RunEnd,
    SealRecord,
    TargetRecord,
    WorkerRecord,
    read_manifest,
    write_manifest,
)
from bundle.seal import Damage, DamageKind, find_damage, seal
from bundle.tables import (
    BALANCES,
    BLOCKS,
    GENERATOR,
    PROBES,
    RESOURCES,
    SAMPLES,
    SUPPLY,
    TRANSACTIONS,
    ErrorKind,
    Outcome,
    Rejection,
    Table,
)
from bundle.tables_io import TableWriter, read_table

__all__ = [
    "BALANCES",
    "BLOCKS",
    "GENERATOR",
    "PROBES",
    "RESOURCES",
    "SAMPLES",
    "SUPPLY",
    "TRANSACTIONS",
    "BundleError",
    "BundleLayout",
    "ChildRecord",
    "ClockRecord",
    "Damage",
    "DamageKind",
    "DocumentError",
    "ErrorKind",
    "ExpectedFault",
    "ExpectedLoad",
    "ExpectedOperation",
    "FaultEvent",
    "FaultEventKind",
    "FaultJournal",
    "FileDigest",
    "LoadNote",
    "LoadStep",
    "Manifest",
    "NotABundle",
    "Outcome",
    "PhaseRecord",
    "Problem",
    "Rejection",
    "RunEnd",
    "SealRecord",
    "Table",
    "TableDamaged",
    "TableMissing",
    "TableWriter",
    "TargetRecord",
    "Undo",
    "WorkerRecord",
    "create_bundle",
    "document",
    "find_damage",
    "open_bundle",
    "parse_document",
    "parse_load_notes",
    "read_fault_journal",
    "read_json",
    "read_load_notes",
    "read_manifest",
    "read_table",
    "read_toml",
    "seal",
    "write_load_note",
    "write_manifest",
]
