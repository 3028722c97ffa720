"""What a Locust master and its workers say to each other besides what Locust itself does. Names of custom messages.

    worker                          master
    CLOCK, several times    ──►
                            ◄──     CLOCK: the time, how many workers share the load
    READY                   ──►
                            ◄──     BEGIN: when all users begin
                            ◄──     END: stop, and wait for what is on its way
    ENDED                   ──►

END exists because Locust's own "quit" waits half a second for the last statistics, and a block takes longer.
"""

from __future__ import annotations

CLOCK = "gameday clock"
READY = "gameday ready"
BEGIN = "gameday begin"
END = "gameday end"
ENDED = "gameday ended"
