from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import spt_explain as spt

HEAD = "particle,frame,x [px],y [px],x_px,y_px,mass,sigma_static\n"
ROWS = "0,0,1.0,2.0,1.0,2.0,9,0.1\n0,1,1.5,2.5,1.5,2.5,9,0.2\n1,0,7.0,8.0,7.0,8.0,9,\n"


def test_the_static_error_of_our_own_table_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "m.tracks.csv"
    path.write_text(HEAD + ROWS)
    tracks = spt.read_tracks(path)
    np.testing.assert_array_equal(tracks.table["sigma_static"], [0.1, 0.2, np.nan])
    scaled = spt.read_tracks(path, pixel_size_um=0.5)
    np.testing.assert_allclose(scaled.table["sigma_static"], [0.05, 0.1, np.nan])
    np.testing.assert_allclose(scaled.table["x"], [0.5, 0.75, 3.5])


def test_without_other_columns_it_still_comes(tmp_path: Path) -> None:
    path = tmp_path / "m.tracks.csv"
    path.write_text(HEAD + ROWS)
    tracks = spt.read_tracks(path, pixel_size_um=0.5, keep_columns=False)
    assert tracks.extra_columns == ["sigma_static"]
    np.testing.assert_allclose(tracks.table["sigma_static"], [0.05, 0.1, np.nan])
    every = spt.read_tracks(path)
    assert every.extra_columns == ["x_px", "y_px", "mass", "sigma_static"]
    assert every.table["x_px"].tolist() == [1.0, 1.5, 7.0]


def test_in_micrometres_it_is_scaled_once(tmp_path: Path) -> None:
    path = tmp_path / "m.tracks.csv"
    path.write_text((HEAD + ROWS).replace("[px]", "[µm]"), encoding="utf-8")
    np.testing.assert_array_equal(spt.read_tracks(path).table["sigma_static"], [0.1, 0.2, np.nan])


@pytest.mark.parametrize(
    "text",
    [
        "particle,frame,x,y\n0,0,1,2\n0,1,2,3\n",
        (HEAD + ROWS).replace(",sigma_static", ",other"),
        (HEAD + ROWS).replace(",0.1\n", ",many\n"),
        (HEAD + ROWS).replace("x [px],", "x,"),
    ],
)
def test_other_tables_are_read_as_ever(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    tracks = spt.read_tracks(path)
    assert "sigma_static" not in tracks.table
    assert tracks.n_tracks >= 1


def test_verdicts_of_a_table_have_the_noise_that_those_of_its_movie_have(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (i, k, x, y, x, y, 500.0, 0.3)
        for i in range(3)
        for k, (x, y) in enumerate(rng.normal(size=(40, 2)).cumsum(axis=0))
    ]
    table = pd.DataFrame(rows, columns=HEAD.strip().split(","))
    table.to_csv(tmp_path / "m.tracks.csv", index=False)
    verdicts = spt.classify(tmp_path / "m.tracks.csv")
    # Steps have a variance of 1 along each axis, 2 x 0.3² of which is noise.
    assert verdicts["inv_snr"].mean() == pytest.approx(0.3 / np.sqrt(1 - 2 * 0.3**2), rel=0.15)
