from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from spt_explain.errors import SptError
from spt_explain.movies.settings import TrackingSettings
from spt_explain.readers import trackmate_full
from spt_explain.readers.inputs import HEAD_BYTES, Input, ReadOptions
from spt_explain.report.fiji_view import FijiView
from spt_explain.report.trackmate_xml import encode_trackmate, write_trackmate
from spt_explain.tracks.columns import POSITION_COLUMNS
from spt_explain.tracks.table import Calibration, Source, Tracks

SCHEMA = Path(__file__).parents[1] / "data" / "trackmate-v7.xsd"
IN_PX = FijiView(Path("movie.tif"), 64, 48, 20)
IN_MICRON = FijiView(Path("movie.tif"), 64, 48, 20, 1, 0.1, 0.1, 1.0, "micron")
FIVE = TrackingSettings(diameter=5, minmass=20.0, search_range=3.0, memory=1)
FROM_MOVIE = Calibration("um", "file: ImageJ", 0.05, "file: ImageJ", 0.1)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    return etree.XMLSchema(file=str(SCHEMA))


def tracks_of(rows: list[tuple[int, int, float, float]], **more: object) -> Tracks:
    """Tracks from particle, frame, x, y in px."""
    table = pd.DataFrame(rows, columns=["particle", "frame", "x", "y"]).astype(
        {"particle": np.int64, "frame": np.int64, "x": np.float64, "y": np.float64}
    )
    known = {"calibration": Calibration(), "source": Source("movie.tif", "a movie")} | more
    return Tracks(table, **known)  # type: ignore[arg-type]


def some_tracks() -> Tracks:
    """Particle 3 with a gap of two frames, 5 in one frame alone, 9 from frame 2; 0.1 µm a pixel."""
    rows = [
        (3, 0, 10.5, 20.25),
        (3, 1, 11.0, 20.5),
        (3, 4, 12.125, 21.0),
        (5, 2, 40.0, 8.0),
        (9, 2, 1 / 3, 5.0),
        (9, 3, 2 / 3, 5.5),
    ]
    tracks = tracks_of(rows, calibration=FROM_MOVIE)
    table = tracks.table
    table["x_px"], table["y_px"] = table["x"], table["y"]
    table["x"], table["y"] = table["x"] * 0.1, table["y"] * 0.1
    table["mass"] = [100.0, 110.5, 90.0, 55.0, 300.0, 310.0]
    return tracks


def read_back(data: bytes) -> Tracks:
    held = Input("-", None, data[:HEAD_BYTES], _data=data)
    return trackmate_full.read(held, ReadOptions())


def numbers(element: etree._Element) -> dict[str, float]:
    return {key: float(value) for key, value in element.attrib.items() if key != "name"}


# The schema: it takes TrackMate's own files, and refuses what TrackMate's reader stumbles over.


def test_schema_takes_what_trackmate_writes(shared_tracks, schema):
    schema.assertValid(etree.parse(str(shared_tracks / "faketracks-trackmate-v7.6-full.xml")))


@pytest.mark.parametrize("name", ["trackmate-full-gaps.xml", "trackmate-full-branching.xml"])
def test_schema_takes_version_6_but_for_what_version_7_added(shared_tracks, schema, name):
    root = etree.parse(str(shared_tracks / name)).getroot()
    assert not schema.validate(root)
    root.set("version", "7.0.0")
    etree.SubElement(root, "DisplaySettings").text = "{}"
    schema.assertValid(root)


@pytest.mark.parametrize(
    ("path", "attribute", "value"),
    [
        (".", "version", None),
        (".//Spot", "ID", "1.0"),
        (".//Spot[2]", "ID", "0"),
        (".//Spot", "POSITION_X", "nan"),
        (".//Spot", "POSITION_Y", None),
        (".//Spot", "QUALITY", "inf"),
        (".//Spot", "FRAME", "0.0"),
        (".//Feature", "dimension", "WEIGHT"),
        (".//Feature", "isint", None),
        (".//Track", "TRACK_ID", None),
        (".//Track", "TRACK_ID", "9"),
        (".//Track", "TRACK_START", "early"),
        (".//Edge", "SPOT_TARGET_ID", "77"),
        (".//FilteredTracks/TrackID", "TRACK_ID", "77"),
        (".//ImageData", "filename", None),
        (".//ImageData", "nframes", "0"),
        (".//DetectorSettings", "DETECTOR_NAME", None),
        (".//InitialSpotFilter", "value", "none"),
        ("GUIState", "state", None),
    ],
)
def test_schema_refuses(schema, path, attribute, value):
    root = etree.fromstring(encode_trackmate(some_tracks(), IN_MICRON, FIVE))
    schema.assertValid(root)
    for element in root.findall(path)[-1:] if path == ".//Spot[2]" else root.findall(path)[:1]:
        if value is None:
            del element.attrib[attribute]
        else:
            element.set(attribute, value)
    assert not schema.validate(root)


