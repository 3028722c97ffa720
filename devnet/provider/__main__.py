"""Start the stand-in: `python -m devnet.provider [start] [--listen HOST:PORT] …`.

Exit code 0 after SIGTERM or SIGINT, 2 for flags that cannot be used and for an address that cannot be bound; both
with one line on standard error.
"""

from __future__ import annotations

import asyncio
import sys

from devnet.provider.flags import UsageProblem, parse_options
from devnet.provider.server import CannotListen, serve

EXIT_USAGE = 2


def main(arguments: list[str]) -> int:
    """The exit code of one run."""
    try:
        asyncio.run(serve(parse_options(arguments), _announce))
    except (UsageProblem, CannotListen) as problem:
        print(f"provider-daemon stand-in: {problem}", file=sys.stderr)
        return EXIT_USAGE
    return 0


def _announce(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
