import itertools

import numpy as np
import pandas as pd
import pytest

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.report.contact_sheet import contact_sheet, pick_tracks
from spt_explain.report.style import DOTS_PER_INCH, PAGE_MM, house_style


def made(m=80, *, files=("a.csv",), classes=CLASS_NAMES, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(len(classes), 0.15), m)
    order = p.argsort(axis=1)
    names = np.array(classes, dtype=object)
    n = rng.integers(5, 90, m)
    tracks = pd.DataFrame(
        {
            "file": np.array(files, dtype=object)[np.arange(m) % len(files)],
            "particle": np.arange(m) * 1000 + 7,
            "segment": np.arange(m) % 2,
            "n_points": n,
            "status": "classified",
            "class": names[order[:, -1]],
            "probability": p.max(axis=1),
            "runner_up": names[order[:, -2]],
            **{f"p_{name}": p[:, k] for k, name in enumerate(classes)},
            "alpha_msd": rng.uniform(0, 2, m),
            "overlay": np.arange(m) % 3 > 0,
        }
    )
    row = np.repeat(np.arange(m), n)
    frames = tracks[["file", "particle", "segment"]].iloc[row].reset_index(drop=True)
    xy = rng.normal(0, 0.1, (len(row), 2)).cumsum(axis=0)
    frames["frame"] = np.arange(len(row))
    frames[["x", "y"]] = xy
    frames["score"] = rng.normal(0, 1, len(row)).cumsum()
    return tracks, frames


def assert_tidy(figure):
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    places = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.texts]
    width, height = figure.get_size_inches() * DOTS_PER_INCH
    for text, box in places:
        assert box.x0 > 0, text
        assert box.y0 > 0, text
        assert box.x1 < width, text
        assert box.y1 < height, text
    for (text, box), (other, beside) in itertools.combinations(places, 2):
        across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
        assert across <= 1 or along <= 0.3 * min(box.height, beside.height), (text, other)


CASES = {
    "many": {},
    "files": {"files": ("day 1/cell one.xml", "b.csv", "c.csv", "$d$.csv")},
    "few": {"m": 5},
    "large numbers": {"m": 200},
    "none": {"m": 0},
    "own classes": {"classes": ("Free and directed by motors", "Confined"), "m": 30},
}


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("n", [1, 3])
def test_sheets_are_tidy_pages(name, n):
    tracks, frames = made(**CASES[name])
    with house_style():
        figure = contact_sheet(tracks, frames, unit="µm", n=n)
        assert_tidy(figure)
    width, height = figure.get_size_inches() * 25.4
    assert width == pytest.approx(PAGE_MM)
    assert height < 240


def test_each_pick_is_there_with_its_numbers():
    tracks, frames = made()
    picks = pick_tracks(tracks, 2)
    with house_style():
        figure = contact_sheet(tracks, frames, unit="pixel", picks=picks)
    said = [text.get_text() for text in figure.texts]
    for _, pick in picks.iterrows():
        assert said.count(f"{pick['particle']}") == 1
        piece = f"piece {pick['segment']} · " if pick["segment"] else ""
        assert any(text.startswith(piece) and text.endswith(" %") for text in said)
        track = tracks[tracks["particle"] == pick["particle"]].iloc[0]
        expected = f"{track['n_points']} points"
        if pick["why"] == "doubtful":
            expected = str(pick["runner_up"])
        elif pick["why"] == "surprising":
            expected = f"α {pick['alpha_msd']:.2f}"
        assert any(text.startswith(expected) for text in said), expected
    page = figure.axes[0]
    assert len(page.collections) == len(picks)
    counts = tracks["class"].value_counts()
    for name in picks["class"].unique():
        assert f"{counts[name]} tracks" in said or counts[name] == 1
    assert any("Most surprising: " in text for text in said)


def test_paths_keep_their_shape_and_the_bar_their_length():
    tracks, frames = made(1, classes=("BM", "SubFBM"))
    with house_style():
        figure = contact_sheet(tracks, frames, unit="µm", n=1)
    page = figure.axes[0]
    drawn = np.array([piece[0] for piece in page.collections[0].get_segments()])
    xy = frames[["x", "y"]].to_numpy()[:-1]
    scale = np.ptp(drawn[:, 0]) / np.ptp(xy[:, 0])
    np.testing.assert_allclose(drawn - drawn[0], scale * (xy - xy[0]), atol=1e-9)
    bars = [line for line in page.get_lines() if line.get_linewidth() == 1.4]
    length = np.ptp(bars[0].get_xdata()) / scale
    words = {0.1: "100 nm", 0.2: "200 nm", 0.5: "500 nm", 1.0: "1 µm"}[round(length, 6)]
    assert words in [text.get_text().replace("\u2009", " ") for text in figure.texts]


def test_a_track_at_rest_and_one_without_points():
    tracks, frames = made(6)
    frames.loc[frames["particle"] == 7, ["x", "y"]] = 1.0
    frames = frames[frames["particle"] != 1007]
    with house_style():
        assert_tidy(contact_sheet(tracks, frames, unit="µm"))


def test_whole_tracks_are_numbered_in_one_line():
    tracks, frames = made(20)
    tracks["particle"] //= 1000
    frames["particle"] //= 1000
    for table in (tracks, frames):
        table["segment"] = 0
    with house_style():
        figure = contact_sheet(tracks, frames, unit="µm", n=1)
    said = [text.get_text() for text in figure.texts]
    assert not any("piece" in text for text in said)
    for number in pick_tracks(tracks, 1)["particle"]:
        (caption,) = [text for text in said if text.startswith(f"{number} · ")]
        assert caption.endswith(" %")


def test_every_piece_of_a_split_track_is_called_one():
    tracks, frames = made(2, classes=("BM", "SubFBM"))
    for table in (tracks, frames):
        table["segment"] = (table["particle"] > 7) * 1  # 0 and 1
        table["particle"] = 3
    with house_style():
        figure = contact_sheet(tracks, frames, unit="µm", n=2)
    said = [text.get_text() for text in figure.texts]
    assert {text.split(" · ")[0] for text in said if " · " in text} == {"3, piece 0", "3, piece 1"}
    assert any("column segment" in text for text in said)


def test_immobile_tracks_are_counted_where_they_are_not_shown():
    tracks, frames = made(20)
    tracks["status"] = np.where(np.arange(20) < 3, "immobile", "classified")
    with house_style():
        some = contact_sheet(tracks, frames, unit="µm")
        none = contact_sheet(tracks.assign(status="immobile"), frames, unit="µm")
        assert_tidy(none)
    assert any(text.get_text().startswith("Not shown: 3 flagged immobile") for text in some.texts)
    (said,) = [text.get_text() for text in none.texts]
    assert said.startswith("No track to show: 20 flagged immobile")
    assert "only=" in said
