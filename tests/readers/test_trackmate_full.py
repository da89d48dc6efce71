import random
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spt_explain.errors import NotTracksError, SptError
from spt_explain.readers import trackmate_full, trackmate_simple
from spt_explain.readers.inputs import HEAD_BYTES, Input, ReadOptions


def message(source: Input) -> str:
    """What a user is told, or nothing if the file can be read."""
    try:
        trackmate_full.read(source, ReadOptions())
    except SptError as error:
        return str(error)
    return ""


def held(data: bytes) -> Input:
    return Input("-", None, data[:HEAD_BYTES], _data=data)


def spot(number: int, frame: int, **more: object) -> str:
    """A spot at x = number, y = number / 2, with what else TrackMate writes about it."""
    known = {
        "ID": number,
        "name": f"ID{number}",
        "QUALITY": 4.5,
        "POSITION_T": frame * 0.05,
        "FRAME": frame,
        "VISIBILITY": 1,
        "RADIUS": 2.5,
        "POSITION_X": float(number),
        "POSITION_Y": number / 2,
        "POSITION_Z": 0.0,
    } | more
    return " ".join(f'{key}="{value}"' for key, value in known.items() if value is not None)


def save_file(
    spots: dict[int, int],
    tracks: dict[int, list[tuple[int, int]]],
    kept: list[int] | str | None = "all",
    length: str = "micron",
    time: str = "sec",
    image: str = 'pixelwidth="1.0" pixelheight="1.0" voxeldepth="1.0" timeinterval="0.05"',
    version: str = "7.6.0",
    log: str = "TrackMate v7.6.0 started on:&#xD;\n\u91d1, 14 10 2022",
    more: dict[int, dict[str, object]] | None = None,
) -> str:
    """Full XML as TrackMate writes it; `spots` maps ids to frames."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<TrackMate version="{version}">']
    lines.append(f"  <Log>{log}</Log>")
    lines.append(f'  <Model spatialunits="{length}" timeunits="{time}">')
    lines.append('    <FeatureDeclarations><SpotFeatures><Feature feature="QUALITY" />')
    lines.append("    </SpotFeatures></FeatureDeclarations>")
    lines.append(f'    <AllSpots nspots="{len(spots)}">')
    frames = defaultdict(list)
    for number, frame in spots.items():
        frames[frame].append(number)
    for frame, numbers in frames.items():
        lines.append(f'      <SpotsInFrame frame="{frame}">')
        for number in numbers:
            attributes = spot(number, frame, **(more or {}).get(number, {}))
            lines.append(f'        <Spot {attributes} ROI_N_POINTS="3">0.1 0.2 -0.1 0.3 1 1</Spot>')
        lines.append("      </SpotsInFrame>")
    lines.append("    </AllSpots>")
    lines.append("    <AllTracks>")
    for track, edges in tracks.items():
        lines.append(f'      <Track name="Track_{track}" TRACK_ID="{track}" NUMBER_SPOTS="4">')
        lines += [
            f'        <Edge SPOT_SOURCE_ID="{a}" SPOT_TARGET_ID="{b}" LINK_COST="1.0" />'
            for a, b in edges
        ]
        lines.append("      </Track>")
    lines.append("    </AllTracks>")
    if kept is not None:
        lines.append("    <FilteredTracks>")
        chosen = tracks if kept == "all" else kept
        lines += [f'      <TrackID TRACK_ID="{track}" />' for track in chosen]
        lines.append("    </FilteredTracks>")
    lines.append("  </Model>")
    lines.append(f'  <Settings><ImageData filename="a.tif" {image} /></Settings>')
    lines.append('  <GUIState state="ConfigureViews" />\n</TrackMate>\n')
    return "\n".join(lines)


# Track 3 has a gap of one frame; track 7 splits at spot 21 and its branches merge in 24.
SPOTS = {10: 0, 11: 1, 12: 3, 20: 0, 21: 1, 22: 2, 23: 2, 24: 3, 30: 5}
TRACKS = {3: [(10, 11), (11, 12)], 7: [(20, 21), (21, 22), (21, 23), (22, 24), (23, 24)]}


def read(text: str | bytes, **options):
    data = text.encode() if isinstance(text, str) else text
    source = held(data)
    assert trackmate_full.sniff(source)
    assert not trackmate_simple.sniff(source)
    return trackmate_full.read(source, ReadOptions(**options))


def spots_of(tracks, particle: int) -> list[int]:
    """The ids of a particle's spots in order, which are their x."""
    return tracks.table.loc[tracks.table["particle"] == particle, "x"].astype(int).tolist()


