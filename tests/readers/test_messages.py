"""What a user reads when a file is not what it seems: one test a trap."""

import gzip

import pytest

from spt_explain.errors import NotTracksError, SptError
from spt_explain.readers import read_tracks

NAMES = "particle,frame,x,y\n"
ROWS = "0,0,1.5,2\n0,1,1,2\n1,0,3,4\n1,1,4,5\n"


@pytest.fixture
def message(tmp_path):
    """Return a function that reads content and returns the message, which must be short."""

    def read(content, *words, name="tracks.csv", kind=SptError, **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(SptError) as caught:
            read_tracks(path, **options)
        assert type(caught.value) is kind
        assert caught.value.exit_code == 2
        text = str(caught.value)
        assert str(path) in text
        lines = text.splitlines()
        assert len(lines) <= 2
        assert all(len(line) < 400 for line in lines)
        for word in words:
            assert word in text
        return text

    return read


def test_edges_export(message):
    message(
        "LABEL,TRACK_ID,SPOT_SOURCE_ID,SPOT_TARGET_ID,LINK_COST\nLabel,Track ID,From,To,Cost\n"
        ",,,,(cost)\nID1 → ID2,0,1,2,0.3\n",
        "edges export",
        "SPOT_SOURCE_ID",
        'Export "Spots" instead',
        kind=NotTracksError,
    )


def test_tracks_export(message):
    message(
        "Label,NUMBER_SPOTS,NUMBER_GAPS,TRACK_DURATION,TRACK_INDEX,TRACK_ID\nTrack_0,12,0,11,0,0\n",
        "tracks export",
        "NUMBER_SPOTS",
        "Spots tab",
        kind=NotTracksError,
    )


def test_branch_hierarchy(message):
    message(
        "LABEL,TRACK_ID,N_PREDECESSORS,N_SUCCESSORS,DELTA_T\nLabel,Track ID,P,S,dT\nID1,0,0,1,3\n",
        "branch hierarchy",
        "N_PREDECESSORS",
        kind=NotTracksError,
    )


def test_thunderstorm(message):
    message(
        '"id","frame","x [nm]","y [nm]","sigma [nm]"\n1,1,10.5,20,100\n2,1,100,200,99\n3,2,1,2,3\n',
        "3 localisations and no track column",
        "x [nm]",
        "Link them first",
        "columns={'particle': 'NAME'",
        kind=NotTracksError,
    )


def test_picasso(message):
    message(
        "frame,x,y,photons,sx,sy,bg,lpx,lpy\n" + "0,10.5,20,100,4,1,1,1,1\n" * 1234,
        "1,234 localisations and no track column",
        "photons",
        kind=NotTracksError,
    )


def test_generic_localisations(message):
    message("x,y,frame\n1,2,0\n3,4,0\n1,2,1\n", "3 localisations", "Link", kind=NotTracksError)


def test_label_is_a_class(message):
    message(
        "label,frame,x,y\n1,0,1,2\n1,1,3,4\n",
        '"label" is usually a class',
        "columns={'particle': ",
        kind=NotTracksError,
    )


def test_lost_ids(message):
    rows = "".join(f"0,{i // 2},{i},1\n" for i in range(20))
    message(
        NAMES + rows, "same track number", "20 rows in 10 frames", "columns={'particle': 'NAME'"
    )


def test_own_verdicts(message):
    message(
        "file,particle,segment,n_points,status,class,probability,p_SubFBM,p_BM\na,0,0,9,x,BM,1,0,1\n",
        "own table of verdicts",
        kind=NotTracksError,
    )


def test_own_reasons(message):
    message(
        "file,particle,segment,frame,score\na,0,0,1,0.5\n",
        "own table of reasons",
        kind=NotTracksError,
    )


def test_log_called_xml(message):
    message(
        "TrackMate v7 started on:\nMon, 1 Jan\nDetector: LoG, threshold 5.0\n{RADIUS=2.5, A=1}\n",
        "a log?",
        "TrackMate v7 started on:",
        "Export tracks to XML file",
        name="tracks.xml",
        kind=NotTracksError,
    )


def test_web_page(message):
    message("<!DOCTYPE html>\n<html></html>", "web page", "Download", kind=NotTracksError)


def test_other_xml(message):
    message("<?xml version='1.0'?><kml><a/></kml>", "<kml>", "TrackMate", kind=NotTracksError)


def test_excel(message):
    message(
        b"PK\x03\x04...[Content_Types].xml", "Excel", "save the sheet as CSV", kind=NotTracksError
    )


def test_no_header(message):
    message(ROWS, "no header row", "0, 0, 1.5, 2", "columns={'particle': '1', 'frame': '2', ")


def test_no_header_and_columns_by_name(message):
    message(ROWS, "no header row", "numbers counted from 1", columns={"particle": "id"})


def test_no_header_and_columns_incomplete(message):
    message(ROWS, "columns= lacks x, y", columns={"particle": "1", "frame": "2"})


def test_text_in_a_number_column(message):
    message(NAMES + ROWS + "1,2,abc,5\n1,3,1,2\n", "line 6", '"abc"', 'column "x"', "number")


def test_text_in_the_last_line(message):
    message(NAMES + ROWS + "1,2,3,abc\n", "line 6", '"abc"', 'column "y"')


@pytest.mark.parametrize("tail", ["1,2,5.", "1,2\n", "1", "1,2,5.,-", "1,2,5.,", "1,2,3,1e"])
def test_truncated(message, tail):
    message(NAMES + ROWS + tail, "is truncated", "last line", "Export or copy it again")


def test_malformed_row(message):
    message(NAMES + ROWS + "1,2\n" + ROWS, "line 6 has 2 fields, where 4 were expected")


def test_row_with_too_much(message):
    message(NAMES + ROWS + "1,2,3,4,5\n" + ROWS, "line 6 has 5 fields")


def test_open_quote(message):
    message(NAMES + ROWS + '1,2,"3,4\n' + ROWS, "line 6", "quote")


def test_joined_tables(message):
    message((NAMES + ROWS) * 2, "line 6 repeats the header", "separate files")


def test_no_rows(message):
    message(NAMES, "header and no rows")


@pytest.mark.parametrize("content", [b"", b"\n \r\n", gzip.compress(b"", mtime=0)])
def test_empty(message, content):
    message(content, "is empty", "Export it again")


def test_no_tracks(message):
    message(NAMES + ",0,1,2\n,1,2,3\n", "2 localisations and no tracks", 'column "particle"')


def test_no_track_assigned(message):
    message(
        "trajectory,frame,y,x\n-1,0,1,2\n-1,1,2,3\n", "no tracks", 'every "trajectory" is negative'
    )


def test_no_positions(message):
    message(NAMES + "0,0,nan,nan\n0,1,nan,inf\n", "no track is left", "2 rows without a finite")


def test_binary(message):
    message(bytes(range(256)) * 20, "neither text nor", "as CSV")


def test_wrong_encoding(message):
    message(b"particle,frame,x,y\n" + b"\x81\x92\xfe" * 400, "neither text nor", "UTF-8")


def test_damaged_gzip(message):
    message(gzip.compress((NAMES + ROWS).encode(), mtime=0)[:-9], "damaged or truncated gzip")


def test_missing_y(message):
    message("particle,frame,x\n0,0,1\n", "no column for y", "columns={'y': 'NAME'")


def test_missing_frame(message):
    message(
        "particle,x,y\n0,0,1\n0,1,2\n",
        "no column for the frame",
        "columns={'frame': 'NAME'}",
        "columns={'t': 'NAME'",
    )


def test_no_positions_at_all(message):
    message(
        "particle,frame,speed\n0,0,1\n0,1,2\n",
        "table without positions",
        "speed",
        kind=NotTracksError,
    )


def test_frames_that_are_times(message):
    message(NAMES + "0,0.5,1,2\n0,1.0,1,2\n", '"frame" holds 0.5', "columns={'t': 'frame'}")


def test_frames_beyond_reason(message):
    message(NAMES + "0,1e30,1,2\n0,1,1,2\n", "1e+30", "can't be a frame number")


def test_times_without_a_grid(message):
    message("t,x,y,id\n0.0,1,2,0\n0.1,1,2,0\n0.33,1,2,0\n0.47,1,2,0\n", "not multiples", '"t"')


def test_unknown_column(message):
    message(
        NAMES + ROWS,
        'no column "partcle"',
        "Its columns: particle, frame, x, y",
        "Did you mean",
        columns={"particle": "partcle"},
    )


def test_unknown_role(message, tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(NAMES + ROWS)
    with pytest.raises(SptError, match=r'"spot", which is no role: expected one of particle'):
        read_tracks(path, columns={"spot": "particle"})


def test_units_that_do_not_fit(message):
    message("track,frame,x [nm],y [px]\n0,0,1,2\n0,1,1,2\n", "different units", "nm and px")


def test_names_from_the_file_are_shown_safely(message):
    text = message(
        "particle\x1b\x1b,fr\u2028ame" + "x" * 900 + ",x\n0,0,1\n" * 50, "no column for y"
    )
    assert text.replace("\n", "").isprintable()


def test_not_there(tmp_path):
    with pytest.raises(SptError, match="was not found"):
        read_tracks(tmp_path / "nothing.csv")


def test_a_folder(tmp_path):
    with pytest.raises(SptError, match="is a folder"):
        read_tracks(tmp_path)
