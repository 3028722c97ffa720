"""These tests run in a pytest process of their own: Locust patches sockets and threads of all that runs beside it.

`pytest tests/unit/loadtests`, and `pytest --ignore=tests/unit/loadtests tests` for the rest.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).resolve().parent


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to be collected together with other tests, then let Locust patch, before any test is imported."""
    others = [argument for argument in config.args if not _is_ours(argument)]
    if others:
        pytest.exit(
            f"tests/unit/loadtests cannot be collected together with {', '.join(others)}: importing Locust patches"
            " sockets and threads of the whole process; run `pytest tests/unit/loadtests` apart, and the others with"
            " --ignore=tests/unit/loadtests",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    # The tests start servers as processes; gRPC's handlers for forks once closed a file that such a child still used.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    import locust  # noqa: F401  # for what its import does

    # Two busy cores tell nothing by how long an example takes; the same examples every time.
    settings.register_profile("loadtests", deadline=None, derandomize=True)
    settings.load_profile("loadtests")


def _is_ours(argument: str) -> bool:
    """Whether a file, folder or test named on pytest's command line lies in this folder."""
    return Path(argument.split("::", 1)[0]).resolve().is_relative_to(HERE)
