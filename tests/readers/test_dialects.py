import pytest

from spt_explain.errors import SptError
from spt_explain.readers.dialects import assign, dialect_of, plain, split_unit
from spt_explain.readers.inputs import Input
from spt_explain.readers.text import layout_of


def roles_of(tmp_path, header, given=None, row=None):
    width = len(header.split(","))
    row = row or ",".join(["1"] * width)
    path = tmp_path / "f.csv"
    path.write_text(f"{header}\n{row}\n{row}\n", encoding="utf-8")
    source = Input.of(path)
    return assign(source, layout_of(source), given)


def taken(roles):
    return {role: column.name for role, column in roles.columns.items()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x [nm]", ("x", "nm")),
        ("X_(nm)", ("X", "nm")),
        ("x (µm)", ("x", "µm")),
        ("x_um", ("x", "um")),
        ("x_px", ("x", "px")),
        ("t [ms]", ("t", "ms")),
        ("POSITION_X", ("POSITION_X", None)),
        ("x", ("x", None)),
        ("track.id", ("track.id", None)),
        ("x ()", ("x", None)),
        ("mass", ("mass", None)),
    ],
)
def test_units_in_names(name, expected):
    assert split_unit(name) == expected


def test_names_are_compared_by_letters_and_digits():
    assert plain("Track_ID") == plain("trackId") == plain("track.id") == "trackid"
    assert plain("X_(nm)") == plain("x [px]") == "x"


HEADERS = {
    "y,x,mass,size,ecc,signal,raw_mass,ep,frame,particle": (
        "trackpy",
        {"particle": "particle", "frame": "frame", "x": "x", "y": "y"},
    ),
    "trajectory,frame,y,x": (
        "saSPT",
        {"particle": "trajectory", "frame": "frame", "x": "x", "y": "y"},
    ),
    " ,Trajectory,Frame,x,y,z,m0,m1,NPscore": (
        "MOSAIC",
        {"particle": "Trajectory", "frame": "Frame", "x": "x", "y": "y", "z": "z"},
    ),
    "traj_idx,frame,x,y": (
        "AnDi-2",
        {"particle": "traj_idx", "frame": "frame", "x": "x", "y": "y"},
    ),
    "track_id,frame,z,y,x": (
        "GEMspa",
        {"particle": "track_id", "frame": "frame", "x": "x", "y": "y", "z": "z"},
    ),
    "x,y,z,particle,frame": (
        "DeepSPT",
        {"particle": "particle", "frame": "frame", "x": "x", "y": "y", "z": "z"},
    ),
    "x,y,frame,track_id": (
        "TrackSegNet",
        {"particle": "track_id", "frame": "frame", "x": "x", "y": "y"},
    ),
    "X,Y,frame,track_ID,pred_0": (
        "ExTrack",
        {"particle": "track_ID", "frame": "frame", "x": "X", "y": "Y"},
    ),
    "id,x [nm],y [nm],frame,track.id,seg.id,id": (
        "swift",
        {"particle": "track.id", "frame": "frame", "x": "x [nm]", "y": "y [nm]"},
    ),
    " ,X_(px),Y_(px),Frame_Number,X_(nm),X_loc_error(nm),Y_(nm),SD_X_(nm),Track_ID,Particle_ID": (
        "DoM",
        {"particle": "Track_ID", "frame": "Frame_Number", "x": "X_(nm)", "y": "Y_(nm)"},
    ),
    "frame,t,trajectory,x,y": (
        "Spot-On",
        {"particle": "trajectory", "frame": "frame", "t": "t", "x": "x", "y": "y"},
    ),
    "t,x,y,id": ("TRAIT2D", {"particle": "id", "t": "t", "x": "x", "y": "y"}),
    "ID,t,x,y,z,parent,root,state,generation,label": (
        "btrack",
        {"particle": "ID", "t": "t", "x": "x", "y": "y", "z": "z"},
    ),
}


@pytest.mark.parametrize("header", HEADERS)
def test_programs_and_their_columns(tmp_path, header):
    title, expected = HEADERS[header]
    assert title in dialect_of(header.split(",")).title
    assert taken(roles_of(tmp_path, header)) == expected


def test_physical_positions_before_pixels(tmp_path):
    roles = roles_of(tmp_path, "particle,frame,x,y,x_um,y_um", row="0,1,20,10,2.2,1.1")
    assert (roles.columns["x"].name, roles.columns["y"].name) == ("x_um", "y_um")
    assert any("also as" in note for note in roles.notes)


def test_pixel_size_where_both_are_given(tmp_path):
    roles = roles_of(
        tmp_path, "particle,frame,x_px,y_px,x [nm],y [nm]", row="0,1,54.54,17.00,3490.47,1088.13"
    )
    assert roles.pixel_size_um == pytest.approx(0.064, rel=1e-3)


def test_x_and_y_are_named_alike(tmp_path):
    roles = roles_of(tmp_path, "track,frame,pos_x,y,pos_y,centroid_x")
    assert (roles.columns["x"].name, roles.columns["y"].name) == ("pos_x", "pos_y")


def test_two_track_columns_are_said(tmp_path):
    roles = roles_of(tmp_path, "particle,track_id,frame,x,y")
    assert roles.columns["particle"].name == "track_id"
    assert any("columns={'particle': 'particle'}" in note for note in roles.notes)


def test_label_is_no_track(tmp_path):
    assert "particle" not in roles_of(tmp_path, "label,frame,x,y").columns


def test_given_columns_win_and_the_rest_is_found(tmp_path):
    roles = roles_of(tmp_path, "particle,other,frame,x,y", {"particle": "other"})
    assert taken(roles) == {"particle": "other", "frame": "frame", "x": "x", "y": "y"}


@pytest.mark.parametrize("name", ["Other", "OTHER", "2"])
def test_given_names_in_another_case_or_as_numbers(tmp_path, name):
    roles = roles_of(tmp_path, "particle,other,frame,x,y", {"particle": name})
    assert roles.columns["particle"].index == 1


def test_a_column_called_by_a_number_comes_before_positions(tmp_path):
    roles = roles_of(tmp_path, "particle,frame,x,y,2", {"particle": "2"})
    assert roles.columns["particle"].index == 4


def test_t_given_replaces_the_frame(tmp_path):
    roles = roles_of(tmp_path, "particle,frame,x,y,when", {"t": "when"})
    assert "frame" not in roles.columns


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"particle": "partcle"}, 'Did you mean particle="particle"'),
        ({"particle": "9"}, "asks for number 9"),
        ({"spot": "particle"}, "no role"),
    ],
)
def test_given_columns_that_are_not_there(tmp_path, given, words):
    with pytest.raises(SptError, match=words):
        roles_of(tmp_path, "particle,frame,x,y", given)
