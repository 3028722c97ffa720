"""May this fault be applied? Every guard answers with a reason to refuse, or with None. They fail closed.

Guards are called by the lease, before anything is written or done, and never from a Chaos Toolkit control:
the toolkit swallows what a control raises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.fault import Forbidden
from target.control import LinkControl, ProcessControl, ProcessState, connect_control
from target.file import Environment
from target.power import VotingPower
from target.probe import identify
from target.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What somebody wants to do to a target."""

    fault: str
    targets: tuple[str, ...]
    expected_halt: bool = False
    """The plan declares that the chain will stand still, and counts recovery as success."""
    allow_production: bool = False


Guard = Callable[[Target, Intent], str | None]

_NOBODY = ""
"""Stands for the validators that no node of the target claims to be; no node has this name."""


def check(target: Target, intent: Intent) -> None:
    """Return when every guard lets the intent pass. Raises Forbidden with all reasons.

    A guard that raises refuses: what cannot be checked is not allowed.
    """
    reasons = []
    for guard in GUARDS:
        try:
            reason = guard(target, intent)
        except Exception as error:  # whatever it is, it is no permission
            reason = f"could not be checked ({type(error).__name__}: {error})"
        if reason is not None:
            reasons.append(f"{guard.__name__.replace('_', ' ')}: {reason}")
    if reasons:
        raise Forbidden(f"{intent.fault} on {', '.join(intent.targets)} is refused: {'; '.join(reasons)}")


def environment(target: Target, intent: Intent) -> str | None:
    """Production only when allowed explicitly."""
    if target.environment is Environment.PRODUCTION and not intent.allow_production:
        return f"{target.name} is a production target and production was not allowed"
    return None


def known_targets(target: Target, intent: Intent) -> str | None:
    """Every target is a part of the target that is controlled."""
    control = connect_control(target)
    if control is None:
        return f'{target.name} has control = "none"'
    known = {process.name for process in control.processes()}
    unknown = sorted(set(intent.targets) - known)
    if unknown or not intent.targets:
        return f"{', '.join(unknown) or 'nothing'} is no process of {target.name}; expected some of {sorted(known)}"
    return None


def fingerprint(target: Target, intent: Intent) -> str | None:
    """The network is the one that the Target file means: chain id, and genesis where it is given."""
    found = identify(target)
    if found.chain_id != target.chain.chain_id:
        return f"the network is {found.chain_id}; expected {target.chain.chain_id}"
    if target.genesis_hash is not None and found.genesis_hash != target.genesis_hash:
        return f"the genesis hash is {found.genesis_hash}; expected {target.genesis_hash}"
    return None


def voting_power(target: Target, intent: Intent) -> str | None:
    """More than 2/3 of the voting power stays, with what is down already; unless a halt is declared."""
    if intent.expected_halt:
        return None
    found = identify(target)
    if not found.silent:
        return power_reason(found.power, intent.targets)
    # A silent node cannot say which validator it is: what nobody claims may be its power, and counts as lost.
    power = VotingPower(by_node={**found.power.by_node, _NOBODY: found.power.unknown})
    reason = power_reason(power, [*intent.targets, *found.silent, _NOBODY])
    return reason and f"{reason}; {', '.join(found.silent)} does not answer and counts as lost"


def power_reason(power: VotingPower, lost: Sequence[str]) -> str | None:
    """Return why losing these nodes would halt the chain, None when it would not."""
    if power.survives_losing(lost):
        return None
    return f"losing {power.describe_loss(lost)} halts the chain, and the plan declares no halt (expected_halt = true)"


def nobody_elses_fault(target: Target, intent: Intent) -> str | None:
    """Nothing is broken yet: every process runs, every link is clear."""
    faults = present_faults(target)
    return f"already broken: {', '.join(faults)}" if faults else None


def present_faults(target: Target) -> list[str]:
    """Return the faults that are on the target now, in words. Raises TargetError."""
    control = connect_control(target)
    if control is None:
        return []
    found = []
    if isinstance(control, ProcessControl):
        found += [f"{p.name} {p.state}" for p in control.processes() if p.state is not ProcessState.RUNNING]
    if isinstance(control, LinkControl):
        found += [f"link {k.source} to {k.destination} {k.rule.mode}" for k in control.links() if not k.rule.is_clear]
    return found


GUARDS: tuple[Guard, ...] = (environment, known_targets, fingerprint, voting_power, nobody_elses_fault)
