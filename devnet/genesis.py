"""Write everything that the nodes of a network start from: genesis, keys, configuration, and the Target file.

The genesis holds the staking state directly (validators, delegations, the bonded pool) instead of signed
genesis transactions, and every account with an explicit number, its place in the list: so thousands of
accounts take a second, and a signer knows its account number without asking. Keys follow from names and are
therefore known to everybody: they guard nothing but this network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from Crypto.PublicKey import ECC

from devnet.errors import StartFailed
from devnet.network import (
    GRPC_PORT,
    METRICS_PORT,
    P2P_PORT,
    PORTAL_PORT,
    REST_PORT,
    RPC_PORT,
    TEST_MNEMONIC,
    Network,
)
from devnet.record import NetworkRecord
from target.address import ADDRESS_BYTES, decode, encode
from target.file import AccountsEntry, ControlKind, Environment, NodeEntry, ProviderEntry, TargetFile, target_toml
from target.keys import account_from_secret, derive_accounts

PREFIX, DENOM, MINIMUM_GAS_PRICE = "ve", "uve", 0.025
STAKE_UVE = 10_000_000_000
"""Self-stake of each validator, as on VirtEngine's localnet: power 10,000."""
FUNDS_UVE = 100_000_000_000
"""Balance of each account, as on VirtEngine's localnet."""
_EPOCH = "1970-01-01T00:00:00Z"
_DEFAULT_GENESIS_LIMIT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ed25519:
    """A node or consensus key."""

    seed: bytes
    public: bytes

    @classmethod
    def named(cls, label: str) -> _Ed25519:
        seed = hashlib.sha256(label.encode()).digest()
        public = ECC.construct(curve="Ed25519", seed=seed).public_key().export_key(format="raw")
        return cls(seed=seed, public=bytes(public))

    @property
    def address(self) -> bytes:
        return hashlib.sha256(self.public).digest()[:ADDRESS_BYTES]

    def private_json(self) -> dict[str, str]:
        return {"type": "tendermint/PrivKeyEd25519", "value": _base64(self.seed + self.public)}

    def public_json(self) -> dict[str, str]:
        return {"type": "tendermint/PubKeyEd25519", "value": _base64(self.public)}


def write_network_files(record: NetworkRecord) -> None:
    """Write the homes of all nodes, and the Target file, under the network's home.

    Raises StartFailed when the chain's binary does not give its default genesis.
    """
    network = record.network
    network.logs.mkdir(parents=True, exist_ok=True)
    genesis = json.dumps(_genesis(network, _default_app_state(record.chain_binary)))
    for index in range(network.spec.validators):
        _write_home(network, index, genesis)
    network.target_file.write_text(target_toml(_target_file(record), with_secrets=True), encoding="utf-8")


