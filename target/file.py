"""The Target file as a person writes it: optional fields, documented defaults.

`target.target.Target` is what it resolves to. The file is read, checked and written here; nothing is asked
of the network.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import StringConstraints

from bundle import document, read_toml

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=60)]
Text = Annotated[str, StringConstraints(min_length=1)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]

_LAST_INDEX = 2**31 - 1
"""Last place of a BIP-32 path that is not hardened."""


class Environment(StrEnum):
    """Where the target stands. Load and faults on production are refused unless allowed explicitly."""

    DEV = "dev"
    STAGING = "staging"
    PRODUCTION = "production"


class ControlKind(StrEnum):
    """What can break and heal parts of the target."""

    DEVNET = "devnet"
    NONE = "none"


class PortalAuth(StrEnum):
    """How requests to a provider's portal API authenticate."""

    INSECURE = "insecure"
    HMAC = "hmac"
    WALLET = "wallet"


@document
class NodeEntry:
    """`[[node]]`: give `host` for VirtEngine's standard ports, or each address by itself."""

    name: Name
    host: Text | None = None
    """Stands for rpc http://host:26657, rest http://host:1317, grpc host:9090, metrics http://host:26660."""
    rpc: Text | None = None
    rest: Text | None = None
    grpc: Text | None = None
    metrics: Text | None = None

    def __post_init__(self) -> None:
        if self.host is None and self.rpc is None:
            raise ValueError("has neither host nor rpc; expected one of them")


@document
class ProviderEntry:
    """`[[provider]]`: a provider daemon's portal API."""

    name: Name
    url: Text
    auth: PortalAuth = PortalAuth.INSECURE
    secret_env: Variable | None = None
    """Environment variable that holds the HMAC secret."""
    principal: str = "harness"

    def __post_init__(self) -> None:
        if (self.auth is PortalAuth.HMAC) != (self.secret_env is not None):
            raise ValueError(
                f'auth is "{self.auth}" and secret_env is {self.secret_env!r};'
                ' expected secret_env with "hmac" and only there'
            )


@document
class ApiEntry:
    """`[[api]]`: a gateway in front of the nodes. Without any, the nodes' own REST and gRPC are the API."""

    name: Name
    rest: Text
    grpc: Text | None = None


@document
class AccountsEntry:
    """`[accounts]`: funded accounts for load, m/44'/118'/0'/0/first … of one mnemonic."""

    mnemonic_env: Variable | None = None
    """Environment variable that holds the mnemonic: for everything but a throw-away network."""
    mnemonic: Text | None = None
    """The mnemonic itself: only where environment is "dev"."""
    first: Annotated[int, Ge(0), Le(_LAST_INDEX)] = 0
    count: Annotated[int, Gt(0), Le(1_000_000)]

    def __post_init__(self) -> None:
        if (self.mnemonic is None) == (self.mnemonic_env is None):
            raise ValueError("has both or neither of mnemonic and mnemonic_env; expected exactly one")
        last = self.first + self.count - 1
        if last > _LAST_INDEX:
            raise ValueError(f"ends at place {last} of the path; expected {_LAST_INDEX} at most")


@document
class TargetFile:
    """A Target file, every field."""

    name: Name
    environment: Environment
    chain_id: Annotated[str, StringConstraints(min_length=1, max_length=50)]
    genesis_hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Fingerprint: faults are refused when the network's genesis is another. `gameday doctor` shows it."""
    control: ControlKind = ControlKind.NONE
    control_socket: Text | None = None
    bech32_prefix: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,20}$")] = "ve"
    denom: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9/:._-]{2,127}$")] = "uve"
    gas_price: Annotated[float, Ge(0)] = 0.025
    block_time_s: Annotated[float, Gt(0)] = 1.3
    """Expected time from block to block: sizes limits of waiting for one."""
    node: Annotated[tuple[NodeEntry, ...], MinLen(1)]
    provider: tuple[ProviderEntry, ...] = ()
    api: tuple[ApiEntry, ...] = ()
    accounts: AccountsEntry | None = None

    def __post_init__(self) -> None:
        entries: tuple[NodeEntry | ProviderEntry | ApiEntry, ...] = (*self.node, *self.provider, *self.api)
        names = [entry.name for entry in entries]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"uses the name {twice[0]!r} twice; expected each node, provider and api once")
        if (self.control is ControlKind.DEVNET) != (self.control_socket is not None):
            raise ValueError(
                f'control is "{self.control}" and control_socket is {self.control_socket!r};'
                ' expected control_socket with "devnet" and only there'
            )
        if self.accounts and self.accounts.mnemonic and self.environment is not Environment.DEV:
            raise ValueError(
                f'accounts.mnemonic is written out and environment is "{self.environment}";'
                " expected accounts.mnemonic_env"
            )


def read_target_file(path: Path) -> TargetFile:
    """Return the Target file at `path`. Raises DocumentError."""
    return read_toml(path, TargetFile)


def target_toml(file: TargetFile, *, with_secrets: bool) -> str:
    """Return the Target file as TOML. Without secrets, a written-out mnemonic is named as left out."""
    if not with_secrets and file.accounts and file.accounts.mnemonic:
        bare = replace(file.accounts, mnemonic=None, mnemonic_env="LEFT_OUT_OF_THE_BUNDLE")
        file = replace(file, accounts=bare)
    plain = [(item.name, getattr(file, item.name)) for item in fields(file)]
    lines = [_line(name, value) for name, value in plain if _is_scalar(value)]
    for name, value in plain:
        entries = value if isinstance(value, tuple) else (value,)
        for entry in entries:
            if not _is_scalar(entry) and entry is not None:
                lines += ["", f"[[{name}]]" if isinstance(value, tuple) else f"[{name}]"]
                inner = [(item.name, getattr(entry, item.name)) for item in fields(entry)]
                lines += [_line(key, part) for key, part in inner if _is_scalar(part)]
    return "\n".join(lines) + "\n"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _line(name: str, value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    # JSON's text, number and boolean forms are TOML's too, but for surrogate pairs and the one control character left.
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{name} = {text}"
