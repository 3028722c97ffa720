"""Carry out an undo from the fault journal, whoever applied the fault and whatever became of them."""

from __future__ import annotations

from bundle import Undo
from target.control import DevnetControl, Link, LinkRule
from target.errors import ControlError


def perform(undo: Undo, control: DevnetControl) -> None:
    """Take a fault away. Does nothing where it is gone already. Raises ControlError."""
    match undo.verb:
        case "start":
            for name in undo.targets:
                control.start(name)
        case "resume":
            for name in undo.targets:
                control.resume(name)
        case "open_links":
            touching = [
                Link(source=link.source, destination=link.destination, rule=LinkRule())
                for link in control.links()
                if link.source in undo.targets or link.destination in undo.targets
            ]
            control.set_links(touching)
        case verb:
            raise ControlError(control.address, f"no undo is called {verb!r}; expected start, resume or open_links")
