import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tracks µ 粒子.csv", "tracks µ 粒子.csv"),
        (b"caf\xe9/\xc3\xa9.csv".decode("utf-8", "surrogateescape"), r"caf\xe9/é.csv"),
        ("half\ud83d.csv", r"half\ud83d.csv"),  # a name on Windows
        ("", ""),
    ],
)
def test_what_is_no_unicode_is_spelled_out(text, shown):
    assert printable(text) == shown
    assert str(SptError(text)) == shown


@given(st.binary())
def test_any_name_can_be_written(name):
    printable(name.decode("utf-8", "surrogateescape")).encode("utf-8")
