import itertools

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.report import style

# Machado, Oliveira & Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1, on linear RGB
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def _lab(rgb):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = xyz @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_every_class_has_a_colour():
    assert tuple(style.CLASS_COLOURS) == CLASS_NAMES


@pytest.mark.parametrize("name", list(DEFICIENCIES))
def test_colours_stay_apart_for_the_colour_blind(name):
    rgb = np.array([mpl.colors.to_rgb(c) for c in style.CLASS_COLOURS.values()])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = [_lab(np.array(DEFICIENCIES[name]) @ one) for one in linear]
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 16


def test_colours_of_other_classes():
    classes = ("BM", "Confined", "Directed")
    colours = [style.colour_of(name, classes) for name in classes]
    assert len(set(colours)) == 3
    assert colours[0] == style.CLASS_COLOURS["BM"]


def test_matplotlib_is_left_as_it_was():
    before = dict(mpl.rcParams)
    with style.house_style():
        assert mpl.rcParams["font.size"] == style.FONT_POINTS
    assert dict(mpl.rcParams) == before


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        with style.house_style():
            figure = style.new_figure(50, 40)
            axes = figure.subplots()
            axes.plot([0, 1], [0, 1], label="x")
            axes.legend()
            files.append(style.save_figure(figure, folder, "f", style.FIGURE_FORMATS))
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()
    with pytest.raises(SptError, match="png, svg, pdf"):
        style.save_figure(figure, tmp_path, "f", ["bmp"])


def test_few_colours_keep_those_of_areas_and_the_paper(tmp_path):
    colours = style.all_colours()
    with style.house_style():
        figure = style.new_figure(60, 60)
        axes = style.place_axes(figure, 0, 0, 60, 60)
        axes.set_axis_off()
        axes.barh(range(len(colours)), 1, height=0.7, color=colours)
        angle = np.linspace(0, 40, 3000)  # edges of every mixture with what is below
        for shift, colour in enumerate(colours[::3]):
            axes.plot(angle / 40, 8 * np.sin(angle) + 3 * shift, color=colour, linewidth=0.4)
        paths = [
            *style.save_figure(figure, tmp_path, "all", ["png"]),
            *style.save_figure(figure, tmp_path, "few", ["png"], kept_colours=colours),
        ]
    pictures = []
    for path in paths:
        with Image.open(path) as image:
            pictures.append(np.asarray(image.convert("RGB")).astype(int))
            dpi = image.info["dpi"][0]
    exact, few = pictures
    change = np.abs(few - exact).max(axis=2)
    for colour in ("white", *colours[:17]):
        own = (exact == np.round([255 * v for v in mpl.colors.to_rgb(colour)])).all(axis=2)
        assert own.sum() > 100
        assert (change[own] == 0).all(), colour
    assert change.mean() < 3
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 256
    assert paths[1].stat().st_size < 0.7 * paths[0].stat().st_size
    assert dpi == pytest.approx(style.DOTS_PER_INCH, abs=0.1)


@pytest.mark.parametrize("name", list(DEFICIENCIES))
def test_signed_colours_tell_for_from_against(name):
    values = np.linspace(-1, 1, 21)
    rgb = style.signed_colours()((values + 1) / 2)[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.array([_lab(np.array(DEFICIENCIES[name]) @ one) for one in linear])
    lightness = seen[:, 0]
    assert (np.diff(lightness[:11]) > 0).all()  # darker, the farther from zero
    assert (np.diff(lightness[10:]) < 0).all()
    apart = np.linalg.norm(seen - seen[::-1], axis=1)
    assert (apart[np.abs(values) > 0.25] > 16).all()
    white, grey = _lab(np.ones(3)), seen[10]
    assert np.linalg.norm(white - grey) > 16


def test_signed_scales_are_centred_on_zero():
    assert (style.centred([-1, np.nan, 3]).vmin, style.centred([-1, 3]).vmax) == (-3, 3)
    even = np.linspace(-2, 1, 300)
    assert style.centred(even).vmax == 2
    far = np.append(even, [90.0, -100])  # few stand out: all but they differ in colour
    assert style.centred(far).vmax == style.LEAST_LIMIT * 100
    assert style.centred(np.append(even, 8.0)).vmax == pytest.approx(
        np.quantile(np.abs(even), 0.98), rel=0.02
    )
    for nothing in ([], [np.nan], [0.0, 0.0]):
        norm = style.centred(nothing)
        assert (norm.vmin, norm.vmax) == (-1, 1)


def test_texts_of_users_are_drawn_as_they_are():
    with style.house_style():
        figure = style.new_figure(60, 20)
        figure.text(0, 0.5, style.readable("$x_1^2$ \\frac{ 日本\n%"))
        figure.draw_without_rendering()
    assert style.readable("日本 a\tb") == "□□ a b"
    assert style.readable(17) == "17"


def test_texts_on_colours_have_contrast():
    def luminance(colour):
        rgb = np.array(mpl.colors.to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722] + 0.05

    for colour in (*style.CLASS_COLOURS.values(), *style.OTHER_COLOURS):
        pair = sorted(luminance(one) for one in (colour, style.text_colour_on(colour)))
        assert pair[1] / pair[0] > 3  # WCAG 2.1 for large or bold text


def test_axes_lie_where_they_are_put():
    figure = style.new_figure(100, 50)
    axes = style.place_axes(figure, 10, 5, 40, 20)
    figure.draw_without_rendering()
    box = axes.get_position()
    assert (box.x0, box.x1) == pytest.approx((0.1, 0.5))
    assert (box.y0, box.y1) == pytest.approx((0.5, 0.9))
