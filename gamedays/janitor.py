"""Clean up after somebody: heal what is broken on a target, delete what dead devnets left on disk."""

from __future__ import annotations

from collections.abc import Iterator

from bundle import DocumentError, Problem
from devnet.lifecycle import sweep_dead
from devnet.record import all_records
from target.control import DevnetControl, Link, LinkRule, ProcessState, connect_control
from target.errors import TargetError
from target.target import Target


def clean_devnets() -> Iterator[str]:
    """Heal every devnet that lives and sweep those that do not; yields a line for each thing that was done.

    One that is owned belongs to a run that goes on: what is broken there is meant, and ends with the run.
    """
    for record in all_records():
        if record.keeper() is not None and record.file.is_supervised and not record.is_held_by_a_run():
            yield from _heal(DevnetControl(record.socket), record.network.name)
    for name in sweep_dead():
        yield f"{name}: its supervisor was gone; files deleted"


def heal_target(target: Target) -> Iterator[str]:
    """Heal one target; yields a line for each thing that was done. Raises DocumentError when it has no control port."""
    control = connect_control(target)
    if control is None:
        problem = Problem(where="control", found='is "none": nothing could be healed from here', expected='"devnet"')
        raise DocumentError(f"target {target.name}", (problem,))
    yield from _heal(control, target.name)


def _heal(control: DevnetControl, name: str) -> Iterator[str]:
    """Heal what can be healed: one thing that cannot keeps no other from it."""
    try:
        broken = [link for link in control.links() if not link.rule.is_clear]
        if broken:
            control.set_links(Link(source=k.source, destination=k.destination, rule=LinkRule()) for k in broken)
            yield f"{name}: opened {len(broken)} links"
    except TargetError as error:
        yield f"{name}: not healed: {error}"
    try:
        processes = control.processes()
    except TargetError as error:
        yield f"{name}: not healed: {error}"
        return
    for process in processes:
        try:
            if process.state is ProcessState.PAUSED:
                control.resume(process.name)
                yield f"{name}: resumed {process.name}"
            elif process.state is ProcessState.EXITED:
                control.start(process.name)
                yield f"{name}: started {process.name}"
        except TargetError as error:
            yield f"{name}: not healed: {error}"
