"""`gameday fund`: money for a target's load accounts, from an account of somebody who has some."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gamedays.cli_devnet import chosen_target_file
from gamedays.progress import Progress
from target.funding import Funder, TooLittle
from target.keys import AccountKey, derive_accounts
from target.target import Target, load_target

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--target", "target_file", type=_PATH, envvar="GAMEDAY_TARGET", help="Target file ($GAMEDAY_TARGET).")
@click.option(
    "--from", "source", required=True, help="Mnemonic of the payer: an environment variable, or a file that holds it."
)
@click.option("--from-index", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Its account.")
@click.option("--accounts", type=click.IntRange(1), help="Accounts to fund, from the first (default: all of the file).")
@click.option("--amount", type=click.IntRange(1), required=True, help="What each is to have, in the chain's denom.")
def fund(target_file: Path | None, source: str, from_index: int, accounts: int | None, amount: int) -> None:
    """Give a target's load accounts money. Accounts that have enough are left alone."""
    target = load_target(chosen_target_file(target_file))
    if target.accounts is None:
        raise click.UsageError(f"{target.name} has no [accounts]; expected a mnemonic to derive them from")
    if accounts is not None and accounts > target.accounts.count:
        raise click.UsageError(f"--accounts is {accounts}; expected at most {target.accounts.count}, as [accounts] has")
    progress, denom = Progress(), target.chain.denom
    try:
        funder = Funder(target, _payer(target, source, from_index))
        lack = funder.lack([key.address for key in target.accounts.derive(accounts)], amount)
        progress.step(f"{lack.enough} accounts have {amount} {denom}; {len(lack.outputs)} lack {lack.total}")
        done = 0
        for paid in funder.pay(lack):
            done += paid.accounts
            progress.step(f"{done} of {len(lack.outputs)} funded ({paid.tx_hash})")
    except TooLittle as error:
        raise click.ClickException(error.why) from None
    click.echo(f"{lack.enough + done} accounts have at least {amount} {denom}; {done} of them were funded now")


def _payer(target: Target, source: str, index: int) -> AccountKey:
    """Return the account that pays. The mnemonic is never shown."""
    mnemonic = os.environ.get(source, "")
    if not mnemonic:
        try:
            mnemonic = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise click.UsageError(
                "--from names neither an environment variable that is set nor a file that can be read"
            ) from None
    try:
        return next(derive_accounts(mnemonic, prefix=target.bech32_prefix, first=index, count=1))
    except ValueError as error:
        raise click.UsageError(f"--from: {error}") from None
