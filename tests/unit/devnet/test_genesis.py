"""What the nodes start from: the genesis, the homes, the Target file; and the real chain accepts them."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from Crypto.PublicKey import ECC

from bundle import DocumentError, read_toml
from devnet.build import build_chain
from devnet.errors import StartFailed
from devnet.genesis import DENOM, FUNDS_UVE, PREFIX, STAKE_UVE, write_network_files
from devnet.network import TEST_MNEMONIC, NetworkSpec
from devnet.record import NetworkRecord, RecordFile
from target.address import decode, encode
from target.keys import derive_accounts
from target.target import load_target

VALIDATORS, PROVIDERS, ACCOUNTS = 3, 2, 25
SPEC = NetworkSpec(validators=VALIDATORS, providers=PROVIDERS, accounts=ACCOUNTS, timeout_commit_ms=250)


@pytest.fixture(scope="session")
def chain_binary() -> Path:
    """The real chain, built once into the user's cache."""
    return build_chain(print)


def a_record(home: Path, binary: Path, spec: NetworkSpec = SPEC, *, name: str = "test") -> NetworkRecord:
    file = RecordFile(
        name=name,
        block=77,
        spec=spec,
        chain_binary=str(binary),
        socket=str(home / "control.sock"),
        keeper_pid=1,
        keeper_started_at_s=0.0,
    )
    return NetworkRecord(home, file)


