"""The total supply is accounted for: it changes by what was minted and burned, and by nothing else."""

from __future__ import annotations

from analysis.run import Run
from analysis.verdict import Check, Evidence, Reason, Verdict
from bundle import SUPPLY

_NAME, _TITLE = "invariant.supply", "The total supply is accounted for"


def supply_accounted_for(run: Run) -> Check:
    """Return the check; INCONCLUSIVE without an opening and a closing total and every height between them."""
    supply = run.supply
    levels = supply[supply["total_uve"].notna()].sort_values("height")
    if run.is_damaged(SUPPLY) or len(levels) < 2:
        return _unknown(run, "the supply was not asked for at the beginning and at the end")
    opening, closing = levels.iloc[0], levels.iloc[-1]
    flows = supply[supply["minted_uve"].notna()]
    flows = flows[(flows["height"] > opening["height"]) & (flows["height"] <= closing["height"])]
    missing = int(closing["height"] - opening["height"]) - flows["height"].nunique()
    if missing:
        return _unknown(run, f"{missing} heights between {opening['height']} and {closing['height']} were not read")
    # Python's whole numbers: amounts exceed 64 bits on chains with 18 decimals.
    change = int(closing["total_uve"]) - int(opening["total_uve"])
    minted = sum(int(amount) for amount in flows["minted_uve"])
    burned = sum(int(amount) for amount in flows["burned_uve"])
    if change != minted - burned:
        sentence = (
            f"from height {opening['height']} to {closing['height']} the supply changed by {change};"
            f" {minted} were minted and {burned} burned, {change - minted + burned} are unaccounted for"
        )
        evidence = tuple(Evidence(file=run.file_of(SUPPLY), row=int(row["row"])) for row in (opening, closing))
        reason = Reason(code="supply.unaccounted", sentence=sentence, evidence=evidence)
        return Check(name=_NAME, title=_TITLE, verdict=Verdict.FAIL, summary=sentence, reasons=(reason,))
    summary = f"{minted} minted, {burned} burned over {len(flows)} blocks: the supply changed by just that"
    return Check(name=_NAME, title=_TITLE, verdict=Verdict.PASS, summary=summary)


def _unknown(run: Run, sentence: str) -> Check:
    reason = Reason(code="supply.not_read", sentence=sentence, evidence=(Evidence(file=run.file_of(SUPPLY)),))
    return Check(name=_NAME, title=_TITLE, verdict=Verdict.INCONCLUSIVE, summary=sentence, reasons=(reason,))