def _default_app_state(binary: Path) -> dict[str, Any]:
    try:
        answer = subprocess.run(
            [str(binary), "genesis", "default"], capture_output=True, timeout=_DEFAULT_GENESIS_LIMIT_S, check=True
        )
        return dict(json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise StartFailed(f"{binary} genesis default failed: {error}") from None


def _genesis(network: Network, app_state: dict[str, Any]) -> dict[str, Any]:
    """Return the genesis document."""
    spec = network.spec
    users = [key.address for key in derive_accounts(TEST_MNEMONIC, prefix=PREFIX, count=spec.accounts)]
    operators = [_operator_address(network, index) for index in range(spec.validators)]
    app_state["auth"]["accounts"] = [
        {
            "@type": "/cosmos.auth.v1beta1.BaseAccount",
            "address": address,
            "pub_key": None,
            "account_number": str(number),
            "sequence": "0",
        }
        for number, address in enumerate([*users, *(encode(PREFIX, operator) for operator in operators)])
    ]
    bonded_pool = encode(PREFIX, hashlib.sha256(b"bonded_tokens_pool").digest()[:ADDRESS_BYTES])
    balances = [(address, FUNDS_UVE) for address in users]
    balances += [(encode(PREFIX, operator), FUNDS_UVE) for operator in operators]
    balances.append((bonded_pool, STAKE_UVE * spec.validators))
    app_state["bank"]["balances"] = [{"address": address, "coins": [_coin(amount)]} for address, amount in balances]
    app_state["bank"]["supply"] = [_coin(sum(amount for _, amount in balances))]
    _stake(network, app_state, operators)
    return {
        "app_name": "virtengine",
        "genesis_time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "chain_id": spec.chain_id,
        "initial_height": "1",
        "app_hash": "",
        "app_state": app_state,
        "consensus": {"params": _consensus_params()},
    }


def _stake(network: Network, app_state: dict[str, Any], operators: list[bytes]) -> None:
    """Put every validator into the staking and slashing state, bonded from the first block."""
    validators, delegations, signing_infos = [], [], []
    for index, operator in enumerate(operators):
        key = _consensus_key(network, index)
        valoper, shares = encode(PREFIX + "valoper", operator), f"{STAKE_UVE}.000000000000000000"
        validators.append(
            {
                "operator_address": valoper,
                "consensus_pubkey": {"@type": "/cosmos.crypto.ed25519.PubKey", "key": _base64(key.public)},
                "jailed": False,
                "status": "BOND_STATUS_BONDED",
                "tokens": str(STAKE_UVE),
                "delegator_shares": shares,
                "description": {"moniker": network.validator_names[index]},
                "unbonding_height": "0",
                "unbonding_time": _EPOCH,
                "commission": {
                    "commission_rates": {"rate": "0.1", "max_rate": "0.2", "max_change_rate": "0.01"},
                    "update_time": _EPOCH,
                },
                "min_self_delegation": "1",
            }
        )
        delegations.append(
            {"delegator_address": encode(PREFIX, operator), "validator_address": valoper, "shares": shares}
        )
        consensus_address = encode(PREFIX + "valcons", key.address)
        signing_info = {
            "address": consensus_address,
            "start_height": "0",
            "index_offset": "0",
            "jailed_until": _EPOCH,
            "tombstoned": False,
            "missed_blocks_counter": "0",
        }
        signing_infos.append({"address": consensus_address, "validator_signing_info": signing_info})
    app_state["staking"]["validators"] = validators
    app_state["staking"]["delegations"] = delegations
    app_state["slashing"]["signing_infos"] = signing_infos


def _consensus_params() -> dict[str, Any]:
    """Return CometBFT's defaults, written out: block gas without limit, as VirtEngine has it."""
    return {
        "block": {"max_bytes": "4194304", "max_gas": "-1"},
        "evidence": {"max_age_num_blocks": "100000", "max_age_duration": "172800000000000", "max_bytes": "1048576"},
        "validator": {"pub_key_types": ["ed25519"]},
        "version": {"app": "0"},
        "abci": {"vote_extensions_enable_height": "0"},
    }


def _write_home(network: Network, index: int, genesis: str) -> None:
    home = network.validator_home(index)
    config, data = home / "config", home / "data"
    config.mkdir(parents=True, exist_ok=True)
    data.mkdir(exist_ok=True)
    consensus_key = _consensus_key(network, index)
    files = {
        config / "genesis.json": genesis,
        config / "config.toml": _comet_config(network, index),
        config / "app.toml": _app_config(network, index),
        config / "node_key.json": json.dumps({"priv_key": _node_key(network, index).private_json()}),
        config / "priv_validator_key.json": json.dumps(
            {
                "address": consensus_key.address.hex().upper(),
                "pub_key": consensus_key.public_json(),
                "priv_key": consensus_key.private_json(),
            }
        ),
        data / "priv_validator_state.json": json.dumps({"height": "0", "round": 0, "step": 0}),
    }
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")


def _comet_config(network: Network, index: int) -> str:
    """Return what differs from CometBFT's defaults; peers are known only by their links."""
    host = network.validator_host(index)
    peers = ",".join(
        f"{_node_key(network, other).address.hex()}@{network.link_host(index, other)}:{P2P_PORT}"
        for other in range(network.spec.validators)
        if other != index
    )
    return f"""moniker = "{network.validator_names[index]}"
[rpc]
laddr = "tcp://{host}:{RPC_PORT}"
pprof_laddr = ""
[p2p]
laddr = "tcp://{host}:{P2P_PORT}"
persistent_peers = "{peers}"
pex = false
addr_book_strict = false
allow_duplicate_ip = true
[consensus]
timeout_commit = "{network.spec.timeout_commit_ms}ms"
timeout_propose = "1s"
[instrumentation]
prometheus = true
prometheus_listen_addr = "{host}:{METRICS_PORT}"
"""


def _app_config(network: Network, index: int) -> str:
    host = network.validator_host(index)
    return f"""minimum-gas-prices = "{MINIMUM_GAS_PRICE}{DENOM}"
pruning = "nothing"
[api]
enable = true
address = "tcp://{host}:{REST_PORT}"
[grpc]
enable = true
address = "{host}:{GRPC_PORT}"
[rate-limit]
enabled = {str(network.spec.rate_limit).lower()}
"""


def _target_file(record: NetworkRecord) -> TargetFile:
    network, spec = record.network, record.network.spec
    nodes = [NodeEntry(name=n, host=network.validator_host(i)) for i, n in enumerate(network.validator_names)]
    providers = [
        ProviderEntry(name=name, url=f"http://{network.provider_host(i)}:{PORTAL_PORT}")
        for i, name in enumerate(network.provider_names)
    ]
    return TargetFile(
        name=network.name,
        environment=Environment.DEV,
        chain_id=spec.chain_id,
        control=ControlKind.DEVNET,
        control_socket=str(record.socket),
        bech32_prefix=PREFIX,
        denom=DENOM,
        gas_price=MINIMUM_GAS_PRICE,
        block_time_s=spec.timeout_commit_ms / 1000 + 0.3,  # measured: consensus takes 0.3 s of four validators
        node=tuple(nodes),
        provider=tuple(providers),
        accounts=AccountsEntry(mnemonic=TEST_MNEMONIC, count=spec.accounts),
    )


def _consensus_key(network: Network, index: int) -> _Ed25519:
    return _Ed25519.named(f"{network.name}/{network.validator_names[index]}/consensus")


def _node_key(network: Network, index: int) -> _Ed25519:
    return _Ed25519.named(f"{network.name}/{network.validator_names[index]}/node")


def _operator_address(network: Network, index: int) -> bytes:
    secret = hashlib.sha256(f"{network.name}/{network.validator_names[index]}/operator".encode()).digest()
    return decode(account_from_secret(secret, prefix=PREFIX, index=index).address)[1]


def _coin(amount: int) -> dict[str, str]:
    return {"denom": DENOM, "amount": str(amount)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
