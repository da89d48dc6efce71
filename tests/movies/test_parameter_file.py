import math
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.movies.parameter_file import override, read_parameters, write_parameters
from spt_explain.movies.settings import TrackingSettings

positive = st.floats(min_value=1e-12, max_value=1e15)
any_settings = st.builds(
    TrackingSettings,
    channel=st.none() | st.integers(1, 50),
    z=st.sampled_from(["max", "mean"]) | st.integers(1, 500),
    diameter=st.none() | st.integers(1, 40).map(lambda n: 2 * n + 1),
    minmass=st.none() | positive,
    search_range=st.none() | positive,
    memory=st.none() | st.integers(0, 100),
    dark=st.none() | st.booleans(),
    peak=st.none() | positive,
    lone_mass=st.none() | positive,
    adaptive=st.none() | st.booleans(),
    drift=st.booleans(),
)
SETTLED = TrackingSettings(
    channel=2, z=3, diameter=7, minmass=1234.5, search_range=4.2, memory=1, dark=False,
    peak=18.5, lone_mass=50.5, adaptive=True, drift=True,
)  # fmt: skip


def read(tmp_path, text):
    path = tmp_path / "p.tracking.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_parameters(path)


def refused(tmp_path, text):
    with pytest.raises(SptError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert "p.tracking.toml" in message
    return message


def said_of(path):
    """Return what is said against a file, "" where it can be read."""
    try:
        read_parameters(path)
    except SptError as error:
        return str(error)
    return ""


@given(any_settings)
def test_round_trip_is_exact(tmp_path_factory, settings):
    path = tmp_path_factory.mktemp("p") / "x.toml"
    path.write_text(write_parameters(settings), "utf-8")
    assert read_parameters(path) == settings


@given(st.text(), st.text())
def test_reasons_and_remarks_of_any_text_are_comments(reason, remark):
    reasons = dict.fromkeys(TrackingSettings.model_fields, reason)
    text = write_parameters(SETTLED, reasons, remarks=[remark])
    found = tomllib.loads(text.encode().decode())
    assert found["spots"] == {
        "diameter": 7,
        "minmass": 1234.5,
        "lone_mass": 50.5,
        "dark": False,
        "peak": 18.5,
    }
    assert found["drift"] == {"correct": True}


def test_each_value_stands_beside_its_reason():
    text = write_parameters(SETTLED, {"diameter": "the 40 clearest spots"}, remarks=["hello"])
    assert text.startswith("# hello\n")
    (line,) = [line for line in text.splitlines() if line.startswith("diameter")]
    assert line.startswith("diameter = 7  # px")
    assert line.endswith("the 40 clearest spots")


def test_numpy_values_are_plain_numbers(tmp_path):
    import numpy as np

    settings = TrackingSettings(
        diameter=np.int64(9), minmass=np.float64(0.1), dark=np.True_, search_range=np.float32(1.5)
    )
    found = read(tmp_path, write_parameters(settings))
    assert (found.diameter, found.minmass, found.dark, found.search_range) == (9, 0.1, True, 1.5)


def test_what_is_left_out_or_auto_is_found_from_the_movie(tmp_path):
    assert read(tmp_path, "") == TrackingSettings()
    text = '[spots]\ndiameter = "auto"\nminmass = 100\n[links]\nmemory = "auto"\n'
    found = read(tmp_path, text)
    assert found == TrackingSettings(minmass=100.0)
    assert isinstance(found.minmass, float)


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b""])
def test_windows_files(tmp_path, start):
    text = start + b"[spots]\r\ndiameter = 9\r\n\r\n"
    assert read(tmp_path, text).diameter == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[spots]\ndiamter = 7\n", "Did you mean diameter?"),
        ("[spot]\ndiameter = 7\n", "Did you mean [spots]?"),
        ("[links]\ndiameter = 7\n", "Did you mean diameter in [spots]?"),
        ("diameter = 7\n", "Did you mean diameter in [spots]?"),
        ("drift = true\n", "Did you mean correct in [drift]?"),
        ("[drift]\ndrift = true\n", "Did you mean correct in [drift]?"),
        ("[spots]\nqqqq = 7\n", "[spots] has diameter, minmass, lone_mass, dark and peak."),
        ("[zebra]\n", "expected [stack], [spots], [links] and [drift]"),
        (
            "[spots]\ndiameter = 7.0\n",
            'an odd whole number of pixels, 3 or more, or "auto" to have it found from the movie.',
        ),
        ("[spots]\ndiameter = true\n", "diameter = true in [spots]"),
        ("[spots]\ndiameter = 6\n", "odd"),
        ("[spots]\ndiameter = [7]\n", "an odd whole number"),
        ("[spots]\nminmass = '5'\n", 'minmass = "5"'),
        ("[spots]\nminmass = nan\n", "a number, 0 or more (grey values)"),
        ("[spots]\nminmass = -3\n", "a number, 0 or more"),
        ("[spots]\npeak = -1.0\n", "0 or more"),
        ("[spots]\ndark = 1\n", "true or false"),
        ("[links]\nsearch_range = inf\n", "a number, above 0 (px)"),
        ("[links]\nsearch_range = 0\n", "above 0"),
        ("[links]\nmemory = 1.5\n", "a whole number of frames"),
        ("[links]\nmemory = -1\n", "0 or more"),
        ("[drift]\ncorrect = 'yes'\n", "true or false"),
        ("[stack]\nz = 'maximum'\n", "max, mean or a whole number"),
        ("[stack]\nz = 0\n", "a whole number, 1 or more"),
        ("[stack]\nchannel = 0\n", "a whole number, 1 or more"),
        ("[spots]\ndiameter = 7 px\n", "can't be read as a parameter file"),
        ("[spots]\ndiameter = 7\ndiameter = 9\n", "can't be read as a parameter file"),
        (f"[spots]\nminmass = 1{'0' * 400}\n", "a number, 0 or more (grey values)"),
        (f"[spots]\nminmass = 1{'0' * 5000}\n", "can't be read as a parameter file"),
        (f"x = {'[' * 20000}\n", "can't be read as a parameter file"),
        (b"\xff\xfe[\x00s\x00", "not text in UTF-8"),
        (b"II*\x00\x08\x00\x00\x00", "can't be read as a parameter file"),
        ('{"settings": {"diameter": 7}}', "can't be read as a parameter file"),
        (b"#" * 1_000_001, "too large"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, said):
    message = refused(tmp_path, text)
    assert said in message
    assert len(message) < 400


