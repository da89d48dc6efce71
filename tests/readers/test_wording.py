import pytest

from spt_explain.readers.wording import quoted, some


def test_numbers_agree_with_their_things():
    assert some(0, "track") == "0 tracks"
    assert some(1, "track") == "1 track"
    assert some(2300, "track") == "2,300 tracks"


@pytest.mark.parametrize("text", ["a\nb", "a\tb", "a\x1b\x0bb", "a\u2028 \r\n b"])
def test_quotes_are_one_printable_line(text):
    assert quoted(text) == '"a b"'


def test_long_text_is_cut():
    assert quoted("x" * 100, 5) == '"xxxxx…"'