@pytest.mark.parametrize(
    "path",
    [
        "Model",
        "Model/AllSpots",
        "Model/AllTracks",
        "Model/FilteredTracks",
        "Settings/ImageData",
        "Settings/SpotFilterCollection",
        "Settings/TrackerSettings",
        "DisplaySettings",
    ],
)
def test_schema_wants(schema, path):
    root = etree.fromstring(encode_trackmate(some_tracks(), IN_MICRON, FIVE))
    element = root.find(path)
    assert element is not None
    element.getparent().remove(element)
    assert not schema.validate(root)


# What is written.


def test_spots_are_where_fiji_shows_them():
    root = etree.fromstring(encode_trackmate(some_tracks(), IN_MICRON, FIVE))
    model = root.find("Model")
    assert (model.get("spatialunits"), model.get("timeunits")) == ("micron", "sec")
    assert root.find("Model/AllSpots").get("nspots") == "6"
    frames = {int(one.get("frame")): len(one) for one in root.iter("SpotsInFrame")}
    assert frames == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1}
    spot = numbers(root.find(".//Spot[@ID='2']"))
    assert spot == pytest.approx(
        {
            "ID": 2,
            "FRAME": 4,
            "POSITION_X": 1.2125,
            "POSITION_Y": 2.1,
            "POSITION_Z": 0,
            "POSITION_T": 0.2,
            "RADIUS": 0.25,
            "QUALITY": 90,
            "VISIBILITY": 1,
        }
    )
    image = root.find("Settings/ImageData")
    assert image.get("filename") == "movie.tif"
    assert Path(image.get("folder")) == Path.cwd()
    assert {key: float(image.get(key)) for key in ("pixelwidth", "timeinterval", "nframes")} == {
        "pixelwidth": 0.1,
        "timeinterval": 0.05,
        "nframes": 20,
    }


def test_links_span_gaps_and_a_lone_spot_has_no_track():
    root = etree.fromstring(encode_trackmate(some_tracks(), IN_MICRON, FIVE))
    tracks = {one.get("name"): one for one in root.iter("Track")}
    assert {name: numbers(one)["TRACK_ID"] for name, one in tracks.items()} == {
        "Track_3": 3,
        "Track_9": 9,
    }
    links = [(one.get("SPOT_SOURCE_ID"), one.get("SPOT_TARGET_ID")) for one in root.iter("Edge")]
    assert links == [("0", "1"), ("1", "2"), ("4", "5")]
    assert [one.get("TRACK_ID") for one in root.iter("TrackID")] == ["3", "9"]
    assert numbers(tracks["Track_3"]).items() >= {"NUMBER_GAPS": 1, "LONGEST_GAP": 2}.items()


@pytest.mark.parametrize(
    "name",
    [
        "faketracks-trackmate-v7.6-full.xml",
        "trackmate-full-gaps.xml",
        "trackmate-full-branching.xml",
    ],
)
def test_tracks_measure_as_trackmate_measured_them(shared_tracks, name):
    data = (shared_tracks / name).read_bytes()
    tracks = read_back(data)
    again = encode_trackmate(tracks, FijiView(None, 128, 128, 50), FIVE)
    ours = {one.get("TRACK_ID"): one for one in etree.fromstring(again).iter("Track")}
    theirs = {one.get("TRACK_ID"): one for one in etree.fromstring(data).iter("Track")}
    assert ours.keys() == theirs.keys()
    for key, track in ours.items():
        known, expected = numbers(track), numbers(theirs[key])
        for feature in known.keys() - {"TRACK_INDEX", "TRACK_MEAN_QUALITY"}:
            assert known[feature] == pytest.approx(expected[feature], rel=1e-6, abs=1e-6), feature
        assert len(track) == len(theirs[key])
    speed = "SPEED" if "v7" in name else "VELOCITY"
    for known, expected in (("SPEED", speed), ("DISPLACEMENT", "DISPLACEMENT")):
        assert sorted(float(e.get(known)) for t in ours.values() for e in t) == pytest.approx(
            sorted(float(e.get(expected)) for t in theirs.values() for e in t), rel=1e-6
        )
    positions = list(POSITION_COLUMNS)
    pd.testing.assert_frame_equal(read_back(again).table[positions], tracks.table[positions])
    assert read_back(again).branching == tracks.branching


