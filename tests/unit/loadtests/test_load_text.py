"""The text that carries loads from a plan to Locust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.arrivals import Constant, arrival_count
from loadtests.load_text import ClosedLoad, OpenLoad, ScenarioLoad, format_loads, parse_loads
from tests.unit.loadtests.arrival_strategies import ARRIVALS

LOADS = st.dictionaries(
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,12}", fullmatch=True),
    st.builds(
        ClosedLoad,
        users=st.integers(1, 10**6),
        rate_per_user_per_s=st.floats(min_value=1e-300, max_value=1e300, exclude_min=True),
    )
    | st.builds(OpenLoad, users=st.integers(1, 10**6), arrivals=ARRIVALS),
    max_size=6,
)


@given(loads=LOADS)
def test_round_trip(loads: dict[str, ScenarioLoad]) -> None:
    """Law: reading what was written gives the same loads, bit by bit, in the same order."""
    assert parse_loads(format_loads(loads)) == loads
    assert list(parse_loads(format_loads(loads))) == list(loads)


def test_the_written_form() -> None:
    loads: dict[str, ScenarioLoad] = {"transfer": ClosedLoad(users=55, rate_per_user_per_s=1.0)}
    assert format_loads(loads) == "transfer:55@1.0"
    assert parse_loads("transfer:55@1,query:20@3") == loads | {"query": ClosedLoad(users=20, rate_per_user_per_s=3.0)}
    loads["query"] = OpenLoad(users=200, arrivals=Constant(rate_per_s=60.0))
    assert format_loads(loads) == "transfer:55@1.0,query:200~constant;rate_per_s=60.0;process=poisson"
    assert parse_loads("transfer:55@1,query:200~60") == loads
    assert parse_loads("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "transfer",
        "transfer:",
        "transfer:5",
        "transfer:5@",
        "transfer:@1",
        ":5@1",
        "transfer:0@1",
        "transfer:-1@1",
        "transfer:1.5@1",
        "transfer:5@0",
        "transfer:5@-1",
        "transfer:5@nan",
        "transfer:5@inf",
        "transfer:5@1@2",
        "transfer:5@1,query",
        "transfer:5~",
        "transfer:~60",
        "transfer:5~0",
        "transfer:5~steady;rate_per_s=1",
        "transfer:5@1,transfer:6@1",
    ],
)
def test_what_is_no_load_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"load|arrivals"):
        parse_loads(text)


@given(text=st.text(alphabet="abc:@~;,.0159-e ", max_size=25))
def test_no_text_gives_anything_but_loads_or_a_value_error(text: str) -> None:
    """Law: whatever the text, what comes back can be offered: users and rates above 0, and finite."""
    try:
        loads = parse_loads(text)
    except ValueError:
        return
    for name, load in loads.items():
        assert name
        assert load.users > 0
        if isinstance(load, ClosedLoad):
            assert 0 < load.rate_per_user_per_s < float("inf")
        else:
            assert arrival_count(load.arrivals, 1.0, "seed") >= 0
