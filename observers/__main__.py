"""`python -m observers --target-file FILE --bundle DIR`: watch a target until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import os
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
    parser.add_argument("--period-s", type=_period, default=DEFAULT_PERIOD_S, help="from probe to probe (default 0.2)")
    parser.add_argument("--end-with-parent", action="store_true", help="end when the process that started this is gone")
    arguments = parser.parse_args()
    parent = os.getppid() if arguments.end_with_parent else None
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        target, layout = load_target(arguments.target_file), open_bundle(arguments.bundle)
    except (DocumentError, NotABundle) as error:
        print(error, file=sys.stderr)
        return 2
    watch(target, layout, period_s=arguments.period_s, stop=stop, parent=parent)
    return 0


def _period(text: str) -> float:
    """Return a number of seconds that a watch can have as its period. Raises ArgumentTypeError."""
    try:
        period_s = float(text)
    except ValueError:
        period_s = 0.0
    if not 0 < period_s < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return period_s


if __name__ == "__main__":
    sys.exit(main())
