import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.xddpm.split import split


@given(
    st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=60).filter(lambda g: len(set(g)) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_no_movie_is_on_both_sides(groups, share, seed):
    found = split(groups, share, seed=seed)
    train = {groups[i] for i in found.train}
    held = {groups[i] for i in found.validation}
    assert train
    assert held == set(found.held_out)
    assert not train & held
    assert sorted([*found.train, *found.validation]) == list(range(len(groups)))


def test_about_the_share_is_held_out():
    groups = [f"movie {i // 4}" for i in range(200)]
    assert len(split(groups, 0.2).validation) == 40
    assert not np.array_equal(split(groups, 0.2).train, split(groups, 0.2, seed=1).train)


def test_one_movie_can_t_be_split():
    with pytest.raises(SptError, match="one movie"):
        split(["a"] * 10)


def test_more_is_held_out_until_the_signal_varies_there():
    groups = [f"m{i // 5}" for i in range(50)]
    values = np.array([i // 5 == 0 for i in range(50)], float)
    for seed in range(5):
        plain = split(groups, 0.1, seed=seed)
        found = split(groups, 0.1, seed=seed, values=values)
        assert set(plain.held_out) <= set(found.held_out)
        assert len(np.unique(values[found.validation])) == 2 or len(found.held_out) == 9
