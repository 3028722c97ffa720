"""Hypothesis strategies that several test modules share: plain data, rows of tables, manifests, Target files.

Every strategy gives valid things only; what is malformed is made from them in the tests. `LAW` is the setting of
every property: repeatable, and without a limit of time, because a busy machine breaks no law.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from bundle import (
    ChildRecord,
    ClockRecord,
    ExpectedFault,
    ExpectedLoad,
    ExpectedOperation,
    FaultEvent,
    FaultEventKind,
    Manifest,
    PhaseRecord,
    RunEnd,
    Table,
    TargetRecord,
    Undo,
)
from bundle.manifest import SCHEMA_VERSION
from target.file import (
    AccountsEntry,
    ApiEntry,
    ControlKind,
    Environment,
    NodeEntry,
    PortalAuth,
    ProviderEntry,
    TargetFile,
)

LAW = settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
FEW = settings(LAW, max_examples=30)
"""For a law whose single case is dear."""

# --- plain data ---

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)
int64 = st.integers(-(2**63), 2**63 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | int64 | finite | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)
names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,11}", fullmatch=True)

# --- bundle ---

_BY_TYPE: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.float64(): st.floats(allow_nan=False),
    pa.int64(): int64,
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.string(): texts,
    pa.bool_(): st.booleans(),
}


def rows_of(table: Table, *, max_rows: int = 20) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of rows that fit the table, null where a column may be null."""
    columns = {
        field.name: st.none() | _BY_TYPE[field.type] if field.nullable else _BY_TYPE[field.type]
        for field in table.schema
    }
    return st.lists(st.fixed_dictionaries(columns), max_size=max_rows)


_phases = st.builds(
    lambda name, start, length: PhaseRecord(
        name=name, start_at_s=start, end_at_s=None if length is None else start + length
    ),
    texts,
    st.floats(0, 4e9),
    st.none() | st.floats(0, 1e6),
)
_operations = st.builds(
    ExpectedOperation, name=texts, protocol=texts, rate_per_s=st.none() | finite, scheduled=st.booleans()
)
_loads = st.builds(
    ExpectedLoad,
    scenario=texts,
    users=int64,
    rate_per_s=finite,
    operations=st.lists(_operations, max_size=3).map(tuple),
)
_faults = st.builds(
    ExpectedFault,
    experiment=texts,
    targets=st.lists(texts, max_size=3).map(tuple),
    expected_halt=st.booleans(),
    hold_s=finite,
    recovery_limit_s=finite,
)
_target_records = st.builds(
    TargetRecord,
    name=texts,
    environment=texts,
    chain_id=texts,
    genesis_hash=st.none() | texts,
    node_names=st.lists(texts, max_size=3).map(tuple),
    provider_names=st.lists(texts, max_size=3).map(tuple),
    voting_power=st.dictionaries(texts, int64, max_size=3),
    app_version=st.none() | texts,
)
manifests = st.builds(
    Manifest,
    schema_version=st.just(SCHEMA_VERSION),
    run_id=texts,
    plan_name=texts,
    plan_title=texts,
    hypothesis=texts,
    seed=int64,
    started_at_s=finite,
    ended_at_s=st.none() | finite,
    end=st.sampled_from(RunEnd),
    end_reason=texts,
    planned_s=finite,
    target=_target_records,
    loads=st.lists(_loads, max_size=2).map(tuple),
    faults=st.lists(_faults, max_size=2).map(tuple),
    phases=st.lists(_phases, max_size=3).map(tuple),
    clocks=st.lists(st.builds(ClockRecord, process=texts, wall_minus_monotonic_s=finite), max_size=2).map(tuple),
    children=st.lists(st.builds(ChildRecord, name=texts, exit_code=st.none() | int64, note=texts), max_size=2).map(
        tuple
    ),
    probe_period_s=finite,
    versions=st.dictionaries(texts, texts, max_size=3),
    host=st.dictionaries(texts, texts | int64 | finite, max_size=3),
    git_revision=st.none() | texts,
)
"""Manifests that are not sealed."""

fault_events = st.builds(
    FaultEvent,
    lease=texts,
    event=st.sampled_from(FaultEventKind),
    at_s=finite,
    fault=texts,
    targets=st.lists(texts, max_size=3).map(tuple),
    undo=st.none() | st.builds(Undo, verb=texts, targets=st.lists(texts, max_size=3).map(tuple)),
    deadline_at_s=st.none() | finite,
    evidence=texts,
)

# --- target ---

prefixes = st.from_regex(r"[a-z]{1,10}", fullmatch=True)
mnemonics = st.sampled_from([12, 15, 18, 21, 24]).flatmap(
    lambda count: st.lists(st.from_regex(r"[a-z]{3,8}", fullmatch=True), min_size=count, max_size=count).map(" ".join)
)
_some_text = st.text(min_size=1, max_size=20)
_variables = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)


@st.composite
def target_files(draw: st.DrawFn) -> TargetFile:
    """Valid Target files: every field written or left out, every way of authentication, with or without secrets."""
    some = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    nodes = [draw(_node(some[0]))]
    providers: list[ProviderEntry] = []
    apis: list[ApiEntry] = []
    for name in some[1:]:
        match draw(st.sampled_from(["node", "provider", "api"])):
            case "node":
                nodes.append(draw(_node(name)))
            case "provider":
                providers.append(draw(_provider(name)))
            case _:
                apis.append(ApiEntry(name=name, rest=draw(_some_text), grpc=draw(st.none() | _some_text)))
    environment = draw(st.sampled_from(Environment))
    control = draw(st.sampled_from(ControlKind))
    return TargetFile(
        name=draw(names),
        environment=environment,
        chain_id=draw(_some_text),
        genesis_hash=draw(st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
        control=control,
        control_socket=draw(_some_text) if control is ControlKind.DEVNET else None,
        bech32_prefix=draw(prefixes),
        denom=draw(st.from_regex(r"[a-zA-Z][a-zA-Z0-9/:._-]{2,20}", fullmatch=True)),
        gas_price=draw(st.floats(0, 1e6)),
        block_time_s=draw(st.floats(0.01, 1e4)),
        node=tuple(nodes),
        provider=tuple(providers),
        api=tuple(apis),
        accounts=draw(st.none() | _accounts(environment)),
    )


def _node(name: str) -> st.SearchStrategy[NodeEntry]:
    maybe = st.none() | _some_text
    with_host = st.builds(
        NodeEntry, name=st.just(name), host=_some_text, rpc=maybe, rest=maybe, grpc=maybe, metrics=maybe
    )
    return with_host | st.builds(
        NodeEntry, name=st.just(name), host=st.none(), rpc=_some_text, rest=maybe, grpc=maybe, metrics=maybe
    )


def _provider(name: str) -> st.SearchStrategy[ProviderEntry]:
    def of(auth: PortalAuth) -> st.SearchStrategy[ProviderEntry]:
        secret = _variables if auth is PortalAuth.HMAC else st.none()
        return st.builds(
            ProviderEntry,
            name=st.just(name),
            url=_some_text,
            auth=st.just(auth),
            secret_env=secret,
            principal=_some_text,
        )

    return st.sampled_from(PortalAuth).flatmap(of)


def _accounts(environment: Environment) -> st.SearchStrategy[AccountsEntry]:
    first, count = st.integers(0, 1000), st.integers(1, 1_000_000)
    by_name = st.builds(AccountsEntry, mnemonic_env=_variables, first=first, count=count)
    if environment is not Environment.DEV:
        return by_name
    return by_name | st.builds(AccountsEntry, mnemonic=mnemonics, first=first, count=count)
