"""A Locust file for benchmarks: users that ask a server for the same small JSON; `--host` says where."""

from __future__ import annotations

from locust import FastHttpUser, constant_throughput, task

from loadtests.arrivals import Constant
from loadtests.kit import OpenLoadUser


class Reader(OpenLoadUser):
    """Ours, in the open model."""

    scenario = "read"
    arrivals = Constant(rate_per_s=100.0)

    @task
    def read(self) -> None:
        self.client.get("/", name="read")


class PlainReader(FastHttpUser):
    """Locust's own, as its documentation says that a rate is kept."""

    wait_time = constant_throughput(100)

    @task
    def read(self) -> None:
        self.client.get("/", name="read")
