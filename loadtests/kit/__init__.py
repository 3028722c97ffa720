"""What the scenarios share: users on a schedule, clients, the recorder, accounts, the block follower.

Importing this imports Locust, which patches sockets: only Locust files do so, never another room.
"""

from loadtests.kit.calls import CallFailed
from loadtests.kit.users import HarnessUser, OpenLoadUser

__all__ = ["CallFailed", "HarnessUser", "OpenLoadUser"]
