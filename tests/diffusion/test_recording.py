"""Ranges as people write them, and what is refused."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from spt_explain.diffusion.classes import CLASSES
from spt_explain.diffusion.recording import (
    MAX_ROWS,
    Recording,
    Span,
    alpha_range,
    check_size,
    draw,
    draw_lengths,
    lost_frames,
    shares_to_counts,
)
from spt_explain.errors import SptError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", (0.5, 0.5)),
        ("0.1-0.9", (0.1, 0.9)),
        (" .1 – 2. ", (0.1, 2.0)),
        ("10..20", (10.0, 20.0)),
        ("1e-3-1e-2", (1e-3, 1e-2)),
        ("1e+2", (100.0, 100.0)),
        ((1, 2), (1.0, 2.0)),
        (3, (3.0, 3.0)),
    ],
)
def test_ranges_are_read(text: object, expected: tuple[float, float]) -> None:
    assert Span.of(text, "noise") == expected  # type: ignore[arg-type]


@given(low=st.floats(0, 1e6), more=st.floats(0, 1e6))
def test_a_range_is_what_it_prints(low: float, more: float) -> None:
    low, high = float(f"{low:g}"), float(f"{low + more:g}")
    assert Span.of(f"{low:g}-{high:g}", "noise") == (low, high)


@given(st.text(max_size=12))
def test_any_text_is_a_range_or_refused(text: str) -> None:
    with suppress(SptError):
        span = Span.of(text, "noise")
        assert 0 <= span.low <= span.high < float("inf")


@pytest.mark.parametrize(
    "value", ["", "-1", "0.9-0.1", "a", "1-2-3", "nan", "1e999", -1, float("nan")]
)
def test_what_is_no_range_is_refused(value: object) -> None:
    with pytest.raises(SptError, match=r"^noise="):
        Span.of(value, "noise")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"length": "1-5"}, "length= is 1-5: expected whole numbers of points, from 2"),
        ({"length": "10.5"}, "length="),
        ({"length": "2-2e6"}, "1,000,000"),
        ({"exposure": "0-1.5"}, "exposure= is 0-1.5: expected a share of the frame, 0 to 1"),
        ({"missing": "1"}, "missing= is 1: expected a share"),
        ({"anisotropy": "0"}, "anisotropy= is 0"),
        ({"noise": "0-1e5"}, "noise="),
        ({"immobile": -0.1, "noise": 1}, "immobile=-0.1: expected a number, 0 to 1"),
        ({"immobile": float("nan"), "noise": 1}, "immobile=nan"),
        ({"immobile": 0.5}, "immobile= was given without noise"),
        ({"diffusion_coefficient_um2_s": "0"}, "diffusion_coefficient_um2_s= is 0"),
        ({"pixel_size_um": 0.0}, "pixel_size_um=0"),
        ({"pixel_size_um": float("nan")}, "pixel_size_um=nan"),
        ({"frame_interval_s": -1.0}, "frame_interval_s=-1"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(SptError) as refused:
        Recording(**settings)
    assert said in str(refused.value)


def test_settings_are_described_so_that_they_can_be_given_again() -> None:
    recording = Recording(length="10-30", noise=0.5, alpha="0.2-0.4", missing=(0, 0.1))
    assert Recording(**recording.describe()) == recording
    assert Recording().describe()["alpha"] == "the range of each class"
    assert set(recording.describe()) == set(Recording.model_fields)


@pytest.mark.parametrize(
    ("name", "alpha", "possible"),
    [
        ("SubFBM", (0.1, 0.9), True),
        ("SubFBM", (0.05, 0.999), True),
        ("SubFBM", (0.5, 1.0), False),
        ("SubFBM", (0.0, 0.5), False),
        ("SubCTRW", (0.04, 0.5), False),
        ("SupLW", (1.01, 1.99), True),
        ("SupLW", (1.0, 1.5), False),
        ("SupSBM", (1.5, 2.0), False),
        ("BM", (1.0, 1.0), True),
        ("BM", (0.9, 1.1), False),
    ],
)
def test_exponents_outside_of_a_model_are_refused(
    name: str, alpha: tuple[float, float], possible: bool
) -> None:
    kind = next(kind for kind in CLASSES if kind.name == name)
    if possible:
        assert alpha_range(kind, Span(*alpha)) == alpha
        return
    with pytest.raises(SptError, match=f"alpha=.* can't be had from {name}: its exponents are"):
        alpha_range(kind, Span(*alpha))


def test_by_default_the_exponents_are_those_of_the_protocol() -> None:
    assert [alpha_range(kind, None) for kind in CLASSES] == [
        *[(0.1, 0.9)] * 4, *[(1.1, 1.9)] * 3, (1.0, 1.0),
    ]  # fmt: skip


def test_values_are_uniform_in_their_range_and_lengths_reach_both_ends() -> None:
    rng = np.random.default_rng(0)
    values = draw(Span(2, 5), 4000, rng)
    assert kstest(values, "uniform", (2, 3)).pvalue > 1e-3
    values = draw(Span(1e-4, 1e2), 4000, rng, logarithmic=True)
    assert kstest(np.log10(values), "uniform", (-4, 6)).pvalue > 1e-3
    lengths = draw_lengths(Span(3, 6), 4000, rng)
    assert np.bincount(lengths)[3:].min() > 850
    assert set(lengths) == {3, 4, 5, 6}
    assert (draw(Span(0.3, 0.3), 5, rng) == 0.3).all()


@given(low=st.floats(0, 1e3), more=st.floats(0, 1e3), seed=st.integers(0, 9))
def test_values_stay_in_their_range_and_are_short_to_write(
    low: float, more: float, seed: int
) -> None:
    span = Span(low, low + more)
    values = draw(span, 20, np.random.default_rng(seed))
    assert ((values >= span.low) & (values <= span.high)).all()
    inside = values[(values > span.low) & (values < span.high)]
    assert all(float(f"{value:.7g}") == value for value in inside)


def test_frames_are_missed_as_often_as_asked_and_never_at_the_ends() -> None:
    lengths = np.array([2, 3, 5000, 5000])
    lost = lost_frames(lengths, np.array([0.9, 0.99, 0.1, 0.0]), np.random.default_rng(1))
    parts = np.split(lost, np.cumsum(lengths)[:-1])
    assert not any(part[[0, -1]].any() for part in parts)
    assert parts[2].sum() == pytest.approx(500, abs=5 * np.sqrt(450))
    assert not parts[3].any()


@given(shares=st.lists(st.floats(0.01, 10), min_size=1, max_size=8), total=st.integers(0, 1000))
def test_counts_follow_the_shares_to_within_one_track(shares: list[float], total: int) -> None:
    counts = shares_to_counts(shares, total)
    assert sum(counts) == total
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - total * share / sum(shares)) < 1


def test_absurd_numbers_of_tracks_are_refused() -> None:
    with pytest.raises(SptError, match="tracks= is 0"):
        check_size(0, Span(10, 20))
    check_size(MAX_ROWS // 100, Span(100, 100))
    with pytest.raises(SptError, match="about 20,000,100 positions: at most 20,000,000"):
        check_size(MAX_ROWS // 100 + 1, Span(100, 100))
