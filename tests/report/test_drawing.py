import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import Normalize, to_rgba

from spt_explain.report import drawing
from spt_explain.report.style import (
    NEUTRAL,
    centred,
    house_style,
    new_figure,
    readable,
    signed_colours,
)


@given(st.floats(1e-290, 1e290))
def test_round_lengths_are_the_largest_that_fit(most):
    length = drawing.round_length(most)
    figure = f"{length:.6e}".partition("e")[0]
    assert float(figure) in (1, 2, 5)
    assert length <= most * (1 + 1e-8)
    following = {1: 2, 2: 2.5, 5: 2}[int(float(figure))]
    assert length * following > most * (1 - 1e-8)


@pytest.mark.parametrize("most", [0.0, -1.0, np.nan, np.inf])
def test_there_is_always_a_length(most):
    assert drawing.round_length(most) == 1


@pytest.mark.parametrize(
    ("length", "unit", "text"),
    [
        (0.2, "µm", "200 nm"),
        (1, "µm", "1 µm"),
        (50, "µm", "50 µm"),
        (2000, "µm", "2 mm"),
        (0.5, "pixel", "0.5 px"),
        (2, "nm", "2 nm"),
        (0.1, "", "0.1 (no unit)"),
    ],
)
def test_lengths_in_words(length, unit, text):
    assert drawing.length_text(length, unit).replace("\u2009", " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.05, "−0.05"),
        (1234, "1,234"),
        (1e5, "10⁵"),
        (-3e-12, "−3×10⁻¹²"),
        (1.5e7, "1.5×10⁷"),
        (np.nan, "—"),
    ],
)
def test_numbers_in_words(value, text):
    assert drawing.plain(value) == text


def test_ticks_of_an_axis_have_the_same_decimals():
    ticks = drawing.even_numbers().format_ticks
    assert ticks([0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert ticks([-0.0, 1, 2]) == ["0", "1", "2"]
    assert ticks([-0.1, 0.1]) == ["−0.1", "0.1"]
    assert ticks([20_000, 40_000]) == ["20,000", "40,000"]
    assert ticks([1e5, 2e5]) == ["10⁵", "2×10⁵"]
    assert ticks([]) == []


@given(st.lists(st.floats(-1e300, 1e300), max_size=5))
def test_limits_hold_all_and_differ(values):
    low, high = drawing.limits(values)
    assert low < high
    assert all(low <= value <= high for value in values)


def test_lines_without_score_are_neutral():
    axes = new_figure(40, 40).subplots()
    x = np.arange(5.0)
    lines = drawing.coloured_line(
        axes, x, x, np.array([1, 1, np.nan, -0.9, -0.9]), Normalize(-1, 1)
    )
    ends = signed_colours()([1.0, 0.05])
    grey = to_rgba(NEUTRAL)
    np.testing.assert_allclose(lines.get_colors(), [grey, grey, ends[1], ends[0]])
    assert lines.get_segments()[-1].tolist() == [[0, 0], [1, 1]]  # the strongest on top
    assert lines.get_linewidths()[3] > lines.get_linewidths()[2]
    np.testing.assert_allclose(
        drawing.colours_of(np.array([np.inf, 2.0]), centred([2.0])), [grey, ends[0]]
    )


@given(st.text(max_size=60), st.floats(3, 60))
def test_shortened_texts_fit_and_keep_both_ends(text, width):
    text = readable(text)
    short = drawing.elided(text, width)
    assert short == text or drawing.text_width_mm(short) <= width
    head, _, tail = short.partition("…")
    assert short == text or (text.startswith(head) and text.endswith(tail))


def test_texts_are_broken_between_words():
    text = "one two three four five six seven eight nine ten " * 3
    lines = drawing.wrapped(text, 40)
    assert " ".join(lines) == text.strip()
    assert max(drawing.text_width_mm(line) for line in lines) <= 40
    assert drawing.text_width_mm(f"{lines[0]} {lines[1].split()[0]}") > 40
    assert drawing.wrapped("", 40) == []


@pytest.mark.parametrize("bold", [False, True])
def test_widths_are_those_drawn(bold):
    with house_style():
        figure = new_figure(100, 20)
        drawing.say(figure, 1, 1, "Width 3.5 µm", **({"fontweight": "bold"} if bold else {}))
        box = figure.texts[0].get_window_extent(figure.canvas.get_renderer())
        width = box.width / figure.dpi * 25.4
    assert drawing.text_width_mm("Width 3.5 µm", bold=bold) == pytest.approx(width, rel=0.02)
