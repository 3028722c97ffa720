"""Laws of the selection by rank: it is a full sort, for any numbers, however they are split and however little fits."""

from __future__ import annotations

import math
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.estimate import quantile
from analysis.quantiles import quantile_table
from analysis.selection import Selection
from analysis.sweep import Codes, Floats, images_of, value_of
from tests.strategies import FEW, LAW

pytestmark = pytest.mark.slow

# Ties, both zeros, the ends of the range, subnormals, neighbours, and what never ended.
PLAIN = [0.0, -0.0, 1.0, math.nextafter(1.0, 2.0), 5e-324, -5e-324, 1.7976931348623157e308, math.inf, -math.inf, 250.0]
finite = st.sampled_from(PLAIN) | st.floats(allow_nan=False) | st.floats(min_value=0.01, max_value=1e5)
values = finite | st.sampled_from([math.nan])
rows = st.lists(st.tuples(st.integers(0, 3), values), max_size=120)
probabilities = st.lists(
    st.floats(min_value=0.001, max_value=0.999) | st.sampled_from([0.5, 0.99]), min_size=1, max_size=4
)


def read(piece_list: list[list[tuple[int, float]]]) -> list[tuple[Codes, Floats]]:
    return [(np.array([c for c, _ in p], np.int64), np.array([v for _, v in p], np.float64)) for p in piece_list]


@LAW
@given(st.lists(finite, min_size=2, max_size=50))
def test_images_order_as_the_values_do_and_go_back(sample: list[float]) -> None:
    images = [int(image) for image in images_of(np.array(sample))]
    ordered = [value for _, value in sorted(zip(images, sample, strict=True))]
    assert ordered == sorted(sample)
    assert [value_of(image) for image in images] == sample


@LAW
@given(st.lists(st.lists(rows, max_size=3), max_size=4), st.integers(1, 300), st.integers(1, 2), st.data())
def test_the_value_at_a_rank_is_that_of_a_full_sort(
    parts: list[list[list[tuple[int, float]]]], held: int, threads: int, data: st.DataObject
) -> None:
    selection = Selection([partial(read, part) for part in parts], held=held, threads=threads)
    by_group: list[list[float]] = [[], [], [], [], []]
    for part in parts:
        for piece in part:
            for code, value in piece:
                by_group[code].append(math.inf if math.isnan(value) else value)
    counted = selection.count(lambda: len(by_group))
    assert [each.rows for each in counted] == [len(group) for group in by_group]
    assert [each.never for each in counted] == [group.count(math.inf) for group in by_group]
    wanted = {
        code: data.draw(st.lists(st.integers(1, len(group)), max_size=5))
        for code, group in enumerate(by_group)
        if group
    }
    found = selection.select(wanted)
    assert found == {(code, rank): sorted(by_group[code])[rank - 1] for code, ranks in wanted.items() for rank in ranks}


@FEW
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abc"), values | st.none()), max_size=60), min_size=1, max_size=3),
    probabilities,
    st.integers(1, 40),
    st.integers(1, 100),
)
def test_a_table_from_parquet_is_the_estimate_of_each_group(
    files: list[list[tuple[str, float | None]]], wanted: list[float], row_group: int, held: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.parquet" for number in range(len(files))]
        for path, content in zip(paths, files, strict=True):
            groups, numbers = [group for group, _ in content], [number for _, number in content]
            table = pa.table({"g": pa.array(groups, pa.string()), "v": pa.array(numbers, pa.float64())})
            pq.write_table(table, path, row_group_size=row_group)
        found = quantile_table(paths, "g", "v", wanted, held=held)
    expected = []
    for group in "abc":
        sample = [math.inf if v is None or math.isnan(v) else v for file in files for g, v in file if g == group]
        for probability in wanted if sample else []:
            each = quantile(np.array(sample), probability)
            expected.append([group, probability, each.count, each.value, each.low, each.high])
    assert found.to_numpy().tolist() == expected
