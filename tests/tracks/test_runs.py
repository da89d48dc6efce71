import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.tracks.runs import distances, offsets_of, run_lengths, run_starts, run_sums


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))))
def test_starts_lengths_and_sums_agree_with_python(rows):
    a, b = (np.array([row[i] for row in rows], dtype=np.int64) for i in (0, 1))
    first = run_starts(a, b)
    assert first.tolist() == [i == 0 or rows[i] != rows[i - 1] for i in range(len(rows))]
    starts = np.flatnonzero(first)
    ends = [*starts[1:].tolist(), len(rows)]
    expected = [sum(r[0] for r in rows[i:j]) for i, j in zip(starts, ends, strict=False)]
    assert run_sums(a, starts).tolist() == expected[: len(starts)]
    assert run_lengths(starts, len(rows)).sum() == len(rows)
    assert offsets_of(run_lengths(starts, len(rows))).tolist() == [*starts.tolist(), len(rows)]


def test_sums_count_bools_and_keep_floats():
    starts = np.array([0, 2])
    assert run_sums(np.array([True, True, True]), starts).tolist() == [2, 1]
    assert run_sums(np.array([0.5, 0.25, 1.0]), starts) == pytest.approx([0.75, 1.0])


def test_distances_do_not_overflow():
    lowest, highest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    assert distances(np.array([lowest, -1, highest])).tolist() == [0, 2**63 - 1, 2**63]
