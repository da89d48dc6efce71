import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.readers.inputs import Input
from spt_explain.tracks.policy import QualityPolicy
from spt_explain.training.labelled import LabelledTracks, join, read_labelled


def paths(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, 2)).cumsum(axis=0) for n in lengths]


def write(path, tracks, labels, header="particle,frame,x,y,class", extra=None, ids=None):
    """Write a table as a lab would: rows by frame, all tracks mixed."""
    rows = []
    for i, (track, label) in enumerate(zip(tracks, labels, strict=True)):
        name = i if ids is None else ids[i]
        more = "" if extra is None else f",{extra[i]}"
        rows += [
            (frame, f"{name},{frame},{x:.5f},{y:.5f},{label}{more}")
            for frame, (x, y) in enumerate(track)
        ]
    rows.sort(key=lambda row: row[0])
    path.write_text("\n".join([header, *(row for _, row in rows)]) + "\n", encoding="utf-8")
    return path


def test_labels_alpha_and_noise_reach_their_tracks(tmp_path):
    tracks = paths([12, 30, 20])
    path = write(
        tmp_path / "a.csv", tracks, ["BM", "SubFBM", "supLW"], extra=["1,0.5", "0.4,0", "1.7,"],
        header="particle,frame,x,y,class,Alpha,noise",
    )  # fmt: skip
    found = read_labelled(path)
    assert [CLASS_NAMES[i] for i in found.label] == ["BM", "SubFBM", "SupLW"]
    assert found.length.tolist() == [12, 30, 20]
    np.testing.assert_allclose(found.alpha, [1, 0.4, 1.7])
    np.testing.assert_allclose(found.noise, [0.5, 0, np.nan])
    np.testing.assert_allclose(found.positions[12:42], tracks[1], atol=1e-5)
    assert found.report["sha256"]
    assert found.report["format"]


@pytest.mark.parametrize("ids", [[7, 3, 1000], ["b", "a", "c"], [1.5, 0.5, 2.5], [-1, 4, 2]])
def test_any_kind_of_track_number(tmp_path, ids):
    labels = ["BM", "SubFBM", "SupLW"]
    path = write(tmp_path / "a.csv", paths([12, 30, 20]), labels, ids=ids)
    found = read_labelled(path)
    by_length = {int(n): CLASS_NAMES[i] for n, i in zip(found.length, found.label, strict=True)}
    assert by_length == {12: "BM", 30: "SubFBM", 20: "SupLW"}


def test_other_programs_tables(tmp_path):
    path = tmp_path / "spots.csv"
    rows = ["LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_T,FRAME,kind"]
    rows += ["Label,Spot ID,Track ID,Quality,X,Y,T,Frame,kind"]
    rows += ["Label,Spot ID,Track ID,Quality,X,Y,T,Frame,kind"]
    rows += [",,,(quality),(micron),(micron),(sec),,"]
    for i, track in enumerate(paths([15, 15])):
        rows += [
            f"ID{k},{k},{i},1,{x},{y},{k * 0.1:.1f},{k},{('BM', 'SupFBM')[i]}"
            for k, (x, y) in enumerate(track)
        ]
    path.write_text("\n".join(rows) + "\n")
    found = read_labelled(path, label_column="kind")
    assert found.report["format"].startswith("TrackMate")
    assert [CLASS_NAMES[i] for i in found.label] == ["BM", "SupFBM"]


def test_the_policy_of_classify_applies(tmp_path):
    tracks = paths([12, 30, 5, 40])
    labels = ["BM", "SubFBM", "BM", "SupLW"]
    path = write(tmp_path / "a.csv", tracks, labels)
    lines = [
        line for line in path.read_text().splitlines() if not line.startswith(("3,20,", "3,21,"))
    ]
    lines = [line for line in lines if not any(line.startswith(f"1,{f},") for f in range(10, 15))]
    path.write_text("\n".join(lines) + "\n")
    found = read_labelled(path)
    assert found.report["policy_counts"]["too_short_tracks"] == 1
    # track 1 is split at a gap of five frames, that of two in track 3 is filled
    assert found.length.tolist() == [12, 10, 15, 40]
    assert [CLASS_NAMES[i] for i in found.label] == ["BM", "SubFBM", "SubFBM", "SupLW"]
    assert len(read_labelled(path, policy=QualityPolicy(min_length=13))) == 2


def test_tracks_without_a_class_are_left_out_and_said(tmp_path):
    path = write(tmp_path / "a.csv", paths([12, 13, 14]), ["", "BM", "immobile"])
    found = read_labelled(path)
    assert found.length.tolist() == [13]
    assert "2 tracks without a class" in found.notes[-1]
    path = write(tmp_path / "b.csv", paths([12, 13]), ["", "immobile"])
    with pytest.raises(SptError, match="names no class"):
        read_labelled(path)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["BM", "Brownian"], ['"Brownian"', *CLASS_NAMES, "label_column="]),
        (["a", "b"], ['"a", "b"', "SubATTM"]),
    ],
)
def test_unknown_classes_are_named_with_the_eight(tmp_path, labels, words):
    path = write(tmp_path / "a.csv", paths([12, 13]), labels)
    with pytest.raises(SptError) as error:
        read_labelled(path)
    assert all(word in str(error.value) for word in words)


