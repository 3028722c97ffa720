"""What can go wrong with a devnet.

DevnetError
├── PrerequisiteMissing   something has to be installed first
├── BuildFailed           the chain does not compile
├── AddressTaken          another program holds an address that the network needs
├── NoSuchNetwork         no network of that name
└── StartFailed           a process ended, or did not become ready in time
"""

from __future__ import annotations


class DevnetError(Exception):
    """Root of this room's errors; the message is one sentence for the person at the terminal."""


class PrerequisiteMissing(DevnetError):
    """Something has to be installed first."""


class BuildFailed(DevnetError):
    """The chain does not compile."""


class AddressTaken(DevnetError):
    """Another program holds an address that the network needs."""


class NoSuchNetwork(DevnetError):
    """No network of that name is known."""


class StartFailed(DevnetError):
    """A process of the network ended, or did not become ready in time."""
