"""What somebody should look at although it changes no verdict."""

from __future__ import annotations

from analysis.run import Run
from analysis.transactions import contradictions
from analysis.verdict import Evidence, Reason


def find_warnings(run: Run) -> list[Reason]:
    """Return the warnings of a run, in the order in which a reader should meet them."""
    return [*_accounts_too_few(run), *contradictions(run)]


def _accounts_too_few(run: Run) -> list[Reason]:
    """Return a warning when the load noted that the Target file names fewer accounts than its rate needs."""
    for note in run.load_notes:
        if note.get("event") == "accounts_too_few":
            sentence = (
                f"{note.get('accounts')} load accounts are funded; {note.get('needed')} are needed for"
                f" {note.get('rate_per_s')} transfers a second at {note.get('block_time_s')} s a block: some will be"
                " refused by the chain's limit, or not sent"
            )
            # Every worker has the same accounts and the same rate, and says so.
            return [Reason(code="accounts.too_few", sentence=sentence, evidence=(Evidence(file="logs/load.jsonl"),))]
    return []