def test_spots_are_ordered_by_frame_under_their_track():
    tracks = read(save_file(SPOTS, TRACKS))
    assert tracks.table.columns.tolist() == [
        "particle", "frame", "x", "y", "z",
        "ID", "name", "QUALITY", "POSITION_T", "VISIBILITY", "RADIUS", "ROI_N_POINTS",
    ]  # fmt: skip
    assert tracks.table["particle"].tolist() == [3] * 3 + [7] * 5
    assert tracks.table["frame"].tolist() == [0, 1, 3, 0, 1, 2, 2, 3]
    assert spots_of(tracks, 3) == [10, 11, 12]
    assert tracks.table["y"].tolist()[:3] == [5.0, 5.5, 6.0]
    assert tracks.source.format == "TrackMate 7.6.0 save file (full XML)"
    assert tracks.calibration.length_unit == "um"
    assert tracks.calibration.length_source == "file: spatialunits=micron"
    assert tracks.calibration.pixel_size_um == 1.0
    assert tracks.calibration.frame_interval_s == 0.05
    assert tracks.calibration.time_source == "file: timeinterval=0.05 sec"


def test_splits_and_merges_are_reported_with_their_links():
    tracks = read(save_file(SPOTS, TRACKS))
    assert list(tracks.branching) == [7]
    assert "splits 1 time and merges 1 time" in tracks.branching[7]
    links = tracks.links
    assert links["particle"].unique().tolist() == [7]
    x = tracks.table["x"].astype(int)
    ends = zip(x[links["source"]], x[links["target"]], strict=True)
    assert sorted(ends) == sorted(TRACKS[7])


def test_direction_and_order_of_edges_do_not_matter():
    shuffled = {
        track: [edge[::-1] if i % 2 else edge for i, edge in enumerate(reversed(edges))]
        for track, edges in TRACKS.items()
    }
    one, other = read(save_file(SPOTS, TRACKS)), read(save_file(SPOTS, shuffled))
    assert one.table.equals(other.table)
    assert one.branching == other.branching
    assert one.links.equals(other.links)


def test_edge_listed_twice_is_one():
    tracks = read(save_file(SPOTS, {3: [(10, 11), (11, 10), (11, 12), (10, 11)]}))
    assert spots_of(tracks, 3) == [10, 11, 12]
    assert tracks.branching == {}
    assert tracks.links is None


def test_edges_that_link_nothing():
    edges = {3: [*TRACKS[3], (11, 11), (12, 999), (888, 777)], 5: [(888, 777)], 6: []}
    text = save_file(SPOTS, edges).replace(
        "<AllTracks>", '<AllTracks><Track TRACK_ID="8"><Edge /><Edge SPOT_SOURCE_ID="10"/></Track>'
    )
    tracks = read(text)
    assert spots_of(tracks, 3) == [10, 11, 12]
    assert tracks.n_tracks == 3
    assert tracks.without_points == (5, 6)
    assert tracks.branching == {}
    assert tracks.source.counts["broken_links"] == 5
    assert tracks.source.counts["empty_tracks"] == 2
    assert tracks.source.counts["hidden_tracks"] == 1


def test_edge_outside_of_any_track():
    stray = '<Edge SPOT_SOURCE_ID="12" SPOT_TARGET_ID="30" /></AllTracks>'
    tracks = read(save_file(SPOTS, TRACKS).replace("</AllTracks>", stray))
    assert spots_of(tracks, 3) == [10, 11, 12]
    assert tracks.source.counts["broken_links"] == 1


def test_link_to_a_missing_spot_leaves_a_gap():
    tracks = read(save_file({10: 0, 12: 2}, {3: [(10, 11), (11, 12)]}))
    assert spots_of(tracks, 3) == [10, 12]
    assert tracks.source.counts["broken_links"] == 2
    assert tracks.branching == {}


def test_pieces_that_overlap_in_time_are_not_one_path():
    tracks = read(save_file({1: 0, 2: 1, 3: 2, 4: 3}, {0: [(1, 3), (2, 4)]}))
    assert "overlap" in tracks.branching[0]
    assert len(tracks.links) == 2


def test_only_filtered_tracks_are_read():
    text = save_file(SPOTS, TRACKS, kept=[3, 99])
    tracks = read(text)
    assert tracks.table["particle"].unique().tolist() == [3]
    assert tracks.source.counts["hidden_tracks"] == 1
    assert "all_tracks=True" in tracks.source.notes[0]
    everything = read(text, all_tracks=True)
    assert everything.table["particle"].unique().tolist() == [3, 7]
    assert "hidden_tracks" not in everything.source.counts


