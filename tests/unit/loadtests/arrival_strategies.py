"""Arrivals of every kind, for laws that hold for all of them."""

from __future__ import annotations

from hypothesis import strategies as st

from loadtests.arrivals import Constant, Process, Ramp, Sine, Spike, Step

_RATES = st.floats(0.01, 500)
_SECONDS = st.floats(0.1, 60)
_PROCESSES = st.sampled_from(Process)

ARRIVALS = st.one_of(
    st.builds(Constant, rate_per_s=_RATES, process=_PROCESSES),
    st.builds(Ramp, from_per_s=st.floats(0, 500), to_per_s=_RATES, over_s=_SECONDS, process=_PROCESSES),
    st.builds(Step, from_per_s=_RATES, to_per_s=_RATES, steps=st.integers(1, 9), every_s=_SECONDS, process=_PROCESSES),
    st.builds(Spike, rate_per_s=_RATES, spike_per_s=_RATES, at_s=_SECONDS, for_s=_SECONDS, process=_PROCESSES),
    st.builds(
        Sine, mean_per_s=st.floats(250, 500), swing_per_s=st.floats(1, 250), period_s=_SECONDS, process=_PROCESSES
    ),
)
