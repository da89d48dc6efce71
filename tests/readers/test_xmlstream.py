import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.readers.inputs import Input
from spt_explain.readers.xmlstream import number, root_of, walk, whole


class Names:
    tags: tuple[str, ...] = ("a", "b", "root")

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], str | None]] = []
        self.most = 0

    def take(self, element) -> None:
        self.seen.append((element.tag, dict(element.attrib), element.text))
        parent = element.getparent()
        self.most = max(self.most, len(parent) if parent is not None else 0)

    def progress(self) -> str:
        return f"{len(self.seen)} things"


def test_elements_come_in_order_and_are_forgotten():
    body = b"<x>skipped</x><a n='1'>text</a><b/>" * 10_000
    found = walk(Input("-", None, b"<root", _data=b"<root v='2'>" + body + b"</root>"), Names)
    assert found.seen[:2] == [("a", {"n": "1"}, "text"), ("b", {}, None)]
    assert found.seen[-1][:2] == ("root", {"v": "2"})
    assert len(found.seen) == 20_001
    assert found.most < 6_000  # of 30,000: what libxml2 reads at once


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"<root>", "root"),
        (b"<root", None),
        (b"<root/>", "root"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>\r\n<!-- <no> --><root a='1'", "root"),
        (b"<!DOCTYPE svg PUBLIC 'x' [<!ENTITY a '>'>]>\n<svg ", "svg"),
        (b"<!DOCTYPE html><html>", "html"),
        (b"<!-- never ends <root>", None),
        (b"<?pi <root>", None),
        (b"<!DOCTYPE [ <root>", None),
        (b"text <root>", None),
        ("\ufeff<?xml version='1.0'?><root>".encode("utf-16-le"), "root"),
        ("\ufeff<root>".encode("utf-16-be"), "root"),
        (b"<ns:root>", "ns:root"),
        (b"", None),
    ],
)
def test_root(head, name):
    found = root_of(head)
    assert (found and found[0]) == name


@given(st.lists(st.sampled_from([b"<", b"?>", b"<?", b"<!--", b"-->", b"<!DOCTYPE", b"]", b"["])))
def test_root_of_junk_ends(pieces):
    assert root_of(b"".join(pieces)) is None


@pytest.mark.parametrize(
    ("text", "value"), [("12", 12), ("12.0", 12), (" -3 ", -3), ("1e3", 1000), ("0", 0)]
)
def test_whole(text, value):
    assert whole(text) == value


@pytest.mark.parametrize("text", [None, "", "1.5", "nan", "inf", "1e30", "9" * 30, "9" * 6000, "a"])
def test_not_whole(text):
    with pytest.raises(ValueError, match=r".+"):
        whole(text)


@given(st.integers(1 - 2**62, 2**62 - 1))
def test_whole_numbers_keep_all_their_digits(value):
    assert whole(str(value)) == value


def test_number():
    assert number("1.5") == 1.5
    assert number(None) is None
    assert number("") is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_entities_are_refused(encoding):
    text = '<!DOCTYPE root [<!ENTITY a "1"><!ENTITY b "&a;&a;">]><root v="&b;"/>'
    data = text.encode(encoding)
    with pytest.raises(SptError, match="document type definition"):
        walk(Input("-", None, data, _data=data), Names)


def test_a_document_type_within_the_text_is_none():
    data = b"<root><!-- <!DOCTYPE --><a>&#60;!DOCTYPE</a></root>"
    assert walk(Input("-", None, data, _data=data), Names).seen[0][2] == "<!DOCTYPE"