def test_without_filters_all_tracks_are_read():
    assert read(save_file(SPOTS, TRACKS, kept=None)).n_tracks == 2


def test_loose_and_hidden_spots_are_counted():
    more = {30: {"VISIBILITY": 0}, 12: {"VISIBILITY": 0}}
    tracks = read(save_file(SPOTS | {31: 6, 32: 7}, TRACKS, more=more))
    assert tracks.source.counts == {
        "untracked_spots": 2,
        "hidden_spots": 1,
        "hidden_spots_in_tracks": 1,
    }
    assert spots_of(tracks, 3) == [10, 11, 12]
    assert len(tracks.source.notes) == 3


def test_repeated_id_is_counted_and_the_first_kept():
    text = save_file(SPOTS, TRACKS)
    again = f"<SpotsInFrame frame='9'><Spot {spot(11, 9, POSITION_X=-1)} /></SpotsInFrame>"
    tracks = read(text.replace("    </AllSpots>", again + "</AllSpots>"))
    assert spots_of(tracks, 3) == [10, 11, 12]
    assert tracks.source.counts["repeated_spots"] == 1


def test_positions_that_are_none_are_dropped_and_links_renumbered():
    more = {11: {"POSITION_X": "NaN"}, 22: {"POSITION_Y": "Infinity"}}
    tracks = read(save_file(SPOTS, TRACKS, more=more))
    assert spots_of(tracks, 3) == [10, 12]
    assert spots_of(tracks, 7) == [20, 21, 23, 24]
    assert tracks.source.counts["missing_positions"] == 2
    x = tracks.table["x"].astype(int)
    ends = zip(x[tracks.links["source"]], x[tracks.links["target"]], strict=True)
    assert sorted(ends) == [(20, 21), (21, 23), (23, 24)]


@pytest.mark.parametrize("key", ["ID", "POSITION_X", "POSITION_Y"])
@pytest.mark.parametrize("value", [None, "", "abc"])
def test_spot_without_numbers_names_the_line(key, value):
    text = save_file(SPOTS, TRACKS, more={12: {key: value}})
    line = 1 + next(i for i, row in enumerate(text.splitlines()) if 'name="ID12"' in row)
    with pytest.raises(SptError, match=rf"line {line}: a spot has .*{key}"):
        read(text)


def test_frame_of_the_enclosing_element_is_used_where_the_spot_has_none():
    tracks = read(save_file(SPOTS, TRACKS, more={12: {"FRAME": None}}))
    assert tracks.table["frame"].tolist()[:3] == [0, 1, 3]
    with pytest.raises(SptError, match="FRAME"):
        read(save_file(SPOTS, TRACKS, more={12: {"FRAME": "1.5"}}))


def test_track_without_id_is_an_error():
    with pytest.raises(SptError, match="a track has no TRACK_ID"):
        read(save_file(SPOTS, TRACKS).replace('TRACK_ID="7" NUMBER', "NUMBER"))


# -- units


def test_frame_interval_from_times_where_the_image_has_none():
    tracks = read(save_file(SPOTS, TRACKS, image='pixelwidth="1.0"', time="sec"))
    assert tracks.calibration.frame_interval_s == pytest.approx(0.05)
    assert "POSITION_T" in tracks.calibration.time_source
    uneven = {number: {"POSITION_T": number**2} for number in SPOTS}
    tracks = read(save_file(SPOTS, TRACKS, image='pixelwidth="1.0"', more=uneven))
    assert tracks.calibration.frame_interval_s is None


@pytest.mark.parametrize(
    ("time", "value", "seconds"),
    [("ms", "50.0", 0.05), ("frame", "1.0", None), ("s", "2", 2.0), ("sec", "1.0", 1.0)],
)
def test_frame_interval_of_the_image(time, value, seconds):
    tracks = read(save_file(SPOTS, TRACKS, time=time, image=f'timeinterval="{value}"'))
    assert tracks.calibration.frame_interval_s == pytest.approx(seconds)


def test_override_rescales_by_the_pixel_size_of_the_image():
    text = save_file(SPOTS, TRACKS, image='pixelwidth="0.2" pixelheight="0.2" timeinterval="1"')
    plain = read(text)
    assert plain.calibration.pixel_size_um == 0.2
    assert spots_of(plain, 3) == [10, 11, 12]
    tracks = read(text, pixel_size_um=0.1, override_units=True)
    assert tracks.table["x"].tolist()[:3] == pytest.approx([5.0, 5.5, 6.0])
    ignored = read(text, pixel_size_um=0.1)
    assert spots_of(ignored, 3) == [10, 11, 12]