def test_trackmate_opens_it_at_the_views_and_detects_nothing_anew():
    root = etree.fromstring(encode_trackmate(some_tracks(), IN_MICRON, FIVE, notes=["Hello."]))
    assert root.find("Settings/DetectorSettings").attrib == {
        "DETECTOR_NAME": "MANUAL_DETECTOR",
        "RADIUS": "0.25",
    }
    assert root.find("Settings/TrackerSettings").get("TRACKER_NAME") == "MANUAL_TRACKER"
    assert root.find("GUIState").get("state") == "ConfigureViews"
    log = root.find("Log").text
    assert "spt-explain" in log
    assert "trackpy" in log
    assert "search_range: 3.0" in log
    assert "Hello." in log


def test_a_pixel_size_that_fiji_does_not_know_moves_no_spot():
    given_by_user = Calibration("um", "--pixel-size-um 0.1", None, "not given", 0.1)
    tracks = tracks_of([(0, 0, 1.0, 2.0), (0, 1, 1.5, 2.0)], calibration=given_by_user)
    root = etree.fromstring(encode_trackmate(tracks, IN_PX, FIVE))
    assert root.find("Model").get("spatialunits") == "pixel"
    assert root.find("Model").get("timeunits") == "frame"
    assert [float(one.get("POSITION_X")) for one in root.iter("Spot")] == pytest.approx([10, 15])
    assert "--pixel-size-um 0.1" in root.find("Log").text


def test_spots_lie_in_the_plane_that_was_tracked():
    deep = FijiView(Path("movie.tif"), 64, 48, 20, 9, 1.0, 1.0, 0.5)
    for z, depth in ((3, 1.0), ("max", 2.0)):
        root = etree.fromstring(encode_trackmate(some_tracks(), deep, TrackingSettings(z=z)))
        assert {one.get("POSITION_Z") for one in root.iter("Spot")} == {str(depth)}
        assert root.find("Settings/BasicSettings").get("zend") == "8"


def test_labels_and_values_of_tracks(schema):
    values = pd.DataFrame({"class": [2, 4], "SubFBM p": [0.83, np.nan]}, index=[3, 9])
    data = encode_trackmate(
        some_tracks(), IN_MICRON, FIVE, labels={3: 'SubFBM 0.83 <&"'}, values=values
    )
    root = etree.fromstring(data)
    schema.assertValid(root)
    first, second = root.iter("Track")
    assert (first.get("name"), second.get("name")) == ('Track_3 SubFBM 0.83 <&"', "Track_9")
    assert (first.get("SPT_CLASS"), first.get("SPT_SUBFBM_P")) == ("2", "0.83")
    assert second.get("SPT_SUBFBM_P") == "NaN"
    declared = {one.get("feature"): one for one in root.find(".//TrackFeatures")}
    assert declared["SPT_SUBFBM_P"].get("name") == "SubFBM p"


def test_particles_that_are_no_java_int_are_numbered_anew(schema):
    tracks = tracks_of([(-7, 0, 1, 1), (-7, 1, 1, 2), (2**40, 0, 5, 5), (2**40, 1, 5, 6)])
    root = etree.fromstring(encode_trackmate(tracks, IN_PX, FIVE))
    schema.assertValid(root)
    assert [(one.get("TRACK_ID"), one.get("name")) for one in root.iter("Track")] == [
        ("0", "Track_-7"),
        ("1", "Track_1099511627776"),
    ]


@pytest.mark.parametrize("mass", [0.0, -4.5, np.nan])
def test_no_spot_is_below_the_filter_on_quality(schema, mass):
    tracks = some_tracks()
    tracks.table.loc[1, "mass"] = mass
    root = etree.fromstring(encode_trackmate(tracks, IN_MICRON, FIVE))
    schema.assertValid(root)
    least = float(root.find("Settings/InitialSpotFilter").get("value"))
    qualities = [float(one.get("QUALITY")) for one in root.iter("Spot")]
    assert not any(value <= least for value in qualities)


