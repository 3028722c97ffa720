"""`python -m observers --target-file FILE --bundle DIR`: watch a target until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from bundle import DocumentError, open_bundle
from bundle.errors import NotABundle
from observers.watch import watch
from target.target import load_target

DEFAULT_PERIOD_S = 0.2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m observers", description=__doc__)
    parser.add_argument("--target-file", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--period-s", type=float, default=DEFAULT_PERIOD_S, help="from probe to probe (default 0.2)")
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        target, layout = load_target(arguments.target_file), open_bundle(arguments.bundle)
    except (DocumentError, NotABundle) as error:
        print(error, file=sys.stderr)
        return 2
    watch(target, layout, period_s=arguments.period_s, stop=stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