def test_other_units_of_length_are_converted():
    text = save_file(SPOTS, TRACKS, length="nm", image='pixelwidth="160"')
    tracks = read(text)
    assert tracks.table["x"].tolist()[:3] == pytest.approx([0.010, 0.011, 0.012])
    assert tracks.calibration.pixel_size_um == pytest.approx(0.16)


def test_pixels_stay_or_are_scaled_once():
    text = save_file(SPOTS, TRACKS, length="pixel")
    assert read(text).calibration.length_unit == "px"
    tracks = read(text, pixel_size_um=0.1)
    assert tracks.table["x"].tolist()[:3] == pytest.approx([1.0, 1.1, 1.2])


def test_positions_scaled_in_no_unit_are_pixels_again():
    # A pixel width of 0.5 "pixel": TrackMate multiplied by 0.5, so 10 are 20 true pixels.
    image = 'pixelwidth="0.5" pixelheight="0.25"'
    text = save_file(SPOTS, TRACKS, length="pixel", image=image)
    tracks = read(text)
    assert tracks.table["x"].tolist()[:3] == [20, 22, 24]
    assert tracks.table["y"].tolist()[:3] == [20, 22, 24]
    assert any("pixel width of 0.5" in note for note in tracks.source.notes)
    scaled = read(text, pixel_size_um=0.5)
    assert scaled.table["x"].tolist()[:3] == [10, 11, 12]


# -- other variants and other files


def test_variant_of_2010_without_version():
    text = """<?xml version="1.0" encoding="UTF-8"?>
<TrackMate>
  <BasicSettings xstart="1" xend="512" />
  <ImageData pixelwidth="0.1" pixelheight="0.1" timeinterval="0.5" spatialunits="um"
   timeunits="sec" filename="a.tif" />
  <AllSpots>
    <SpotsInFrame frame="0"><Spot ID="5" name="a" POSITION_X="1.0" POSITION_Y="2.0"
      POSITION_T="0.0" RADIUS="1.0" /></SpotsInFrame>
    <SpotsInFrame frame="2"><Spot ID="4" name="b" POSITION_X="3.0" POSITION_Y="4.0"
      POSITION_T="1.0" RADIUS="1.0" /></SpotsInFrame>
  </AllSpots>
  <FilteredSpots><FilteredSpotsInFrame frame="0"><SpotID ID="5" /></FilteredSpotsInFrame>
    <SelectedSpotsInFrame frame="2"><Spot ID="4" /></SelectedSpotsInFrame></FilteredSpots>
  <AllTracks><Track trackID="0"><Edge sourceID="4" targetID="5" weight="1.0" /></Track></AllTracks>
  <FilteredTracks><TrackID trackID="0" /></FilteredTracks>
</TrackMate>"""
    tracks = read(text)
    assert tracks.table["frame"].tolist() == [0, 2]
    assert tracks.table["x"].tolist() == [1.0, 3.0]
    assert "z" not in tracks.table.columns
    assert "without version" in tracks.source.format
    assert tracks.calibration.length_unit == "um"
    assert tracks.calibration.pixel_size_um == pytest.approx(0.1)
    assert tracks.calibration.frame_interval_s == 0.5


def test_log_longer_than_the_first_look():
    text = save_file(SPOTS, TRACKS, log="Calculating cost &amp; linking.\n" * 5000)
    assert len(text) > 2 * HEAD_BYTES
    assert read(text).n_tracks == 2


def test_platform_charset_declared_as_utf8():
    text = save_file(SPOTS, TRACKS, length="µm", log="jeu., 6 déc. 2021")
    tracks = read(text.encode("cp1252"))
    assert tracks.calibration.length_source == "file: spatialunits=µm"
    assert tracks.n_tracks == 2
    assert len(tracks.table) == 8


def test_settings_alone_are_no_tracks():
    settings_only = '<?xml version="1.0"?><TrackMate version="7.6.0">{}<Settings /></TrackMate>'
    assert not trackmate_full.sniff(held(settings_only.format("").encode()))
    long = settings_only.format("<Log>" + "a" * HEAD_BYTES + "</Log>")
    with pytest.raises(NotTracksError, match="settings only"):
        read(long)


@pytest.mark.parametrize(
    "data",
    [b"<svg/>", b"<OME><Image/></OME>", b"<TrackMateX version='1'>", b"TrackMate", b"\xff\xfe<"],
)
def test_other_files_are_left_alone(data):
    assert not trackmate_full.sniff(held(data))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (save_file(SPOTS, {}), "9 spots and no tracks: the spots were not linked"),
        (save_file({}, {}), "0 spots and no tracks"),
        (save_file(SPOTS, TRACKS, kept=[]), "2 tracks, all hidden by its track filters"),
        (save_file(SPOTS, {0: [], 1: [(1, 2)]}), "2 tracks, but none has a link"),
    ],
)
def test_no_tracks_has_its_own_message(text, words):
    with pytest.raises(SptError, match=words):
        read(text)


