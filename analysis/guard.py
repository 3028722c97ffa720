"""Ask a check so that one that breaks is INCONCLUSIVE, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from analysis.verdict import Check, Reason, Verdict


def guarded(name: str, ask: Callable[[], Check], *, taints: Iterable[str] = ()) -> Check:
    """Return what `ask` returns; when it breaks, a check that says so and taints what it would have vouched for."""
    try:
        return ask()
    except Exception as error:  # whatever broke, the run is not judged by its absence
        return crashed(name, error, taints=taints)


def crashed(name: str, error: Exception, *, taints: Iterable[str] = ()) -> Check:
    """Return the check of something that broke."""
    reason = Reason(code="check.crashed", sentence=f"{name} crashed: {type(error).__name__}: {error}")
    return Check(
        name=name,
        title=f"The check {name}",
        verdict=Verdict.INCONCLUSIVE,
        summary=reason.sentence,
        reasons=(reason,),
        taints=tuple(sorted(taints)),
    )
