"""Carry out an undo from the fault journal, whoever applied the fault and whatever became of them."""

from __future__ import annotations

from collections.abc import Callable

from bundle import Undo
from target.control import DevnetControl, Link, LinkRule
from target.errors import ControlError


def perform(undo: Undo, control: DevnetControl) -> None:
    """Take a fault away. Does nothing where it is gone already.

    Raises ControlError for the first target that it cannot be taken away from; the others are tried all the same.
    """
    match undo.verb:
        case "start":
            _each(undo.targets, control.start)
        case "resume":
            _each(undo.targets, control.resume)
        case "open_links":
            touching = [
                Link(source=link.source, destination=link.destination, rule=LinkRule())
                for link in control.links()
                if link.source in undo.targets or link.destination in undo.targets
            ]
            control.set_links(touching)
        case verb:
            raise ControlError(control.address, f"no undo is called {verb!r}; expected start, resume or open_links")


def _each(names: tuple[str, ...], order: Callable[[str], None]) -> None:
    problems = []
    for name in names:
        try:
            order(name)
        except ControlError as error:
            problems.append(error)
    if problems:
        raise problems[0]
