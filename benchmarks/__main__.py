"""`make bench`: run every measurement, interleaved, and print the median with the lowest and highest of each."""

from __future__ import annotations

from benchmarks.grpc_clients import GRPC
from benchmarks.judging import JUDGING
from benchmarks.measurement import measure
from benchmarks.signing import SIGNING

if __name__ == "__main__":
    measure((*SIGNING, *JUDGING, *GRPC))
