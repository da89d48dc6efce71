import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.readers.arrays import Numbers, Words
from spt_explain.readers.dialects import Column
from spt_explain.readers.inputs import Input
from spt_explain.readers.load import load
from spt_explain.readers.text import layout_of

COLUMNS = {name: Column(i, name) for i, name in enumerate(["particle", "frame", "x", "y"])}
HEADER = "particle,frame,x,y\n"


def read(path, content, *, carefully=False):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = Input.of(path)
    return load(source, layout_of(source), COLUMNS, carefully=carefully)


def as_lists(loaded):
    """Return columns as plain lists, with None for what is missing."""
    lists = {}
    for role, column in loaded.items():
        if isinstance(column, Words):
            lists[role] = [None if c < 0 else column.words[c] for c in column.codes]
        else:
            assert isinstance(column, Numbers)
            gone = np.isnan(column.array.astype(float))
            if column.missing is not None:
                gone |= column.missing
            lists[role] = [None if g else float(v) for v, g in zip(column.array, gone, strict=True)]
    return lists


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("load") / "table.csv"


BOTH = pytest.mark.parametrize("carefully", [False, True], ids=["fast", "carefully"])

words = st.one_of(
    st.integers(-(2**40), 2**40).map(str),
    st.integers(0, 99).map(lambda i: f"{i}.0"),
    st.sampled_from(["cell A", "Track_1", "ø", "", "None", "nan", "µ"]),
)
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**9), 10**9).map(str),
    st.sampled_from(["NaN", "", "Infinity", "-inf", "1e400", " 3.5 "]),
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(words, st.integers(-5, 10**6).map(str), numbers, numbers), min_size=2, max_size=20
    ),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_pyarrow_and_the_careful_way_read_the_same(scratch, rows, newline):
    rows = [("0", "0", "1.5", "2.5"), *rows, ("0", "1", "1.5", "2.5")]
    text = newline.join(["particle,frame,x,y", *(",".join(row) for row in rows)]) + newline
    assert as_lists(read(scratch, text)) == as_lists(read(scratch, text, carefully=True))


@BOTH
def test_values(tmp_path, carefully):
    loaded = as_lists(
        read(tmp_path / "f", HEADER + "7,0,1.5,2\n8,1,,-1e3\n,2,3,4\n\n", carefully=carefully)
    )
    assert loaded == {
        "particle": [7, 8, None],
        "frame": [0, 1, 2],
        "x": [1.5, None, 3],
        "y": [2, -1000, 4],
    }


@BOTH
def test_a_wider_type_late_in_the_file(tmp_path, carefully):
    text = HEADER + "1,0,1,2\n" * 300 + "2.0,1.0,1,2\n"
    loaded = as_lists(read(tmp_path / "f", text, carefully=carefully))
    assert loaded["particle"][-1] == 2
    assert loaded["frame"][-1] == 1


@BOTH
def test_text_ids_late_in_the_file(tmp_path, carefully):
    text = HEADER + "1,0,1,2\n" * 300 + "cell,1,1,2\n"
    loaded = as_lists(read(tmp_path / "f", text, carefully=carefully))
    assert loaded["particle"][0] == "1"
    assert loaded["particle"][-1] == "cell"


@BOTH
def test_ids_too_large_for_a_number_stay_apart(tmp_path, carefully):
    text = HEADER + "12345678901234567890,0,1,2\n12345678901234567891,0,1,2\n"
    loaded = as_lists(read(tmp_path / "f", text, carefully=carefully))
    assert loaded["particle"] == ["12345678901234567890", "12345678901234567891"]


@BOTH
def test_missing_sign_of_the_headless_exporter_in_cp1252_after_the_first_look(tmp_path, carefully):
    text = HEADER + "1,0,1,2\n" * 20_000 + "ø,1,1,2\n"
    loaded = as_lists(read(tmp_path / "f", text.encode("cp1252"), carefully=carefully))
    assert loaded["particle"][-2:] == [1, None]


@BOTH
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_other_encodings(tmp_path, encoding, carefully):
    text = HEADER + "7,0,1.5,2\n8,1,1,2\n"
    loaded = as_lists(read(tmp_path / "f", text.encode(encoding), carefully=carefully))
    assert loaded["x"] == [1.5, 1]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_malformed_row_is_named_by_its_line(tmp_path, newline):
    text = "\n# note\n" + HEADER + "0,0,1,2\n" * 5 + "\n0,1,2\n" + "0,2,1,2\n" * 5
    with pytest.raises(SptError, match="line 10 has 3 fields, where 4 were expected"):
        read(tmp_path / "f", text.replace("\n", newline))


def test_text_among_numbers_is_named_by_line_and_column(tmp_path):
    text = HEADER + "0,0,1,2\n" * 50_000 + "0,1,1.2.3,2\n" + "0,2,1,2\n"
    with pytest.raises(SptError, match=r'line 50002 has "1\.2\.3" in the column "x"'):
        read(tmp_path / "f", text)


def test_gzip_cut_after_the_first_look(tmp_path):
    rows = "".join(f"{i},{i * 7 % 1000},{i * 0.37},{i * 0.11}\n" for i in range(20_000))
    packed = gzip.compress((HEADER + rows).encode(), mtime=0)
    with pytest.raises(SptError, match="damaged or truncated gzip"):
        read(tmp_path / "f", packed[: len(packed) * 2 // 3])


def test_extra_separators_at_the_end_of_some_rows(tmp_path):
    loaded = as_lists(read(tmp_path / "f", HEADER + "0,0,1,2\n0,1,3,4,,\n0,2,5,6\n"))
    assert loaded["y"] == [2, 4, 6]
