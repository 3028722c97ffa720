"""Before anything is broken: is the target the one that is meant, alive, whole, and able to bear the plan?

Unsafe is refused (exit code 4). A target that is down is no danger and no result: the run is INCONCLUSIVE.
"""

from __future__ import annotations

from bundle import TargetRecord
from experiments.fault import Forbidden
from experiments.guards import Intent, check, present_faults
from gamedays.plan import Plan
from target.file import Environment
from target.probe import Identity, identify
from target.target import Target


def clear(plan: Plan, target: Target, *, allow_production: bool) -> TargetRecord:
    """Return what the target is. Raises Forbidden when the plan must not be run on it, Unreachable when it is down."""
    if target.environment is Environment.PRODUCTION and not allow_production:
        raise Forbidden(f"{target.name} is a production target; load and faults there need --allow-production")
    identity = identify(target)
    if identity.chain_id != target.chain.chain_id:
        raise Forbidden(f"{target.name} is on chain {identity.chain_id}; the Target file says {target.chain.chain_id}")
    if plan.file.fault and (found := present_faults(target)):
        raise Forbidden(f"{target.name} is broken already: {', '.join(found)}; heal it with `gameday janitor` first")
    for fault in plan.file.fault:
        intent = Intent(
            fault=fault.experiment,
            targets=fault.targets,
            expected_halt=fault.expected_halt,
            allow_production=allow_production,
        )
        check(target, intent)
    return _record(target, identity)


def _record(target: Target, identity: Identity) -> TargetRecord:
    return TargetRecord(
        name=target.name,
        environment=target.environment.value,
        chain_id=identity.chain_id,
        genesis_hash=identity.genesis_hash,
        node_names=tuple(node.name for node in target.nodes),
        provider_names=tuple(provider.name for provider in target.providers),
        voting_power=dict(identity.power.by_node),
        app_version=identity.app_version,
    )


def unreachable_record(target: Target) -> TargetRecord:
    """Return the record of a target that told nothing of itself."""
    return TargetRecord(
        name=target.name,
        environment=target.environment.value,
        chain_id=target.chain.chain_id,
        genesis_hash=None,
        node_names=tuple(node.name for node in target.nodes),
        provider_names=tuple(provider.name for provider in target.providers),
        voting_power={},
    )
