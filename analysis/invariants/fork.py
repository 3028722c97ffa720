"""No two nodes disagree: one block hash and one app hash a height, and every node computed what the chain agreed on.

The app hash in the header of height h + 1 is the state after h. A node that computed another one has left the
consensus, whatever its `/health` says.
"""

from __future__ import annotations

import pandas as pd

from analysis.run import Run
from analysis.verdict import Check, Evidence, Reason, Verdict
from bundle import BLOCKS

_SHOWN = 5
_NAME, _TITLE = "invariant.no_fork", "No two nodes disagree on a block or app hash"


def no_fork(run: Run) -> Check:
    """Return the check; INCONCLUSIVE when no height was seen on two nodes, or no block of some node."""
    blocks = run.blocks
    shared = blocks.groupby("height")["node"].nunique()
    compared = int((shared > 1).sum())
    if len(run.manifest.target.node_names) < 2:
        return Check(name=_NAME, title=_TITLE, verdict=Verdict.PASS, summary="the target has one node", applies=False)
    why = _not_compared(run, compared)
    reasons = [
        *_different(run, blocks, "block_hash", "fork.block_hash", "the block"),
        *_different(run, blocks, "header_app_hash", "fork.app_hash", "the app hash in the header"),
        *_own_state(run, blocks),
    ]
    if reasons and not run.is_damaged(BLOCKS):
        return Check(
            name=_NAME, title=_TITLE, verdict=Verdict.FAIL, summary=reasons[0].sentence, reasons=tuple(reasons[:_SHOWN])
        )
    if why:
        reason = Reason(code="fork.not_compared", sentence=why, evidence=(Evidence(file=run.file_of(BLOCKS)),))
        return Check(name=_NAME, title=_TITLE, verdict=Verdict.INCONCLUSIVE, summary=why, reasons=(reason,))
    own = int(blocks["own_app_hash"].notna().sum())
    summary = f"{compared} heights on up to {int(shared.max())} nodes agree; {own} states computed by nodes agree"
    return Check(name=_NAME, title=_TITLE, verdict=Verdict.PASS, summary=summary)


def _not_compared(run: Run, compared: int) -> str:
    """Return why it cannot be said that all agree; empty when it can."""
    if run.is_damaged(BLOCKS):
        return "the blocks are damaged"
    if compared == 0:
        return "no height was seen on two nodes"
    unseen = sorted(set(run.manifest.target.node_names) - set(run.blocks["node"]))
    return f"no block of {', '.join(unseen)} was seen" if unseen else ""


def _different(run: Run, blocks: pd.DataFrame, column: str, code: str, what: str) -> list[Reason]:
    """Return a reason for every height at which nodes give different values."""
    known = blocks[blocks[column].notna()]
    counts = known.groupby("height")[column].nunique()
    reasons = []
    for height in counts.index[counts > 1]:
        rows = known[known["height"] == height].drop_duplicates(column)
        told = ", ".join(f"{node} says {value[:12]}…" for node, value in zip(rows["node"], rows[column], strict=True))
        evidence = tuple(Evidence(file=run.file_of(BLOCKS), row=int(row)) for row in rows["row"])
        sentence = f"height {height}: nodes disagree on {what}: {told}"
        reasons.append(Reason(code=code, sentence=sentence, evidence=evidence))
    return reasons


def _own_state(run: Run, blocks: pd.DataFrame) -> list[Reason]:
    """Return a reason for every node and height whose computed state is not what the next header says."""
    agreed = blocks[blocks["header_app_hash"].notna()].drop_duplicates("height").set_index("height")["header_app_hash"]
    own = blocks[blocks["own_app_hash"].notna()].copy()
    own["agreed"] = (own["height"] + 1).map(agreed)
    wrong = own[own["agreed"].notna() & (own["agreed"] != own["own_app_hash"])]
    columns = (wrong[name] for name in ("node", "height", "own_app_hash", "agreed", "row"))
    return [
        Reason(
            code="fork.own_state",
            sentence=(
                f"{node} computed app hash {computed[:12]}… after height {height};"
                f" the chain agreed on {agreed_hash[:12]}…"
            ),
            evidence=(Evidence(file=run.file_of(BLOCKS), row=int(row)),),
        )
        for node, height, computed, agreed_hash, row in zip(*columns, strict=True)
    ]