def test_hidden_tracks_propose_the_option():
    text = save_file(SPOTS, TRACKS, kept=[])
    with pytest.raises(SptError, match="all_tracks=True"):
        read(text)
    assert read(text, all_tracks=True).n_tracks == 2


def test_entities_are_refused():
    text = save_file(SPOTS, TRACKS).replace("?>", '?><!DOCTYPE TrackMate [<!ENTITY a "1">]>')
    with pytest.raises(SptError, match="document type"):
        read(text)


def test_cut_off_file_says_where_and_how_much():
    text = save_file(SPOTS, TRACKS)
    cut = text[: text.index('TRACK_ID="7"')]
    line = cut.count("\n") + 1
    with pytest.raises(SptError, match=rf"line {line} \(read 9 spots and 1 track until"):
        read(cut)


def test_cut_anywhere_is_an_error_or_another_file():
    whole = save_file(SPOTS, TRACKS).rstrip().encode()
    for cut in range(1, len(whole)):
        source = held(whole[:cut])
        if trackmate_full.sniff(source):
            with pytest.raises(SptError, match="cut off"):
                trackmate_full.read(source, ReadOptions())
        else:
            assert cut <= whole.index(b"<TrackMate") + len(b"<TrackMate")


@settings(max_examples=150)
@given(data=st.data())
def test_damage_gives_a_message_and_no_traceback(data):
    damaged = bytearray(save_file(SPOTS, TRACKS).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    source = held(bytes(damaged))
    if trackmate_full.sniff(source):
        assert len(message(source).splitlines()) <= 2


@given(lengths=st.lists(st.integers(2, 6), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_round_trip_of_plain_tracks(lengths, seed):
    chance = random.Random(seed)
    ids = chance.sample(range(1000), sum(lengths))
    spots, edges, expected = {}, {}, {}
    for track, length in zip(chance.sample(range(50), len(lengths)), lengths, strict=True):
        mine, ids = ids[:length], ids[length:]
        frames = sorted(chance.sample(range(20), length))
        spots |= dict(zip(mine, frames, strict=True))
        edges[track] = [chance.choice([pair, pair[::-1]]) for pair in pairwise(mine)]
        chance.shuffle(edges[track])
        expected[track] = mine
    tracks = read(save_file(spots, edges))
    assert {track: spots_of(tracks, track) for track in expected} == expected
    assert tracks.branching == {}


@pytest.mark.parametrize(
    ("name", "n_points", "branching"),
    [
        ("trackmate-full-gaps.xml", [26, 50, 21, 26, 10], []),
        ("trackmate-full-branching.xml", [50, 73, 50, 10], [1]),
        ("faketracks-trackmate-v3-full.xml", [6, 6], []),
        ("faketracks-trackmate-v7.6-full.xml", [74, 10], [0]),
    ],
)
def test_real_files(shared_tracks, name, n_points, branching):
    path = shared_tracks / name
    tracks = trackmate_full.read(Input.of(path), ReadOptions())
    root = ET.parse(path).getroot()
    spots = {element.get("ID"): element for element in root.iter("Spot")}
    expected, split = [], []
    for track in root.iter("Track"):
        links = [
            sorted(
                (spots[edge.get(key)] for key in ("SPOT_SOURCE_ID", "SPOT_TARGET_ID")),
                key=lambda element: int(element.get("FRAME")),
            )
            for edge in track.iter("Edge")
        ]
        degrees = [Counter(id(link[end]) for link in links).values() for end in (0, 1)]
        if max(map(max, degrees)) > 1:
            split.append(int(track.get("TRACK_ID")))
        for element in {id(element): element for link in links for element in link}.values():
            keys = ("POSITION_X", "POSITION_Y")
            position = tuple(float(element.get(key)) for key in keys)
            expected.append((int(track.get("TRACK_ID")), int(element.get("FRAME")), *position))
    rows = tracks.table[["particle", "frame", "x", "y"]].itertuples(index=False, name=None)
    assert sorted(rows) == sorted(expected)
    assert tracks.table.groupby("particle").size().tolist() == n_points
    assert list(tracks.branching) == split == branching
    assert tracks.source.format.startswith(f"TrackMate {root.get('version')} ")
    hidden = len(spots) - len(set(expected))
    assert sum(tracks.source.counts.values()) == hidden
