"""Latencies as users had them: from the time at which a request was meant to be sent to the end of its answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.estimate import growth
from analysis.indicator import Distribution, Indicator, Measurement, Nothing, Observation, Scene, Source, steady
from analysis.verdict import Evidence
from bundle import SAMPLES, ErrorKind, Outcome

_WORST_SHOWN = 3
_NEVER_ASKED = (ErrorKind.NOT_SENT.value, ErrorKind.BACK_PRESSURE.value, ErrorKind.CLIENT_ERROR.value)
"""Kinds that say nothing about how long an answer takes: never sent, or refused at the door."""

Filter = Callable[[pd.DataFrame], "pd.Series[bool]"]


def latencies(scene: Scene, choose: Filter) -> Observation:
    """Return the latencies in milliseconds of the chosen samples.

    What ended well counts with its time. What ended badly after it was sent (timeout, broken connection, never
    included) counts as infinite: its user waited in vain, and leaving it out would flatter the slow.
    """
    samples = scene.run.samples
    asked = (
        scene.window.contains(samples["intended_at_s"]) & choose(samples) & ~samples["error_kind"].isin(_NEVER_ASKED)
    )
    chosen = samples.loc[asked, ["outcome", "latency_ms", "part", "row"]]
    if chosen.empty:
        return Nothing(why="no request of this kind was measured in the window")
    values = np.where(chosen["outcome"] == Outcome.OK.value, chosen["latency_ms"].to_numpy(float), np.inf)
    values = np.where(np.isnan(values), np.inf, values)
    return Distribution(values=values, evidence=worst_rows(scene, chosen, values))


def worst_rows(scene: Scene, chosen: pd.DataFrame, values: npt.NDArray[np.float64]) -> tuple[Evidence, ...]:
    """Return where the highest values are, the first of equal ones."""
    shown = min(_WORST_SHOWN, len(values))
    high = np.flatnonzero(values >= np.partition(values, len(values) - shown)[len(values) - shown])
    places = high[np.argsort(-values[high], kind="stable")[:shown]]
    return tuple(
        Evidence(file=scene.run.file_of(SAMPLES, str(chosen["part"].iloc[place])), row=int(chosen["row"].iloc[place]))
        for place in places
    )


def _operations(*names: str) -> Filter:
    return lambda samples: samples["operation"].isin(names)


def _protocol(name: str) -> Filter:
    return lambda samples: samples["protocol"] == name


def _latency(name: str, title: str, choose: Filter) -> Indicator:
    sources = frozenset({Source.SAMPLES, Source.LOAD})
    return Indicator(name=name, title=title, sources=sources, observe=lambda scene: latencies(scene, choose))


def confirmation_growth(scene: Scene) -> Observation:
    """Return the growth of the confirmation latency over the steady load, by the median of what was confirmed."""
    samples = scene.run.samples
    chosen = samples[steady(scene).contains(samples["intended_at_s"]) & (samples["operation"] == "tx.confirm")]
    chosen = chosen[chosen["latency_ms"].notna()]
    try:
        return Measurement(
            estimate=growth(chosen["intended_at_s"].to_numpy(float), chosen["latency_ms"].to_numpy(float))
        )
    except ValueError as error:
        return Nothing(why=str(error))


INDICATORS = (
    _latency("tx.confirm_latency", "from intended time to the block that has it", _operations("tx.confirm")),
    _latency("tx.submit_latency", "from intended time to CheckTx's yes", _operations("tx.submit")),
    _latency("node.query_latency", "RPC reads", _protocol("RPC")),
    _latency("api.rest_latency", "REST reads", _protocol("REST")),
    _latency("api.grpc_latency", "gRPC reads", _protocol("GRPC")),
    _latency("ws.delay", "from a block's commit to its message", _operations("ws.new_block", "ws.tx")),
    Indicator(
        name="tx.confirm_latency_growth",
        title="growth of the confirmation latency over the load",
        sources=frozenset({Source.SAMPLES, Source.LOAD}),
        observe=confirmation_growth,
    ),
    _latency("provider.latency", "portal API requests", _protocol("HTTP")),
)
