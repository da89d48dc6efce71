import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.movie_simulation import parse_settings, simulate_movies
from spt_explain.resandi.backends import devices
from spt_explain.xddpm.simulate import read_labelled, simulate

SMALL = {"movies": 3, "frames": 3, "size": 16, "seed": 1}


def test_movies_are_written_and_told_of(tmp_path):
    result = simulate_movies("spots", **SMALL, output=tmp_path / "m", settings={"noise": 0.1})
    assert result.finished
    assert result.folder == tmp_path / "m"
    found = read_labelled(result.folder)
    made = simulate("spots", 3, frames=3, size=16, seed=1, settings={"noise": 0.1})
    np.testing.assert_array_equal(found.clips, made.clips)
    told = result.report["signals"]
    assert told.keys() == {"intensity", "count", "msd-d"}
    assert told["intensity"]["rows"] == 9
    assert told["intensity"]["mean"] == pytest.approx(made.signals["intensity"].mean())
    assert told["count"]["max"] == made.signals["count"].max()
    settings = json.loads((result.folder / "settings.json").read_text(encoding="utf-8"))
    assert settings["program"] == "spt-explain"
    assert settings["settings"]["noise"] == 0.1
    assert settings["columns"].keys() == told.keys()


def test_a_recipe_says_all_and_options_go_before_it(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '\ufeffkind = "two-cells"\nmovies = 2\nframes = 4\nsize = 24\nseed = 9\n'
        '[settings]\nnoise = 0.0\ndim = [0.3, 0.4]\nsignal_from = "bright"\n',
        encoding="utf-8",
    )
    report = simulate_movies("two-cells", recipe=recipe, output=tmp_path / "a").report
    assert (report["movies"], report["frames"], report["size"], report["seed"]) == (2, 4, 24, 9)
    assert report["settings"]["dim"] == [0.3, 0.4]
    report = simulate_movies(
        "two-cells", recipe=recipe, movies=1, seed=0, settings={"dim": 0.5}, output=tmp_path / "b"
    ).report
    assert (report["movies"], report["seed"], report["settings"]["dim"]) == (1, 0, [0.5, 0.5])
    assert report["settings"]["signal_from"] == "bright"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("movies = ", "can't be read as a recipe"),
        ("film = 3", "there is no 'film'"),
        ('kind = "wetting"', "is for 'wetting', not for tension"),
        ("kind = 3", "is for 3"),
        ("settings = 3", "settings is no table"),
        ('movies = "many"', "movies is 'many': expected a whole number, 1 to"),
        ("movies = true", "movies is True: expected a whole number, 1 to"),
        ("size = 32.5", "size is 32.5: expected a whole number of pixels, 16 to 1,024"),
        ("seed = 1.5", "seed is 1.5: expected a whole number, 0 or more"),
        ("seed = -1", "seed is -1: expected a whole number, 0 or more"),
        ("[settings]\nradius = 3", "radius"),
        ("[settings]\nradius = [0.1, nan]", "radius"),
        ("[settings.radius]\na = 1", "radius"),
        ("[settings]\ncircumference = [1]", "pixels or length"),
        ("\x00", "can't be read"),
    ],
)
def test_a_recipe_that_can_not_be_used_is_said(tmp_path, text, words):
    recipe = tmp_path / "r.toml"
    recipe.write_text(text)
    with pytest.raises(SptError) as caught:
        simulate_movies("tension", recipe=recipe, output=tmp_path / "m")
    assert words in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["r.toml"]


def test_a_recipe_that_is_not_there(tmp_path):
    for path in (tmp_path / "no.toml", tmp_path):
        with pytest.raises(SptError, match=r"TOML"):
            simulate_movies("tension", recipe=path)
    (tmp_path / "latin").write_bytes("size = 3 # \xe9".encode("latin-1"))
    with pytest.raises(SptError, match="can't be read"):
        simulate_movies("tension", recipe=tmp_path / "latin")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("radius=0.1..0.2", (0.1, 0.2)),
        ("radius=0.1-0.2", (0.1, 0.2)),
        ("radius = 0.1, 0.2", (0.1, 0.2)),
        ("radius=[0.1, 0.2]", (0.1, 0.2)),
        ("radius=1e-1..2e-1", (0.1, 0.2)),
        ("radius=.1", 0.1),
        ("radius=-3", -3),
        ("radius=-3..-1", (-3, -1)),
        ("radius=-3--1", (-3, -1)),
        ("radius=2", 2),
        ("radius=dim", "dim"),
        ("radius=nan", "nan"),
    ],
)
def test_settings_are_read_as_people_type_them(text, value):
    found = parse_settings([text])["radius"]
    assert found == value
    assert type(found) is type(value)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_any_two_numbers_are_read(low, high):
    assert parse_settings([f"a={low!r}..{high!r}"])["a"] == (low, high)
    assert parse_settings([f"a={low}-{high}"])["a"] == (low, high)


@pytest.mark.parametrize("text", ["radius", "=3", "radius=", "", " = "])
def test_settings_that_are_none_are_said(text):
    with pytest.raises(SptError, match="NAME=VALUE"):
        parse_settings([text])


def test_a_setting_may_have_a_hyphen_and_comes_once():
    assert parse_settings(["contact-angle-deg=60"]) == {"contact_angle_deg": 60}
    with pytest.raises(SptError, match="twice"):
        parse_settings(["signal-from=dim", "signal_from=bright"])


def test_time_and_device_are_checked(tmp_path, monkeypatch):
    for minutes in (0, -1, float("nan"), float("inf")):
        with pytest.raises(SptError, match="minutes="):
            simulate_movies("spots", **SMALL, minutes=minutes, output=tmp_path / "m")
    monkeypatch.setattr(devices, "why_not_torch_cuda", lambda: "built without CUDA")
    for device, said in (
        ("cuda", "built without CUDA. Leave it out"), ("mps", "expected one of cpu, cuda, auto")
    ):  # fmt: skip
        with pytest.raises(SptError, match=f"device='{device}': .*{said}"):
            simulate_movies("spots", **SMALL, device=device, output=tmp_path / "m")
    with pytest.raises(SptError, match="no new folder"):
        simulate_movies("spots", **SMALL, output="/")
    assert not list(tmp_path.iterdir())
