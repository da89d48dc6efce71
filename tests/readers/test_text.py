import codecs

import pytest

from spt_explain.errors import NotTracksError, SptError
from spt_explain.readers.inputs import Input
from spt_explain.readers.text import find_encoding, is_missing, is_number, layout_of

TABLE = "particle,frame,x,y\n0,0,1.5,2\n0,1,1,2\n"


def look(tmp_path, content):
    path = tmp_path / "f.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return layout_of(Input.of(path))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_encodings_are_told_from_bytes(tmp_path, encoding):
    layout = look(tmp_path, TABLE.encode(encoding))
    assert layout.names == ("particle", "frame", "x", "y")
    assert layout.sample == (("0", "0", "1.5", "2"), ("0", "1", "1", "2"))


def test_a_byte_that_is_no_utf8_means_cp1252():
    assert find_encoding("x (µm),y (µm)\n1,2\n3,4\n5,6\n".encode("cp1252")) == "cp1252"


def test_a_character_cut_at_the_end_is_still_utf8():
    assert find_encoding("position in µ".encode()[:-1]) == "utf-8"


@pytest.mark.parametrize(
    "junk",
    [bytes(range(256)) * 9, b"a,b\n\0\0\0\n" * 50, b"\x81\x92\xfe\x90" * 99, b"\x02\x03" * 9],
)
def test_what_is_no_text_has_no_encoding(junk):
    assert find_encoding(junk) is None


def test_byte_order_mark_wins():
    assert find_encoding(codecs.BOM_UTF16_LE + b"a\0") == "utf-16"


@pytest.mark.parametrize(
    ("separator", "delimiter"),
    [(",", ","), ("\t", "\t"), (";", ";"), ("|", "|"), (" ", " "), ("   ", None)],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path, separator, delimiter, newline):
    layout = look(tmp_path, TABLE.replace(",", separator).replace("\n", newline))
    assert layout.delimiter == delimiter
    assert layout.width == 4
    assert layout.sample[0] == ("0", "0", "1.5", "2")


def test_decimal_comma_with_semicolons(tmp_path):
    layout = look(tmp_path, "particle;frame;x;y\n0;0;1,5;2,25\n0;1;1;3\n")
    assert (layout.delimiter, layout.decimal) == (";", ",")


def test_decimal_comma_without_header(tmp_path):
    layout = look(tmp_path, "0;1,5;2,5;1,2\n1;1,5;2,5;1,2\n")
    assert (layout.delimiter, layout.decimal, layout.names) == (";", ",", ())


def test_decimal_point_beside_lists_with_commas(tmp_path):
    layout = look(tmp_path, "particle;frame;x;y;list\n0;0;1.5;2;1,2\n0;1;1;3;3,4\n")
    assert (layout.delimiter, layout.decimal) == (";", ".")


def test_comments_and_blank_lines_above(tmp_path):
    layout = look(tmp_path, "# by a program, v1\n# x, y\n\n" + TABLE)
    assert (layout.header_line, layout.skip) == (4, 4)
    assert layout.names[0] == "particle"


def test_preamble_of_other_width(tmp_path):
    text = "\nPosition\n==================== \nPosition X,Position Y,Unit\n1,2,um\n3,4,um\n"
    layout = look(tmp_path, text)
    assert (layout.names, layout.skip) == (("Position X", "Position Y", "Unit"), 4)


def test_preamble_padded_to_the_same_width(tmp_path):
    layout = look(tmp_path, "Position,,,\n===,,,\nparticle,frame,x,y\n0,0,1,2\n0,1,1,2\n")
    assert (layout.names[0], layout.skip) == ("particle", 3)


def test_header_in_a_comment_as_numpy_savetxt_writes(tmp_path):
    layout = look(tmp_path, "# particle frame x y\n0 0 1.5 2\n0 1 1.5 2\n")
    assert layout.names == ("particle", "frame", "x", "y")
    assert layout.header_line == 0


def test_no_header(tmp_path):
    layout = look(tmp_path, "0,0,1.5,2\n0,1,1,2\n")
    assert (layout.names, layout.skip, len(layout.sample)) == ((), 0, 2)


def test_row_names_without_a_name_as_r_writes(tmp_path):
    layout = look(tmp_path, '"particle","frame","x","y"\n"1",0,0,1,2\n"2",0,1,1,2\n')
    assert layout.names == ("", "particle", "frame", "x", "y")


def test_rows_that_end_in_a_separator(tmp_path):
    layout = look(tmp_path, "particle,frame,x,y\n0,0,1,2,\n0,1,1,2,\n")
    assert layout.names == ("particle", "frame", "x", "y", "")


def test_further_header_rows(tmp_path):
    layout = look(tmp_path, "ID,FRAME,X,Y\nId,Frame,X,Y\n,,(micron),(micron)\n1,0,1.5,2\n")
    assert layout.below == (("Id", "Frame", "X", "Y"), ("", "", "(micron)", "(micron)"))
    assert layout.skip == 3


def test_a_header_longer_than_the_first_look(tmp_path):
    names = [
        "particle",
        "frame",
        "x",
        "y",
        *(f"a_rather_long_feature_name_{i}" for i in range(5000)),
    ]
    row = ["0", "0", "1.5", "2.5", *("1.25" for _ in range(5000))]
    layout = look(tmp_path, ",".join(names) + "\n" + (",".join(row) + "\n") * 3)
    assert layout.width == 5004
    assert layout.names == tuple(names)


def test_prose_is_no_table(tmp_path):
    with pytest.raises(NotTracksError, match="not a table"):
        look(tmp_path, "Dear all,\nthe tracks, as promised, are below.\n\nBest\n")


def test_binary_is_no_text(tmp_path):
    with pytest.raises(SptError, match="neither text"):
        look(tmp_path, bytes(range(256)) * 20)


@pytest.mark.parametrize("field", ["1", "-1", "+1.5", "1e-5", ".5", "3.4e38", "NaN", "-Infinity"])
def test_numbers(field):
    assert is_number(field)


@pytest.mark.parametrize("field", ["", "1_0", "0x1", "1 2", "e5", "ID1", "1.2.3", "--1"])
def test_no_numbers(field):
    assert not is_number(field)


@pytest.mark.parametrize("field", ["", " ", "None", "ø", "NaN", "NA", "<NA>", "1.#QNAN"])
def test_missing_values(field):
    assert is_missing(field)
