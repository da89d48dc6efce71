import contextlib

import numpy as np
import pandas as pd
import pytest

from spt_explain.errors import SptError
from spt_explain.tracks.quality import QualityPolicy
from spt_explain.xddpm.tracks.labels import read_signal_tracks, simulated


def table(tracks=12, points=15, seed=1):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(tracks):
        path = rng.normal(size=(points, 2)).cumsum(0) + 100 * i
        for t, (x, y) in enumerate(path):
            rows.append((i, t, x, y, "drug" if i % 2 else "control", 0.1 * i))
    return pd.DataFrame(rows, columns=["particle", "frame", "x", "y", "condition", "dose"])


def write(folder, frame, name="t.csv", **options):
    frame.to_csv(folder / name, index=False, **options)
    return folder / name


def test_text_column(tmp_path):
    found = read_signal_tracks([write(tmp_path, table())], "condition")
    assert len(found) == 12
    assert found.kind == "category"
    assert list(found.values)[:2] == ["control", "drug"]
    assert np.diff(found.offsets).tolist() == [15] * 12


def test_number_column_tabs_and_bom(tmp_path):
    path = write(tmp_path, table(), sep="\t", encoding="utf-8-sig", lineterminator="\r\n")
    found = read_signal_tracks([path], "Dose")
    assert found.kind == "number"
    np.testing.assert_allclose(found.numbers(), 0.1 * np.arange(12))


def test_signal_of_its_own_table(tmp_path):
    tracks = write(tmp_path, table()[["particle", "frame", "x", "y"]])
    verdicts = pd.DataFrame({"file": "t.csv", "particle": range(12), "class": ["BM", "SubFBM"] * 6})
    found = read_signal_tracks([tracks], "class", signal_file=write(tmp_path, verdicts, "v.csv"))
    assert list(found.values) == ["BM", "SubFBM"] * 6


def test_tracks_named_by_text(tmp_path):
    frame = table()
    frame["particle"] = [f"cell-{n}" for n in frame["particle"]]
    found = read_signal_tracks([write(tmp_path, frame)], "condition")
    assert sorted(set(found.values)) == ["control", "drug"]
    assert len(found) == 12


def test_unknown_values_are_left_out(tmp_path):
    frame = table()
    frame.loc[frame["particle"] < 3, "condition"] = ""
    found = read_signal_tracks([write(tmp_path, frame)], "condition")
    assert len(found) == 9
    assert "3 tracks without a value of condition" in found.notes[-1]


def test_several_files_are_groups(tmp_path):
    paths = [write(tmp_path, table(seed=i), f"{i}.csv") for i in range(3)]
    found = read_signal_tracks(paths, "condition")
    assert found.files == 3
    assert len(set(found.groups)) == 3
    assert len(found) == len(found.groups) == 36


@pytest.mark.parametrize(
    ("signal", "said"),
    [("nope", "has no column 'nope'"), ("x", "different values in the column 'x'")],
)
def test_wrong_columns(tmp_path, signal, said):
    with pytest.raises(SptError) as caught:
        read_signal_tracks([write(tmp_path, table())], signal)
    assert said in str(caught.value).replace('"', "'").replace("“", "'").replace("”", "'")


def test_refusals(tmp_path):
    path = write(tmp_path, table())
    with pytest.raises(SptError, match="min_length= is 5"):
        read_signal_tracks([path], "dose", policy=QualityPolicy(min_length=5))
    with pytest.raises(SptError, match="goes with one file"):
        read_signal_tracks([path, path], "dose", signal_file=path)
    with pytest.raises(SptError, match="numbers were expected"):
        read_signal_tracks([path], "condition").numbers()
    empty = table()
    empty["condition"] = ""
    with pytest.raises(SptError, match="no value for any track"):
        read_signal_tracks([write(tmp_path, empty, "e.csv")], "condition")
    with pytest.raises(SptError, match="simulated tracks have"):
        simulated("dose")


def test_any_cut_of_a_file_is_read_or_refused(tmp_path):
    text = write(tmp_path, table(3)).read_bytes()
    for size in range(1, len(text), 37):
        (tmp_path / "cut.csv").write_bytes(text[:size])
        with contextlib.suppress(SptError):
            read_signal_tracks([tmp_path / "cut.csv"], "condition")


def test_simulated():
    found = simulated("alpha", tracks=16, length=(10, 20), classes=("SubFBM", "SupFBM"), seed=4)
    assert len(found) == 16
    alpha = found.numbers()
    assert (alpha[:8] < 1).all()
    assert (alpha[8:] > 1).all()
    again = simulated("class", tracks=16, length=(10, 20), classes=("SubFBM", "SupFBM"), seed=4)
    np.testing.assert_array_equal(found.positions, again.positions)
    assert list(again.values) == ["SubFBM"] * 8 + ["SupFBM"] * 8


def test_whole_numbers_and_conflicts_are_told_by_track(tmp_path):
    frame = table().sample(frac=1, random_state=2)
    frame["well"] = frame["particle"] + 100
    found = read_signal_tracks([write(tmp_path, frame)], "well")
    assert list(found.values) == [str(100 + i) for i in range(12)]
    frame.loc[(frame["particle"] == 5) & (frame["frame"] > 7), "well"] = 1
    with pytest.raises(SptError, match=r'track 5 has different values.*\("105", "1"\)'):
        read_signal_tracks([write(tmp_path, frame)], "well")
