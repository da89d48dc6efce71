import gzip
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.readers import trackmate_full, trackmate_simple
from spt_explain.readers.inputs import HEAD_BYTES, Input, ReadOptions

ROOT = (
    '<Tracks nTracks="{n}" spaceUnits="{length}" frameInterval="{dt}" timeUnits="{time}" '
    'generationDateTime="jeu., 6 mai 2021 16:48:17" from="{by}">'
)


def message(source: Input) -> str:
    """What a user is told, or nothing if the file can be read."""
    try:
        trackmate_simple.read(source, ReadOptions())
    except SptError as error:
        return str(error)
    return ""


def held(data: bytes) -> Input:
    return Input("-", None, data[:HEAD_BYTES], _data=data)


def export(
    particles, n=None, length="µm", dt="60.0", time="ms", by="TrackMate v7.7.2", said=None, eol="\n"
) -> str:
    """Simple XML as TrackMate writes it; `said` maps the index of a particle to its nSpots."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    n = len(particles) if n is None else n
    lines.append(ROOT.format(n=n, length=length, dt=dt, time=time, by=by))
    for index, points in enumerate(particles):
        spots = (said or {}).get(index, len(points))
        lines.append(f'  <particle nSpots="{spots}">')
        lines += [f'    <detection t="{t}" x="{x!r}" y="{y!r}" z="0.0" />' for t, x, y in points]
        lines.append("  </particle>")
    lines.append("</Tracks>")
    return eol.join(lines) + eol


TWO = [[(0, 1.0, 2.0), (1, 1.5, 2.5), (3, 2.0, 3.0)], [(7, 5.0, 5.0), (8, 6.0, 6.0)]]


def read(text: str | bytes, **options):
    data = text.encode() if isinstance(text, str) else text
    source = held(data)
    assert trackmate_simple.sniff(source)
    assert not trackmate_full.sniff(source)
    return trackmate_simple.read(source, ReadOptions(**options))


def test_positions_units_and_name():
    tracks = read(export(TWO))
    assert tracks.table["particle"].tolist() == [0, 0, 0, 1, 1]
    assert tracks.table["frame"].tolist() == [0, 1, 3, 7, 8]
    assert tracks.table["x"].tolist() == [1.0, 1.5, 2.0, 5.0, 6.0]
    assert tracks.table["z"].tolist() == [0.0] * 5
    assert tracks.table.dtypes.astype(str).tolist() == ["int64", "int64"] + ["float64"] * 3
    assert tracks.source.format == "TrackMate 7.7.2 tracks export (simple XML)"
    assert tracks.calibration.length_unit == "um"
    assert tracks.calibration.length_source == "file: spaceUnits=µm"
    assert tracks.calibration.frame_interval_s == pytest.approx(0.06)
    assert tracks.calibration.time_source == "file: frameInterval=60.0 ms"
    assert tracks.branching == {}
    assert tracks.source.notes == ()


def test_unsorted_detections_are_sorted():
    tracks = read(export([[(3, 9.0, 9.0), (1, 1.0, 1.0)]]))
    assert tracks.table["x"].tolist() == [1.0, 9.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("cp1252"),  # declared as UTF-8, as old TrackMate did on Windows
        lambda text: text.encode("utf-16"),
        lambda text: b"\n \n" + text.encode(),
        lambda text: b"\xef\xbb\xbf\n" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode() + b"\r\n\r\n",
        lambda text: text.replace("?>", "?>\n<!-- a comment <Tracks> --><?pi x?>").encode(),
    ],
)
def test_encodings_and_line_ends(change):
    text = export(TWO)
    data = change(text)
    if data[:2] == b"\xff\xfe":
        data = data.replace("UTF-8".encode("utf-16-le"), "UTF-16".encode("utf-16-le"))
    tracks = read(data)
    assert tracks.table["x"].tolist() == [1.0, 1.5, 2.0, 5.0, 6.0]
    assert tracks.calibration.length_unit == "um"


def test_number_of_tracks_in_the_header_is_not_believed():
    assert read(export(TWO, n=521)).n_tracks == 2


def test_missing_spots_mean_branching():
    tracks = read(export(TWO, said={1: 5}))
    assert list(tracks.branching) == [1]
    assert "5 spots" in tracks.branching[1]
    assert "Save" in tracks.branching[1]
    assert tracks.links is None
    assert len(tracks.table) == 5


def test_two_positions_in_a_frame_mean_branching():
    tracks = read(export([TWO[0], [(0, 1.0, 1.0), (1, 2.0, 2.0), (1, 3.0, 3.0)]]))
    assert list(tracks.branching) == [1]
    assert len(tracks.table) == 6


def test_positions_that_are_none_are_dropped_and_counted():
    text = export([TWO[0], [(0, 1.0, 1.0)]]).replace('x="1.5"', 'x="NaN"')
    text = text.replace('x="1.0" y="1.0"', 'x="-Infinity" y="1.0"')
    tracks = read(text)
    assert tracks.table["frame"].tolist() == [0, 3]
    assert tracks.source.counts == {"missing_positions": 2, "tracks_without_positions": 1}
    assert "2 detections" in tracks.source.notes[0]
    assert tracks.branching == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('t="1" ', ""),
        ('t="1"', 't="1.5"'),
        ('t="1"', 't="NaN"'),
        ('t="1"', 't="1e300"'),
        ('t="1"', 't="one"'),
        ('x="1.5" ', ""),
        ('x="1.5"', 'x="1,5"'),
        ('y="2.5"', 'y=""'),
    ],
)
def test_detection_without_numbers_names_the_line(old, new):
    text = export(TWO)
    line = 1 + next(i for i, row in enumerate(text.splitlines()) if old in row)
    with pytest.raises(SptError, match=f"line {line}") as error:
        read(text.replace(old, new, 1))
    assert error.value.exit_code == 2


def test_line_numbers_beyond_16_bits():
    many = [[(t, 1.0, 1.0) for t in range(70_000)]]
    text = export(many).replace('t="69999"', 't="x"')
    with pytest.raises(SptError, match=r"line 7000[34]\b"):
        read(text)


@pytest.mark.parametrize(
    ("particles", "words"),
    [([], "no particle"), ([[], []], "2 particles without a single detection")],
)
def test_no_tracks_has_its_own_message(particles, words):
    with pytest.raises(SptError, match=words) as error:
        read(export(particles, n=7))
    assert "holds no tracks" in str(error.value)


def test_only_nan_has_its_own_message():
    with pytest.raises(SptError, match="none with a position"):
        read(export([[(0, float("nan"), 1.0)]]))


def test_empty_particles_keep_their_place_in_the_order():
    tracks = read(export([[], TWO[0], TWO[1]]))
    assert tracks.table["particle"].unique().tolist() == [1, 2]
    assert tracks.source.counts == {"empty_tracks": 1}


@pytest.mark.parametrize("length", ["pixel", "pixels", ""])
def test_pixels_with_the_option(length):
    tracks = read(export(TWO, length=length, dt="1.0", time="frame"), pixel_size_um=0.1)
    assert tracks.table["x"].tolist() == pytest.approx([0.1, 0.15, 0.2, 0.5, 0.6])
    assert tracks.calibration.length_source == "pixel_size_um=0.1"
    assert tracks.calibration.frame_interval_s is None


def test_unreadable_frame_interval_is_no_interval():
    assert read(export(TWO, dt="?")).calibration.frame_interval_s is None


def test_cut_off_file_says_where_and_how_much():
    text = export(TWO)
    cut = text[: text.index("</particle>") + len("</particle>") + 10]
    with pytest.raises(SptError, match=r"line 8 \(read 1 track with 3 positions"):
        read(cut)


def test_gzip_cut_off(tmp_path):
    rows = [[(t, t * 0.123456789, 1.0 / (t + 1)) for t in range(20_000)]]
    whole = gzip.compress(export(rows).encode(), mtime=0)
    path = tmp_path / "a.xml.gz"
    path.write_bytes(whole)
    assert trackmate_simple.read(Input.of(path), ReadOptions()).n_tracks == 1
    path.write_bytes(whole[: len(whole) * 9 // 10])
    source = Input.of(path)
    with pytest.raises(SptError, match="can't be read to its end"):
        trackmate_simple.read(source, ReadOptions())


def test_entities_are_refused():
    bomb = '<!DOCTYPE Tracks [<!ENTITY a "1"><!ENTITY b "&a;&a;">]>'
    text = export(TWO).replace("?>", "?>" + bomb)
    with pytest.raises(SptError, match="document type"):
        read(text)


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'></svg>",
        b"<?xml version='1.0'?><OME><Image/></OME>",
        b"<root><trackfile version='1'/><trackgroup/></root>",
        b"<TrackMate version='7'></TrackMate>",
        b"<Tracks></Tracks>",
        b"<TracksAndMore nTracks='1'>",
        b"particle,frame,x,y\n",
        b"<",
        b"<?xml",
        b"<!-- <Tracks nTracks='1'>",
        b"\x00\xff\xfe<Tracks",
    ],
)
def test_other_files_are_left_alone(data):
    assert not trackmate_simple.sniff(held(data))


points = st.lists(
    st.tuples(
        st.integers(-(2**31), 2**31),
        st.floats(-1e12, 1e12),
        st.floats(-1e12, 1e12),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda point: point[0],
)


@given(particles=st.lists(points, min_size=1, max_size=5), eol=st.sampled_from(["\n", "\r\n"]))
def test_round_trip(particles, eol):
    tracks = read(export(particles, eol=eol))
    groups = tracks.table.groupby("particle")
    back = [list(zip(g["frame"], g["x"], g["y"], strict=True)) for _, g in groups]
    assert back == [sorted(track) for track in particles]
    assert tracks.branching == {}


@settings(max_examples=200)
@given(data=st.data())
def test_damage_gives_a_message_and_no_traceback(data):
    whole = export(TWO).encode()
    cut = data.draw(st.integers(1, len(whole)))
    damaged = bytearray(whole[:cut])
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    source = held(bytes(damaged))
    if trackmate_simple.sniff(source):
        assert len(message(source).splitlines()) <= 2


def test_cut_at_every_byte_is_an_error_or_another_file():
    whole = export(TWO).rstrip().encode()
    for cut in range(1, len(whole)):
        source = held(whole[:cut])
        if trackmate_simple.sniff(source):
            with pytest.raises(SptError, match="cut off"):
                trackmate_simple.read(source, ReadOptions())
        else:
            assert cut < whole.index(b"frameInterval")


@pytest.mark.parametrize(
    ("name", "n_tracks", "sizes", "long", "branching"),
    [
        ("bacteria-trackmate-v7.7-simple.xml", 2321, (2, 3, 646), 118, []),
        ("trackmate-v4-simple.xml", 176, (2, 2, 45), 4, []),
        ("faketracks-trackmate-v7.10-simple-branching.xml", 4, (10, 46, 50), 3, [0, 2]),
    ],
)
def test_real_files(shared_tracks, name, n_tracks, sizes, long, branching):
    path = shared_tracks / name
    tracks = trackmate_simple.read(Input.of(path), ReadOptions())
    root = ET.parse(path).getroot()
    expected = [
        (index, int(spot.get("t")), float(spot.get("x")), float(spot.get("y")))
        for index, particle in enumerate(root.iter("particle"))
        for spot in particle.iter("detection")
    ]
    rows = tracks.table[["particle", "frame", "x", "y"]].itertuples(index=False, name=None)
    assert list(rows) == expected
    counted = np.array(list(Counter(row[0] for row in expected).values()))
    assert tracks.n_tracks == len(counted) == n_tracks
    assert (counted.min(), np.median(counted), counted.max()) == sizes
    assert (tracks.table.groupby("particle").size() >= 20).sum() == (counted >= 20).sum() == long
    assert list(tracks.branching) == branching


def test_particle_without_its_number_of_spots_is_no_branch():
    tracks = read(export(TWO).replace(' nSpots="3"', ""))
    assert tracks.n_tracks == 2
    assert tracks.branching == {}