@pytest.fixture(scope="session")
def written(chain_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> NetworkRecord:
    record = a_record(tmp_path_factory.mktemp("network"), chain_binary)
    write_network_files(record)
    return record


@pytest.fixture(scope="session")
def genesis(written: NetworkRecord) -> dict[str, Any]:
    return dict(json.loads((written.network.validator_home(0) / "config" / "genesis.json").read_text()))


def test_the_chain_accepts_it(written: NetworkRecord) -> None:
    path = written.network.validator_home(0) / "config" / "genesis.json"
    answer = subprocess.run(
        [str(written.chain_binary), "genesis", "validate", str(path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_the_chain_refuses_one_whose_supply_is_wrong(written: NetworkRecord, tmp_path: Path) -> None:
    """So that its yes means something."""
    document = json.loads((written.network.validator_home(0) / "config" / "genesis.json").read_text())
    document["app_state"]["bank"]["supply"][0]["amount"] = "1"
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(document))
    answer = subprocess.run(
        [str(written.chain_binary), "genesis", "validate", str(path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode != 0


def test_every_node_has_the_same_genesis(written: NetworkRecord) -> None:
    texts = {
        (written.network.validator_home(index) / "config" / "genesis.json").read_text() for index in range(VALIDATORS)
    }
    assert len(texts) == 1


def test_accounts_are_numbered_in_their_order_and_load_accounts_come_first(genesis: dict[str, Any]) -> None:
    accounts = genesis["app_state"]["auth"]["accounts"]
    assert [int(account["account_number"]) for account in accounts] == [*range(ACCOUNTS + VALIDATORS)]
    keys = derive_accounts(TEST_MNEMONIC, prefix=PREFIX, count=ACCOUNTS)
    assert [account["address"] for account in accounts[:ACCOUNTS]] == [key.address for key in keys]
    addresses = [account["address"] for account in accounts]
    assert len(set(addresses)) == len(addresses)
    assert {account["sequence"] for account in accounts} == {"0"}


def test_the_supply_is_the_sum_of_the_balances(genesis: dict[str, Any]) -> None:
    bank = genesis["app_state"]["bank"]
    amounts = [int(coin["amount"]) for balance in bank["balances"] for coin in balance["coins"]]
    assert bank["supply"] == [{"denom": DENOM, "amount": str(sum(amounts))}]
    assert sum(amounts) == FUNDS_UVE * (ACCOUNTS + VALIDATORS) + STAKE_UVE * VALIDATORS
    pool = encode(PREFIX, hashlib.sha256(b"bonded_tokens_pool").digest()[:20])
    assert {b["address"]: b["coins"][0]["amount"] for b in bank["balances"]}[pool] == str(STAKE_UVE * VALIDATORS)


def test_the_validators_are_bonded_and_own_their_stake(genesis: dict[str, Any]) -> None:
    staking = genesis["app_state"]["staking"]
    assert len(staking["validators"]) == len(staking["delegations"]) == VALIDATORS
    for validator, delegation in zip(staking["validators"], staking["delegations"], strict=True):
        assert (validator["status"], validator["tokens"]) == ("BOND_STATUS_BONDED", str(STAKE_UVE))
        assert delegation["validator_address"] == validator["operator_address"]
        assert decode(delegation["delegator_address"])[1] == decode(validator["operator_address"])[1]
        assert delegation["shares"] == validator["delegator_shares"]
    monikers = [validator["description"]["moniker"] for validator in staking["validators"]]
    assert monikers == ["validator-0", "validator-1", "validator-2"]


def test_keys_belong_together_and_to_one_node_only(written: NetworkRecord, genesis: dict[str, Any]) -> None:
    staked = [v["consensus_pubkey"]["key"] for v in genesis["app_state"]["staking"]["validators"]]
    seen = set()
    for index in range(VALIDATORS):
        config = written.network.validator_home(index) / "config"
        key = json.loads((config / "priv_validator_key.json").read_text())
        private = base64.b64decode(key["priv_key"]["value"])
        public = base64.b64decode(key["pub_key"]["value"])
        derived = ECC.construct(curve="Ed25519", seed=private[:32]).public_key().export_key(format="raw")
        assert private[32:] == public == derived
        assert key["address"] == hashlib.sha256(public).hexdigest()[:40].upper()
        assert staked[index] == key["pub_key"]["value"]
        node = json.loads((config / "node_key.json").read_text())["priv_key"]["value"]
        seen |= {key["priv_key"]["value"], node}
    assert len(seen) == 2 * VALIDATORS


def test_nodes_know_each_other_by_their_links_only(written: NetworkRecord) -> None:
    ids = []
    for index in range(VALIDATORS):
        node = json.loads((written.network.validator_home(index) / "config" / "node_key.json").read_text())
        public = base64.b64decode(node["priv_key"]["value"])[32:]
        ids.append(hashlib.sha256(public).hexdigest()[:40])
    for index in range(VALIDATORS):
        config = tomllib.loads((written.network.validator_home(index) / "config" / "config.toml").read_text())
        expected = {
            f"{ids[other]}@{written.network.link_host(index, other)}:26656"
            for other in range(VALIDATORS)
            if other != index
        }
        assert set(config["p2p"]["persistent_peers"].split(",")) == expected
        assert config["p2p"]["pex"] is False
        assert config["consensus"]["timeout_commit"] == "250ms"
        assert config["rpc"]["laddr"] == f"tcp://127.77.1.{index + 1}:26657"


def test_the_node_configuration_follows_the_spec(chain_binary: Path, tmp_path: Path, written: NetworkRecord) -> None:
    unlimited = a_record(tmp_path, chain_binary, NetworkSpec(validators=1, accounts=1, rate_limit=False))
    write_network_files(unlimited)
    for record, expected in ((written, True), (unlimited, False)):
        app = tomllib.loads((record.network.validator_home(0) / "config" / "app.toml").read_text())
        assert app["rate-limit"]["enabled"] is expected
        assert app["minimum-gas-prices"] == "0.025uve"


def test_the_target_file_describes_the_network(written: NetworkRecord) -> None:
    target = load_target(written.network.target_file)
    assert [node.name for node in target.nodes] == ["validator-0", "validator-1", "validator-2"]
    assert [node.rpc_url for node in target.nodes] == [f"http://127.77.1.{n}:26657" for n in (1, 2, 3)]
    assert [provider.url for provider in target.providers] == ["http://127.77.2.1:8080", "http://127.77.2.2:8080"]
    assert target.control_socket == written.socket
    assert target.accounts is not None
    assert len(target.accounts.derive()) == ACCOUNTS
    assert target.chain.chain_id == SPEC.chain_id


def test_the_same_name_gives_the_same_keys_and_another_one_others(chain_binary: Path, tmp_path: Path) -> None:
    def keys(folder: str, name: str) -> str:
        spec = NetworkSpec(validators=1, providers=0, accounts=1)
        record = a_record(tmp_path / folder, chain_binary, spec, name=name)
        write_network_files(record)
        return (record.network.validator_home(0) / "config" / "priv_validator_key.json").read_text()

    assert keys("a", "one") == keys("b", "one")
    assert keys("a", "one") != keys("c", "two")


@pytest.mark.slow
def test_thousands_of_accounts_are_numbered_without_a_gap(chain_binary: Path, tmp_path: Path) -> None:
    record = a_record(tmp_path, chain_binary, NetworkSpec(validators=1, providers=0, accounts=3000))
    write_network_files(record)
    document = json.loads((record.network.validator_home(0) / "config" / "genesis.json").read_text())
    numbers = [int(account["account_number"]) for account in document["app_state"]["auth"]["accounts"]]
    assert numbers == [*range(3001)]


@pytest.mark.parametrize(
    "script",
    ["exit 3", "echo no json", "kill -9 $$"],
    ids=["fails", "no JSON", "dies"],
)
def test_a_binary_that_gives_no_default_genesis(tmp_path: Path, script: str) -> None:
    binary = tmp_path / "ved"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    with pytest.raises(StartFailed, match="genesis default failed"):
        write_network_files(a_record(tmp_path / "home", binary))


def test_a_binary_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="genesis default failed"):
        write_network_files(a_record(tmp_path / "home", tmp_path / "nothing"))


@pytest.mark.parametrize(
    "text",
    ["validators = 0", "validators = 101", "accounts = 0", "timeout_commit_ms = 1", 'chain_id = "X"', "more = 1"],
)
def test_a_spec_out_of_bounds_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(text)
    with pytest.raises(DocumentError) as caught:
        read_toml(path, NetworkSpec)
    assert text.split(" ")[0] in str(caught.value)
