import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.resandi.manifest import (
    FORMAT,
    MAX_JSON_BYTES,
    Manifest,
    dump_json,
    is_file_name,
    is_name,
    parse_json,
    read_limited,
)

GOOD = {
    "format": FORMAT,
    "name": "mine",
    "card": {"file": "card.json", "sha256": "a" * 64},
    "files": {"b.safetensors": "b" * 64, "a.safetensors": "c" * 64},
}


def test_a_manifest_survives_writing_and_reading_in_order():
    manifest = Manifest.from_bytes(json.dumps(GOOD).encode(), "x")
    assert list(manifest.files) == ["b.safetensors", "a.safetensors"]
    assert Manifest.from_bytes(manifest.to_bytes(), "x") == manifest
    assert json.loads(manifest.to_bytes()) == GOOD


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "spt-explain weights 2"}, "Update spt-explain"),
        ({"format": "other"}, "does not list weights"),
        ({"format": 1}, "does not list weights"),
        ({"format": None, "weights": {}}, "NAME.json"),
        ({"name": "../x"}, "no usable name"),
        ({"name": 3}, "no usable name"),
        ({"card": {"file": "../card.json", "sha256": "a" * 64}}, "SHA-256 of card.json"),
        ({"card": {"file": "card.json", "sha256": "A" * 64}}, "SHA-256 of card.json"),
        ({"card": "card.json"}, "SHA-256 of card.json"),
        ({"files": {}}, "lists no files"),
        ({"files": ["a.safetensors"]}, "lists no files"),
        ({"files": {"a.safetensors": "short"}}, "SHA-256 of a.safetensors"),
        ({"files": {"a.safetensors": None}}, "SHA-256 of a.safetensors"),
        ({"files": {"a.pt": "a" * 64}}, "bare .safetensors names"),
        ({"files": {"../a.safetensors": "a" * 64}}, "bare .safetensors names"),
        ({"files": {"/a.safetensors": "a" * 64}}, "bare .safetensors names"),
        ({"files": {"a\\b.safetensors": "a" * 64}}, "bare .safetensors names"),
        ({"files": {"C:a.safetensors": "a" * 64}}, "bare .safetensors names"),
        ({"files": {"nul.safetensors": "a" * 64}}, "bare .safetensors names"),
        ({"files": {"a.safetensors": "a" * 64, "A.safetensors": "a" * 64}}, "upper and lower"),
    ],
)
def test_what_is_no_manifest_is_refused(change, said):
    with pytest.raises(SptError, match=said):
        Manifest.from_bytes(json.dumps(GOOD | change).encode(), "x")


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace")))
def test_junk_is_one_line(data):
    with pytest.raises(SptError):
        Manifest.from_bytes(data, "x")


@given(st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.text()))
def test_any_json_is_one_line(value):
    with pytest.raises(SptError):
        Manifest.from_bytes(json.dumps(value).encode(), "x")
    with pytest.raises(SptError):
        Manifest.from_bytes(json.dumps({**GOOD, "files": value}).encode(), "x")


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "[" * 100_000, "\udc80", "9" * 5000, ""])
def test_what_is_no_json_is_one_line(text):
    with pytest.raises(SptError, match="not readable as JSON"):
        parse_json(text.encode("utf-8", "surrogatepass"), "x")


def test_a_byte_order_mark_does_no_harm():
    assert parse_json(b"\xef\xbb\xbf{}", "x") == {}


def test_numbers_too_large_for_json_are_not_written_again():
    with pytest.raises(SptError, match="can't be written"):
        dump_json(parse_json(b"[1e999]", "x"), "x")


def test_a_card_of_any_size_is_not_read_into_memory(tmp_path):
    path = tmp_path / "card.json"
    path.write_bytes(b" " * MAX_JSON_BYTES)
    assert len(read_limited(path)) == MAX_JSON_BYTES
    path.write_bytes(b" " * (MAX_JSON_BYTES + 1))
    with pytest.raises(SptError, match="4 MiB"):
        read_limited(path)


@given(st.text(max_size=12))
def test_names_never_lead_out_of_their_folder(name):
    from pathlib import PurePosixPath, PureWindowsPath

    if is_name(name) or is_file_name(name):
        for kind in (PurePosixPath, PureWindowsPath):
            assert (kind("/base") / name).parent == kind("/base")
            assert name not in (".", "..")