def test_no_such_column(tmp_path):
    path = write(tmp_path / "a.csv", paths([12]), ["BM"], header="particle,frame,x,y,kind")
    with pytest.raises(SptError, match=r"no column \"class\".*\n.*label_column="):
        read_labelled(path)
    assert len(read_labelled(path, label_column="KIND")) == 1
    assert len(read_labelled(path, label_column="5")) == 1


def test_one_class_for_a_track(tmp_path):
    path = write(tmp_path / "a.csv", paths([12]), ["BM"])
    path.write_text(path.read_text().replace("0,5,", "0,5,").replace("BM\n0,7", "SubFBM\n0,7", 1))
    with pytest.raises(SptError, match="track 0 has different values"):
        read_labelled(path)


@pytest.mark.parametrize("value", ["inf", "-0.5"])
def test_impossible_alpha(tmp_path, value):
    path = write(
        tmp_path / "a.csv",
        paths([12]),
        ["BM"],
        extra=[value],
        header="particle,frame,x,y,class,alpha",
    )
    with pytest.raises(SptError, match="0 or more"):
        read_labelled(path)


def test_xml_has_no_place_for_classes(tmp_path):
    path = tmp_path / "tracks.xml"
    spots = "".join(f'<detection t="{t}" x="{t}" y="{t * t}" z="0"/>' for t in range(12))
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><Tracks nTracks="1" spaceUnits="µm" '
        'frameInterval="0.1" timeUnits="s" from="TrackMate v7.7.2">'
        f'<particle nSpots="12">{spots}</particle></Tracks>',
        encoding="utf-8",
    )
    with pytest.raises(SptError, match="no column of classes"):
        read_labelled(path)


def test_compressed_and_from_memory(tmp_path, monkeypatch):
    path = write(tmp_path / "a.csv", paths([12, 13]), ["BM", "SupLW"])
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    expected = read_labelled(path)
    for found in (read_labelled(packed), read_labelled(Input._held("-", None, path.read_bytes()))):
        np.testing.assert_array_equal(found.positions, expected.positions)
        np.testing.assert_array_equal(found.label, expected.label)


@given(st.integers(0, 10_000))
def test_a_file_cut_anywhere_is_read_or_refused(tmp_path_factory, where):
    folder = tmp_path_factory.mktemp("cut")
    whole = write(folder / "a.csv", paths([12, 13]), ["BM", "SupLW"]).read_bytes()
    cut = folder / "b.csv"
    cut.write_bytes(whole[: where % len(whole)])
    try:
        found = read_labelled(cut)
    except SptError:
        return
    assert set(found.label.tolist()) <= {7, 5}
    assert np.isfinite(found.positions).all()


def archive(path, **changes):
    tracks = paths([12, 30, 20])
    arrays = {
        "positions": np.concatenate(tracks),
        "offsets": np.array([0, 12, 42, 62]),
        "label": np.array([7, 2, 5]),
        "alpha": np.array([1, 0.4, 1.7]),
        "seed": np.asarray(3),
    } | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_an_archive_is_taken_as_it_is(tmp_path):
    found = read_labelled(archive(tmp_path / "a.npz"))
    assert found.label.tolist() == [7, 2, 5]
    assert found.length.tolist() == [12, 30, 20]
    assert found.alpha.tolist() == [1, 0.4, 1.7]
    assert np.isnan(found.noise).all()
    other = archive(tmp_path / "b.npz", offsets=None, lengths=np.array([12, 30, 20]))
    assert read_labelled(other).offsets.tolist() == found.offsets.tolist()
    named = archive(tmp_path / "c.npz", label=np.array(["BM", "SubFBM", "SupLW"]))
    assert read_labelled(named).label.tolist() == [7, 2, 5]


@pytest.mark.parametrize(
    "changes",
    [
        {"label": None},
        {"positions": None},
        {"offsets": None},
        {"offsets": np.array([0, 12, 42])},
        {"offsets": np.array([0, 42, 12, 62])},
        {"offsets": np.array([0.0, np.nan, 12, 62])},
        {"offsets": np.array([1, 12, 42, 62])},
        {"label": np.array([7, 2, 8])},
        {"label": np.array([7.0, 2, 5])},
        {"label": np.array([[7, 2, 5]])},
        {"label": np.array(["BM", "x", "SupLW"])},
        {"alpha": np.array([1.0])},
        {"alpha": np.array(["a", "b", "c"])},
        {"positions": np.full((62, 2), np.nan)},
        {"positions": np.zeros((62, 3))},
        {"positions": np.array([None, "x"], dtype=object)},
    ],
)
def test_an_archive_that_does_not_fit_is_refused(tmp_path, changes):
    with pytest.raises(SptError):
        read_labelled(archive(tmp_path / "a.npz", **changes))


def test_a_damaged_archive_is_refused(tmp_path):
    whole = archive(tmp_path / "a.npz").read_bytes()
    for size in range(30, len(whole), 97):
        cut = tmp_path / "b.npz"
        cut.write_bytes(whole[:size])
        with pytest.raises(SptError):
            read_labelled(cut)


