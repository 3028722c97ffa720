"""What somebody should look at although it changes no verdict."""

from __future__ import annotations

from analysis.run import Run
from analysis.transactions import contradictions
from analysis.verdict import Evidence, Reason
from bundle import LoadStep


def find_warnings(run: Run) -> list[Reason]:
    """Return the warnings of a run, in the order in which a reader should meet them."""
    return [*_accounts_too_few(run), *contradictions(run)]


def _accounts_too_few(run: Run) -> list[Reason]:
    """Return a warning when the load noted that the Target file names fewer accounts than its rate needs."""
    short = [note for note in run.load_notes if note.event is LoadStep.ACCOUNTS_TOO_FEW]
    if not short:
        return []
    accounts, needed = sum(note.accounts or 0 for note in short), sum(note.needed or 0 for note in short)
    sentence = (
        f"{accounts} load accounts are funded; {needed} are needed for {sum(note.rate_per_s or 0 for note in short):g}"
        f" transfers a second at {short[0].block_time_s:g} s a block: some will be refused by the chain's limit, or not"
        " sent"
    )
    return [Reason(code="accounts.too_few", sentence=sentence, evidence=(Evidence(file="logs/load.jsonl"),))]
