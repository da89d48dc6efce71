import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.readers.assemble import sorted_order

WIDE = st.sampled_from([0, 1, 5, -7, 2**31, -(2**40), 2**62, -(2**63), 2**63 - 1])
NARROW = st.integers(-3, 12)


@given(
    st.one_of(
        st.lists(st.tuples(NARROW, NARROW), min_size=1, max_size=80),
        st.lists(st.tuples(WIDE, WIDE), min_size=1, max_size=30),
        st.lists(st.tuples(WIDE, NARROW), min_size=1, max_size=30),
    )
)
def test_order_is_that_of_a_stable_sort(rows):
    particle, frame = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    order = sorted_order(particle, frame)
    expected = sorted(range(len(rows)), key=lambda row: rows[row])
    assert (list(range(len(rows))) if order is None else order.tolist()) == expected


def test_rows_in_order_are_left_alone():
    assert sorted_order(np.array([0, 0, 1, 1]), np.array([0, 0, -5, 3])) is None