def made(lengths=(12, 30, 20, 15), labels=(0, 0, 0, 1)):
    n = len(lengths)
    return LabelledTracks(
        np.concatenate(paths(lengths)),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.array(labels),
        np.arange(n, dtype=float),
        np.full(n, np.nan),
    )


def test_taking_and_joining_keep_tracks_whole():
    tracks = made()
    some = tracks.take(np.array([2, 0]))
    np.testing.assert_array_equal(some.positions[:20], tracks.positions[42:62])
    np.testing.assert_array_equal(some.positions[20:], tracks.positions[:12])
    assert some.alpha.tolist() == [2, 0]
    both = join([some, tracks])
    assert both.length.tolist() == [20, 12, 12, 30, 20, 15]
    assert len(both) == 6


def test_a_choice_is_even_and_repeatable():
    labels = np.repeat([0, 1, 2], [50, 20, 5])
    tracks = made([3] * 75, labels)
    chosen = tracks.subset(30, seed=1)
    assert np.bincount(chosen.label).tolist() in ([13, 12, 5], [12, 13, 5])
    np.testing.assert_array_equal(chosen.positions, tracks.subset(30, seed=1).positions)
    assert chosen.alpha.tolist() != tracks.subset(30, seed=2).alpha.tolist()
    assert tracks.subset(75, seed=1) is tracks


def test_noise_is_in_units_of_the_displacement():
    rng = np.random.default_rng(0)
    steps = rng.normal(0, [2.0, 0.1], (50_000, 2))
    tracks = LabelledTracks(
        steps.cumsum(axis=0),
        np.array([0, 25_000, 50_000]),
        np.zeros(2, int),
        np.ones(2),
        np.ones(2),
    )
    noisy = tracks.with_noise(0.5, seed=1)
    added = noisy.positions - tracks.positions
    assert added.std(axis=0) == pytest.approx([1.0, 0.05], rel=0.02)
    assert noisy.noise.tolist() == [0.5, 0.5]
    np.testing.assert_array_equal(noisy.positions, tracks.with_noise(0.5, seed=1).positions)
    assert tracks.with_noise(0, seed=1).positions is tracks.positions


def test_noise_on_a_straight_line_and_on_nothing():
    line = np.stack([np.arange(20.0), np.zeros(20)], axis=1)
    tracks = LabelledTracks(
        np.concatenate([line, np.zeros((5, 2))]), np.array([0, 20, 25]), np.zeros(2, int),
        np.ones(2), np.ones(2),
    )  # fmt: skip
    noisy = tracks.with_noise(1.0, seed=0).positions
    assert np.isfinite(noisy).all()
    assert noisy[:20].std(axis=0)[1] > 0.3
    np.testing.assert_array_equal(noisy[20:], 0)


def test_classes_follow_their_tracks_where_rows_are_dropped(tmp_path):
    path = write(tmp_path / "a.csv", paths([12, 13, 14]), ["BM", "SubFBM", "SupLW"], ids=[9, 4, 6])
    text = path.read_text().splitlines()
    # rows without a position, and all of track 6: its row in the table is gone
    gone = [i for i, row in enumerate(text) if row.startswith(("6,", "9,11,"))]
    for i in gone:
        particle, frame, _, y, label = text[i].split(",")
        text[i] = f"{particle},{frame},,{y},{label}"
    path.write_text("\n".join(text) + "\n")
    found = read_labelled(path)
    by_length = {int(n): CLASS_NAMES[i] for n, i in zip(found.length, found.label, strict=True)}
    assert by_length == {11: "BM", 13: "SubFBM"}


def test_alpha_that_is_no_number(tmp_path):
    header = "particle,frame,x,y,class,alpha"
    path = write(tmp_path / "a.csv", paths([12]), ["BM"], extra=["much"], header=header)
    with pytest.raises(SptError, match="much, where a number of 0 or more") as error:
        read_labelled(path)
    assert error.value.code == "wrong-kind"


def test_a_class_among_trackmates_spot_features(tmp_path):
    spots = "".join(
        f'<SpotsInFrame frame="{t}"><Spot ID="{t}" FRAME="{t}" POSITION_X="{t}" '
        f'POSITION_Y="{t * t}" POSITION_Z="0" KIND="supfbm"/></SpotsInFrame>'
        for t in range(12)
    )
    edges = "".join(f'<Edge SPOT_SOURCE_ID="{t}" SPOT_TARGET_ID="{t + 1}"/>' for t in range(11))
    path = tmp_path / "t.xml"
    path.write_text(
        f'<TrackMate version="7.6.0"><Model spatialunits="px"><AllSpots>{spots}</AllSpots>'
        f'<AllTracks><Track TRACK_ID="0">{edges}</Track></AllTracks></Model></TrackMate>'
    )
    found = read_labelled(path, label_column="kind")
    assert [CLASS_NAMES[i] for i in found.label] == ["SupFBM"]
    with pytest.raises(SptError, match="no column of classes"):
        read_labelled(path)