def test_no_spots_at_all(schema):
    root = etree.fromstring(encode_trackmate(tracks_of([]), IN_PX, TrackingSettings()))
    schema.assertValid(root)
    assert root.find("Model/AllSpots").get("nspots") == "0"


@pytest.mark.parametrize(
    "name", ["a & b <c>.tif", "quo\"te'.tif", "tab\there\n.tif", "bad\x01\ufffe.tif", "\udcff.tif"]
)
def test_names_of_movies(schema, name):
    movie = FijiView(Path(name), 64, 48, 20, remarks=("]]> & <Log>",))
    data = encode_trackmate(some_tracks(), movie, FIVE)
    root = etree.fromstring(data)
    schema.assertValid(root)
    held = root.find("Settings/ImageData").get("filename")
    assert held == "".join("\ufffd" if c in "\x01\ufffe\udcff" else c for c in name)
    assert "]]> & <Log>" in root.find("Log").text


places = st.floats(0, 1e4, allow_nan=False, width=64)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.integers(0, 2**31 - 1),
        st.dictionaries(st.integers(0, 10**6), st.tuples(places, places), min_size=1, max_size=6),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_read_back_is_what_was_written(schema, held):
    rows = [(p, t, *held[p][t]) for p in sorted(held) for t in sorted(held[p])]
    data = encode_trackmate(tracks_of(rows), IN_PX, FIVE)
    schema.assertValid(etree.fromstring(data))
    linked = [row for row in rows if len(held[row[0]]) > 1]
    if not linked:
        with pytest.raises(SptError, match="not linked"):
            read_back(data)
        return
    back = read_back(data)
    assert list(back.table[["particle", "frame", "x", "y"]].itertuples(index=False, name=None)) == (
        linked
    )
    assert back.calibration.length_unit == "px"
    assert back.calibration.frame_interval_s is None


def test_units_are_read_back():
    back = read_back(encode_trackmate(some_tracks(), IN_MICRON, FIVE))
    kept = some_tracks().table.query("particle != 5")
    assert back.calibration.length_unit == "um"
    assert back.calibration.pixel_size_um == pytest.approx(0.1)
    assert back.calibration.frame_interval_s == 0.05
    np.testing.assert_allclose(back.table[["x", "y"]], kept[["x", "y"]], rtol=1e-15)


def test_another_reader_reads_it(tmp_path):
    pytrackmate = pytest.importorskip("pytrackmate")
    path = tmp_path / "tracks.xml"
    write_trackmate(path, some_tracks(), IN_MICRON, FIVE)
    read = pytrackmate.trackmate_peak_import(path, get_tracks=True).set_index("spot_id")
    table = some_tracks().table
    read = read.sort_index()
    np.testing.assert_allclose(read[["x", "y"]], table[["x", "y"]], rtol=1e-12)
    assert read["t_stamp"].tolist() == table["frame"].tolist()
    assert read["label"].nunique() == 3


# Errors, and the file itself.


@pytest.mark.parametrize(
    ("rows", "more", "words"),
    [
        ([(4, 2, 1, 1), (4, 2, 2, 2)], {}, "Particle 4 has two positions in frame 2"),
        ([(4, -2, 1, 1), (4, 2, 2, 2)], {}, "frame -2"),
        ([(4, 1, 1, 1), (4, 2, 2, 2)], {"branching": {4: "it splits"}}, "Particle 4 splits"),
        ([(4, 1, 1, 1)], {"calibration": Calibration("um")}, "pixel_size_um="),
    ],
)
def test_what_has_no_place_in_trackmate(rows, more, words):
    with pytest.raises(SptError, match=words):
        encode_trackmate(tracks_of(rows, **more), IN_PX, FIVE)


def test_the_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "tracks.xml"
    write_trackmate(path, some_tracks(), IN_MICRON, FIVE)
    whole = path.read_bytes()
    assert whole == encode_trackmate(some_tracks(), IN_MICRON, FIVE)

    def full(*_: object) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spt_explain.report.trackmate_xml._links", full)
    with pytest.raises(SptError, match="No space left"):
        write_trackmate(path, some_tracks(), IN_PX, FIVE)
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]
