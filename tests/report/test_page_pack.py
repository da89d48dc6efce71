import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spt_explain.report.page.pack import Pack, quantise, ranges


@given(
    hnp.arrays(np.uint32, st.integers(0, 40)),
    hnp.arrays(np.uint16, st.integers(0, 40)),
    hnp.arrays(np.uint8, st.integers(0, 40)),
    hnp.arrays(np.float64, st.integers(0, 40)),
)
def test_arrays_come_back_as_they_were(unpack, u4, u2, u1, f8):
    pack = Pack()
    for name, values in (("u4", u4), ("u2", u2), ("u1", u1), ("f8", f8)):
        pack.add(name, name, values)
    found = unpack(pack.directory, pack.text())
    for name, values in (("u4", u4), ("u2", u2), ("u1", u1), ("f8", f8)):
        assert np.array_equal(found[name], values, equal_nan=name == "f8")


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e9, 1e9)))
def test_quantised_values_are_off_by_half_a_level(values):
    low, span = ranges(values, np.array([0]), np.array([len(values)]))
    assert low[0] == values.min()
    steps = quantise(values, np.repeat(low, len(values)), np.repeat(span, len(values)), 254)
    assert steps.min() >= 0
    assert steps.max() <= 254
    back = low + span * steps / 254
    assert np.abs(back - values).max() <= span[0] / 254 / 2 * (1 + 1e-6) + 1e-6


def test_values_that_are_not_finite_count_as_missing():
    values = np.array([1.0, np.nan, np.inf, 3.0, np.nan])
    low, span = ranges(values, np.array([0, 4, 5]), np.array([4, 1, 0]))
    assert low.tolist() == [1.0, 0.0, 0.0]
    assert span.tolist() == [2.0, 0.0, 0.0]
    steps = quantise(values[:4], np.full(4, 1.0), np.full(4, 2.0), 254)
    assert steps.tolist() == [0, 255, 255, 254]