@given(st.binary(max_size=200))
def test_junk_is_refused_or_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("p") / "x.toml"
    path.write_bytes(data)
    assert "\n" not in said_of(path)


def test_cut_short_at_any_byte(tmp_path):
    whole = write_parameters(SETTLED, {"minmass": "5 deviations above noise – µm"}).encode()
    for end in range(len(whole)):
        path = tmp_path / "p.toml"
        path.write_bytes(whole[:end])
        assert "\n" not in said_of(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(SptError, match=r"was not found.*parameters="):
        read_parameters(tmp_path / "no.toml")
    with pytest.raises(SptError, match=r"can't be opened"):
        read_parameters(tmp_path)
    with pytest.raises(SptError, match=r"can't be opened"):
        read_parameters("a\0b")


def test_what_follows_from_a_replaced_value_is_found_again():
    assert override(SETTLED, minmass=10.0).peak is None
    assert override(SETTLED, diameter=None).peak is None
    assert override(SETTLED, dark=True, peak=3.0).peak == 3.0
    assert override(SETTLED, search_range=9.0).adaptive is None
    same = override(SETTLED, minmass=SETTLED.minmass, memory=4)
    assert (same.peak, same.adaptive, same.memory) == (18.5, True, 4)
    assert not math.isnan(same.minmass)
