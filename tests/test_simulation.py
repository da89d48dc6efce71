"""Files of simulated recordings: whole, the same for the same seed, and readable by ourselves."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

import spt_explain as spt
from spt_explain import simulation
from spt_explain.diffusion.population import simulate
from spt_explain.diffusion.recording import Recording
from spt_explain.errors import NotTracksError, SptError
from spt_explain.movies.render import Optics
from spt_explain.simulation import COLUMNS, simulate_files

RECORDING = Recording(length="10-30", noise="0.1-0.5", missing="0-0.2", immobile=0.1)


def _write(folder: Path, output: str = "t.csv", **settings: object) -> simulation.Result:
    folder.mkdir(exist_ok=True)
    settings = {"tracks": 20, "recording": RECORDING, "seed": 7, **settings}
    return simulate_files("SubFBM:0.3,BM:0.7", output=str(folder / output), **settings)


@pytest.mark.parametrize("fmt", ["csv", "parquet", "json"])
def test_same_seed_same_files_byte_for_byte(tmp_path: Path, fmt: str) -> None:
    for name in "ab":
        _write(tmp_path / name, f"t.{fmt}", movie=str(tmp_path / name / "m.tif"))
    _write(tmp_path / "c", f"t.{fmt}", seed=8)
    for name in (f"t.{fmt}", "m.tif"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / f"t.{fmt}").read_bytes() != (tmp_path / "c" / f"t.{fmt}").read_bytes()


def test_a_csv_is_read_back_without_options(tmp_path: Path) -> None:
    made = _write(tmp_path).simulated.tracks
    back = spt.read_tracks(tmp_path / "t.csv")
    assert back.calibration.length_unit == "um"
    assert back.calibration.length_source == 'file: column "x [µm]"'
    assert back.calibration.frame_interval_s == 0.02
    assert not back.source.notes
    pd.testing.assert_frame_equal(
        back.table[["particle", "frame", "x", "y"]],
        made.table[["particle", "frame", "x", "y"]],
        check_exact=True,
    )
    assert (back.table["class"] == made.table["class"]).all()  # the truth is kept
    pd.testing.assert_frame_equal(
        made.table,
        simulate("SubFBM:0.3,BM:0.7", tracks=20, length="10-30", noise="0.1-0.5", missing="0-0.2",
                 immobile=0.1, seed=7).table,
    )  # fmt: skip


def test_parquet_and_json_hold_the_same_table_and_classify_says_what_to_do(tmp_path: Path) -> None:
    made = _write(tmp_path).simulated.tracks.table
    for fmt in ("parquet", "json"):
        result = _write(tmp_path, f"u.{fmt}", overwrite=True)
        assert "classify reads simulated tracks as CSV" in result.notes[0]
        path = tmp_path / f"u.{fmt}"
        if fmt == "json":
            back = pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["tracks"])
        else:
            back = pd.read_parquet(path)
        for name in ("particle", "frame", "class", "alpha", "noise", "sigma_loc_um"):
            pd.testing.assert_series_equal(back[name], made[name], check_dtype=False)
        pd.testing.assert_series_equal(back["x [µm]"], made["x"], check_names=False)
        with pytest.raises(NotTracksError, match="CSV"):
            spt.read_tracks(path)


def test_the_movie_is_tracked_back_to_the_table(tmp_path: Path) -> None:
    recording = Recording(length="20-40", noise=0.2)
    result = _write(
        tmp_path, recording=recording, movie=str(tmp_path / "m.tif"), optics=Optics(photons=3000)
    )
    truth = result.simulated.tracks.table
    found = spt.track_stack(tmp_path / "m.tif")
    assert found.n_tracks == 20
    assert found.calibration.pixel_size_um == pytest.approx(0.1)
    assert found.calibration.frame_interval_s == pytest.approx(0.02)
    pairs = truth.merge(found.table, on="frame", suffixes=("", "_found"))
    distance = ((pairs["x"] - pairs["x_found"]) ** 2 + (pairs["y"] - pairs["y_found"]) ** 2) ** 0.5
    near = pairs[distance < 0.05]  # half a pixel; particles are more than ten apart
    assert len(near) == len(truth) == len(found.table)
    assert len(near[["particle", "particle_found"]].drop_duplicates()) == 20


def test_the_sidecar_holds_what_is_needed_to_run_it_again(tmp_path: Path) -> None:
    result = _write(tmp_path, movie=str(tmp_path / "m.tif"), command=["spt-explain", "simulate"])
    assert [path.name for path in result.outputs] == ["t.csv", "t.json", "m.tif"]
    held = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    settings = held["settings"]
    again = simulate_files(
        settings["kind"],
        tracks=held["tracks"],
        recording=Recording(
            **{k: v for k, v in settings.items() if k in RECORDING.describe() and k != "alpha"}
        ),
        optics=Optics(**{k: v for k, v in settings["movie"].items() if k != "file"}),
        movie=str(tmp_path / "n.tif"),
        output=str(tmp_path / "u.csv"),
        seed=held["seed"],
    )
    assert again.report["rows"] == held["rows"]
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "u.csv").read_bytes()
    assert (tmp_path / "m.tif").read_bytes() == (tmp_path / "n.tif").read_bytes()
    assert held["classes"] == {"SubFBM": 5, "BM": 13, "immobile": 2}
    assert held["command"] == ["spt-explain", "simulate"]
    assert held["created"]


def test_every_column_is_explained(tmp_path: Path) -> None:
    _write(tmp_path, recording=Recording(length=10, missing=0.2, fill_missing=True))
    header = (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert set(header) == {name for key in COLUMNS for name in key.split(", ")}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"output": "t.txt"}, "ends in none of .csv"),
        ({"output": "t.csv", "fmt": "json"}, "format='json' contradicts"),
        ({"output": "-", "fmt": "parquet"}, "standard output"),
        ({"output": "t.csv", "movie": "m.avi"}, "movie='m.avi' is no TIFF"),
        ({"output": "nowhere/t.csv"}, "the folder nowhere"),
        ({"output": "t.csv", "movie": "nowhere/m.tif"}, "the folder nowhere"),
        ({"output": "old.csv"}, "old.csv exists"),
        ({"output": "new.csv", "movie": "old.tif"}, "old.tif exists"),
        ({"output": "other.csv"}, "other.json exists"),
        ({"output": "t.csv", "recording": Recording(length=1_000_000), "movie": "m.tif",
          "tracks": 1}, "px a side|GB"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("old.csv", "old.tif", "other.json"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(SptError, match=said):
        simulate_files("BM", **{"tracks": 2, "seed": 0, **settings})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.csv", "old.tif", "other.json"]
    assert (tmp_path / "old.csv").read_text() == "mine"


def test_an_error_while_rendering_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulation, "render_movie", stopped)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path, movie=str(tmp_path / "m.tif"))
    assert list(tmp_path.iterdir()) == []


def test_the_table_goes_to_standard_output_or_to_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    piped = simulate_files("BM", tracks=2, output="-", seed=1)
    assert list(tmp_path.iterdir()) == []
    assert pd.read_csv(io.BytesIO(piped.stdout))["particle"].nunique() == 2
    written = simulate_files("BM", tracks=2, seed=1)
    assert [path.name for path in written.outputs] == ["simulated.csv", "simulated.json"]
    assert Path("simulated.csv").read_bytes() == piped.stdout


def test_units_that_a_movie_cannot_tell_are_said(tmp_path: Path) -> None:
    recording = Recording(length=5, pixel_size_um=1.0, frame_interval_s=1.0)
    result = _write(tmp_path, recording=recording, movie=str(tmp_path / "m.tif"))
    assert "pixel_size_um=1 and frame_interval_s=1" in result.notes[0]
    assert not _write(tmp_path, "u.csv", recording=recording).notes
