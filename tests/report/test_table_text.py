import io
import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.report.table_text import csv_pieces, json_pieces, rounded

EDGES = [
    np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.0, 1e-300, 5e-324, 1e22, 1e23, 1.7e308, 123456.75,
    1234567.5, 12345675.0, 0.1, 1e-5, 1e-17, 9999999.5, 0.99999995, 999999.99999999, 2.0000005,
    1e7, 1e-7, 0.15, 3.14159265358979,
]  # fmt: skip
TEXT = [
    "BM", None, "a,b.csv", 'say "so"', "two\nlines", "µ-Σ", "", " spaces ", "-", "'", '"',
]  # fmt: skip


def written(table, digits=7, rows=3, jobs=2):
    return b"".join(csv_pieces(table, digits, rows=rows, jobs=jobs))


def as_pandas(table, digits=7):
    return table.to_csv(index=False, float_format=f"%.{digits}g", lineterminator="\n")


def same_when_read(table, digits=7):
    def read(text):
        return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])

    old, new = as_pandas(table, digits), written(table, digits).decode()
    pd.testing.assert_frame_equal(read(new), read(old), rtol=1e-12, atol=0, check_dtype=False)


@pytest.mark.parametrize("digits", [5, 7])
def test_each_number_is_the_decimal_that_format_gives(digits):
    values = np.array([*EDGES, *np.negative(EDGES)])
    expected = [float(f"{v:.{digits}g}") for v in values]
    np.testing.assert_array_equal(rounded(values, digits), expected)
    found = rounded(values, digits)
    assert np.signbit(found[~np.isnan(found)]).tolist() == [
        np.signbit(v) for v in expected if not np.isnan(v)
    ]


@given(st.lists(st.floats(), min_size=1), st.integers(1, 15))
def test_any_number_is_the_decimal_that_format_gives(values, digits):
    expected = [float(f"{v:.{digits}g}") for v in values]
    np.testing.assert_array_equal(rounded(np.array(values), digits), expected)


def test_halves_are_rounded_as_format_does():
    """The product with a power of ten may fall on the half that the number only comes near."""
    rng = np.random.default_rng(0)
    whole = rng.integers(10**6, 10**7, 20_000)
    values = (whole + 0.5) / 10.0 ** rng.integers(0, 15, 20_000)
    values = np.concatenate([values, np.nextafter(values, 0), np.nextafter(values, np.inf)])
    np.testing.assert_array_equal(rounded(values, 7), [float(f"{v:.7g}") for v in values])


def test_every_kind_of_column_reads_back_as_what_pandas_writes():
    n = len(EDGES)
    text = [TEXT[i % len(TEXT)] for i in range(n)]
    same_when_read(
        pd.DataFrame(
            {
                "x, y": EDGES,
                'the "best"': text,
                "object": pd.Series(text, dtype=object),
                "whole": np.arange(n) - 3,
                "large": np.full(n, np.iinfo(np.int64).max),
                "maybe": pd.array([None, *range(n - 1)], dtype="Int64"),
                "flag": np.arange(n) % 2 == 0,
                "perhaps": pd.array([None, *([True] * (n - 1))], dtype="boolean"),
                "single": np.linspace(-1, 1e9, n, dtype=np.float32),
                "kind": pd.Categorical(["a,b" if i % 2 else None for i in range(n)]),
                "mixed": pd.Series([1, "a", None, True, 2.5, *["b"] * (n - 5)], dtype=object),
                "nothing": [None] * n,
            }
        )
    )


@given(
    st.lists(
        st.tuples(
            st.none()
            | st.text(
                st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1, max_size=9
            ),
            st.floats(),
            st.integers(-(2**63), 2**63 - 1),
            st.booleans(),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_any_row_reads_back_as_what_pandas_writes(rows):
    table = pd.DataFrame(rows, columns=["a", "b", "c", "d"])
    table["a"] = table["a"].astype(object)
    old, new = as_pandas(table), written(table).decode()

    def fields(text):
        import csv

        return [
            [one if i != 1 or not one else float(one) for i, one in enumerate(row)]
            for row in list(csv.reader(io.StringIO(text, newline="")))[1:]
        ]

    assert repr(fields(new)) == repr(fields(old))


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": ["x", None, "", "y,z"]}),
        pd.DataFrame({"a": [1.0, np.nan]}),
        pd.DataFrame({"a": np.zeros(0), "b": np.zeros(0, object)}),
        pd.DataFrame({"p": [0.25, 2.0], "q": ["a,b", 'c"d']}),
        pd.DataFrame({"p": [0.25, 2.0], 3: ["a", "b"]}),
    ],
)
def test_the_bytes_are_those_of_pandas(table):
    assert written(table).decode() == as_pandas(table)


def test_a_carriage_return_stands_in_quotes():
    table = pd.DataFrame({"a": ["x\ry", "z"], "b": [1, 2]})
    assert written(table) == b'a,b\n"x\ry",1\nz,2\n'


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_pieces_and_threads_do_not_change_the_text(rows, jobs):
    table = pd.DataFrame({"a": np.arange(10) / 7, "b": [TEXT[i] for i in range(10)]})
    assert written(table, rows=rows, jobs=jobs) == written(table, rows=7, jobs=2)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_json_in_pieces_is_the_whole_document(n, monkeypatch):
    monkeypatch.setattr("spt_explain.report.table_text.PIECE_ROWS", 2)
    table = pd.DataFrame(
        {"a": np.arange(n) / 7, "b": [['},\n   {"', None, "µ"][i % 3] for i in range(n)]}
    )
    provenance = {"version": "1", "inputs": [{"name": "é"}]}
    rows = json.loads(table.to_json(orient="records", double_precision=15, force_ascii=False))
    document = {"provenance": provenance, "verdicts": rows}
    expected = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    assert b"".join(json_pieces(table, provenance)).decode() == expected


def test_the_memory_does_not_grow_with_the_table():
    def peak(n):
        table = pd.DataFrame({f"p{i}": np.linspace(0, 1, n) for i in range(8)})
        for _ in csv_pieces(table.iloc[:10], 7):
            pass
        tracemalloc.start()
        for _ in csv_pieces(table, 7, rows=1000, jobs=2):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(100_000) < 2 * peak(10_000)
