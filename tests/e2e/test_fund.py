"""`gameday fund`: accounts that the genesis does not know get money, and can send."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from target import funding
from target.errors import Refused
from target.file import AccountsEntry, read_target_file, target_toml
from target.funding import Funder, TooLittle
from target.query import account_state, balance, balances
from target.rpc import RpcClient
from target.target import Target, load_target
from target.transaction import TransferSigner
from tests.e2e.gameday_process import gameday, wait_until

COUNT, AMOUNT = 40, 1_000_000
Fresh = Callable[[], tuple[Path, Target]]


@pytest.fixture
def fresh(target: Path, tmp_path: Path) -> Fresh:
    """Make (Target file, Target) of the same network with accounts that nobody has heard of."""

    def make() -> tuple[Path, Target]:
        path = tmp_path / f"fresh-{len(list(tmp_path.iterdir()))}.toml"
        words = " ".join([os.urandom(4).hex(), *["word"] * 11])
        file = replace(read_target_file(target), accounts=AccountsEntry(mnemonic=words, count=COUNT))
        path.write_text(target_toml(file, with_secrets=True), encoding="utf-8")
        return path, load_target(path)

    return make


@pytest.fixture
def payer(target: Path, tmp_path: Path) -> Path:
    """A file with the mnemonic of the network's own accounts."""
    accounts = load_target(target).accounts
    assert accounts is not None
    path = tmp_path / "payer.txt"
    path.write_text(accounts.mnemonic + "\n", encoding="utf-8")
    return path


def keys(target: Target, count: int = COUNT) -> list[str]:
    assert target.accounts is not None
    return [key.address for key in target.accounts.derive(count)]


def test_fresh_accounts_can_send(fresh: Fresh, payer: Path) -> None:
    """Thirty are funded, then the ten that are left, then none; and the last one sends."""
    path, target = fresh()
    common = ("fund", "--target", path, "--from", payer, "--amount", str(AMOUNT))
    for arguments, have, now in ((("--accounts", "30"), 30, 30), ((), 40, 10), ((), 40, 0)):
        ended = gameday(*common, *arguments)
        assert ended.code == 0, ended.err
        assert ended.out == f"{have} accounts have at least {AMOUNT} uve; {now} of them were funded now\n"
    rpc = RpcClient(target.nodes[0].rpc_url)
    height = rpc.status().height
    assert balances(rpc, keys(target), "uve", height=height) == [AMOUNT] * COUNT

    assert target.accounts is not None
    sender = target.accounts.key(COUNT - 1)
    state = account_state(rpc, sender.address)
    assert state is not None
    signer = TransferSigner(sender, target.chain, account_number=state.number)
    assert rpc.broadcast(signer.transfer(keys(target)[0], 7, sequence=state.sequence).raw).code == 0
    wait_until(lambda: balance(rpc, keys(target)[0], "uve") == AMOUNT + 7, "the transfer")


def test_what_an_account_has_is_topped_up_in_batches(
    fresh: Fresh, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven a transaction, and then only as many as fit into its bytes; the funder itself is left out."""
    _, new = fresh()
    old = load_target(target)
    assert old.accounts is not None
    funder = Funder(new, old.accounts.key(1))
    monkeypatch.setattr(funding, "MAX_OUTPUTS", 7)
    first = list(funder.pay(funder.lack([*keys(new, 10), old.accounts.key(1).address], 400)))
    assert [paid.accounts for paid in first] == [7, 3]
    monkeypatch.setattr(funding, "MAX_RAW_BYTES", 550)
    lack = funder.lack(keys(new, 12), 1000)
    assert (lack.enough, lack.total) == (0, 10 * 600 + 2 * 1000)
    second = list(funder.pay(lack))
    assert [paid.accounts for paid in second] == [3, 3, 3, 3]
    assert funder.lack(keys(new, 12), 1000).outputs == ()


def test_a_payer_with_too_little_pays_nothing(fresh: Fresh, payer: Path, target: Path) -> None:
    path, new = fresh()
    ended = gameday("fund", "--target", path, "--from", payer, "--amount", str(10**17))
    assert (ended.code, ended.out) == (2, "")
    assert f"expected {COUNT * 10**17} for {COUNT} accounts" in ended.err
    rpc = RpcClient(new.nodes[0].rpc_url)
    assert balances(rpc, keys(new), "uve", height=rpc.status().height) == [0] * COUNT


def test_a_payer_that_the_chain_does_not_know(fresh: Fresh) -> None:
    _, new = fresh()
    assert new.accounts is not None
    with pytest.raises(TooLittle, match="is not known to the chain"):
        Funder(new, new.accounts.key(0))


def test_a_payment_that_the_chain_refuses_is_told(fresh: Fresh, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little gas: the chain's own words, and no waiting."""
    _, new = fresh()
    old = load_target(target)
    assert old.accounts is not None
    funder = Funder(new, old.accounts.key(2))
    monkeypatch.setattr(funding, "GAS_SPARE", 0.1)
    with pytest.raises(Refused, match="sdk/11"):
        list(funder.pay(funder.lack(keys(new, 3), 400)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "NO_SUCH_VARIABLE"), "neither an environment variable that is set nor a file"),
        (("--from", "TOO_SHORT"), "--from: the mnemonic has 2 words"),
        (("--from", "TOO_SHORT", "--accounts", "41"), "--accounts is 41; expected at most 40"),
    ],
)
def test_wrong_use_is_one_sentence(fresh: Fresh, arguments: tuple[str, ...], words: str) -> None:
    path, _ = fresh()
    ended = gameday("fund", "--target", path, "--amount", "1", *arguments, TOO_SHORT="two words")
    assert ended.code == 2
    assert words in ended.err
