import json
from pathlib import Path

import pandas as pd
import pytest

from spt_explain.diffusion.population import simulate
from spt_explain.diffusion.recording import Recording
from spt_explain.movies.render import Optics

SMALL = ["--tracks", "12", "--length", "12-25", "--seed", "3"]


def test_simulated_tracks_are_classified_without_any_option(run, tmp_path):
    table = tmp_path / "s.csv"
    done = run("simulate", "SubFBM:0.5,BM:0.5", *SMALL, "--noise", "0.2-0.5", "-o", table)
    assert done.code == 0
    assert "12: 6 SubFBM, 6 BM" in done.err
    assert "seed    3" in done.err
    assert "s.csv" in done.err
    assert not done.out
    done = run("classify", table, "--device", "cpu", "--json", "--quiet")
    assert done.code == 0
    report = json.loads(done.out)["files"][0]
    assert report["tracks"] == 12
    assert report["frame_interval_s"] == 0.02
    assert report["length_unit"] == "um"


def test_the_movie_is_classified_without_any_option(run, tmp_path):
    movie = tmp_path / "m.tif"
    done = run("simulate", "bm", *SMALL, "-o", tmp_path / "s.csv", "--movie", movie,
               "--photons", 2000)  # fmt: skip
    assert done.code == 0
    assert "frames of" in done.err
    done = run("classify", movie, "--device", "cpu", "--json", "--quiet")
    assert done.code == 0
    report = json.loads(done.out)["files"][0]
    assert report["tracks"] == 12
    assert report["frame_interval_s"] == pytest.approx(0.02)
    assert report["pixel_size_um"] == pytest.approx(0.1)


def test_every_option_reaches_the_library(run, tmp_path):
    table = tmp_path / "s.csv"
    options = {
        "tracks": 10, "length": "10-20", "alpha": "0.3-0.4", "noise": "0.2-0.4",
        "anisotropy": "1.5", "exposure": "0.5-1", "missing": "0.1", "immobile": 0.2,
        "diffusion_coefficient_um2_s": "0.5", "pixel_size_um": 0.2, "frame_interval_s": 0.05,
        "seed": 11,
    }  # fmt: skip
    words = [w for k, v in options.items() for w in ("--" + k.replace("_", "-"), str(v))]
    done = run("simulate", "SubFBM,BM", *words, "--fill-missing", "-o", table, "--json")
    assert done.code == 0
    expected = simulate("SubFBM,BM", fill_missing=True, **options).table
    found = pd.read_csv(table).rename(columns={"x [µm]": "x", "y [µm]": "y"})
    pd.testing.assert_frame_equal(
        found.drop(columns="t [s]"), expected, check_exact=True, check_dtype=False
    )
    summary = json.loads(done.out)
    assert summary["outputs"] == [str(table), str(table.with_suffix(".json"))]
    assert summary["classes"] == {"SubFBM": 4, "BM": 4, "immobile": 2}
    assert summary["seed"] == 11


def test_defaults_are_those_of_the_library(run, tmp_path):
    from spt_explain.cli.simulate import command

    defaults = {option.name: option.default for option in command.params}
    for name, value in (Recording().describe() | vars(Optics())).items():
        if name not in ("alpha", "fill_missing"):
            assert defaults[name] in (value, "0" if value == 0 else str(value).removesuffix(".0"))


def test_every_option_says_its_default_or_is_a_switch():
    from spt_explain.cli.simulate import command

    for option in command.params:
        if option.name == "kind" or option.is_flag:
            continue
        assert option.show_default or "Default" in option.help


def test_a_table_goes_through_a_pipe(run):
    done = run("simulate", "BM", *SMALL, "-o", "-", "--quiet")
    assert done.code == 0
    assert not done.err
    assert done.out.startswith("particle,frame,t [s],x [µm],y [µm],class,alpha,")
    piped = run("classify", "-", "--device", "cpu", stdin=done.out.encode())
    assert piped.code == 0


def test_a_seed_is_drawn_and_said_and_gives_the_same_again(run, tmp_path):
    done = run("simulate", "BM", "--tracks", 3, "--json", "-o", tmp_path / "a.csv")
    seed = json.loads(done.out)["seed"]
    assert f"seed    {seed}" in done.err
    run("simulate", "BM", "--tracks", 3, "--seed", seed, "-o", tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["SubFBN"], "'SubFBN' is no class"),
        (["BM,wetting"], "wetting"),
        (["BM", "--alpha", "0.5"], "--alpha 0.5 can't be had from BM"),
        (["SubFBM", "--alpha", "0.5-1.2"], "its exponents are 0.05 to below 1"),
        (["BM", "--length", "-5"], "--length -5 was not understood"),
        (["BM", "--length", "1e9"], "--length is 1e+09"),
        (["BM", "--tracks", "0"], "--tracks is 0"),
        (["BM", "--tracks", "99999999999"], "at most 20,000,000"),
        (["BM", "--noise", "much"], "--noise much was not understood"),
        (["BM", "--exposure", "2"], "--exposure is 2"),
        (["BM", "--immobile", "0.5"], "Add --noise"),
        (["BM", "--pixel-size-um", "nan"], "--pixel-size-um nan: expected"),
        (["BM", "--frame-interval-s", "inf"], "--frame-interval-s inf: expected"),
        (["BM", "--seed", "-3"], "--seed is -3"),
        (["BM", "--photons", "1e7"], "16-bit"),
        (["BM", "--json", "-o", "-"], "both want standard output"),
        (["BM", "-o", "folder/"], "ends in none of"),
        (["BM", "-o", "taken.csv"], "taken.csv exists and is not written over"),
        (["SupLW", "--tracks", "9", "--length", "20000", "--movie", "m.tif"], "fewer --tracks"),
    ],
)
def test_bad_use_is_one_message_and_exit_code_2(run, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    Path("taken.csv").write_text("mine")
    done = run("simulate", *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) <= 3
    assert [path.name for path in tmp_path.iterdir()] == ["taken.csv"]


def test_what_exists_is_replaced_only_if_asked(run, tmp_path):
    table = tmp_path / "s.csv"
    table.write_text("mine")
    assert run("simulate", "BM", *SMALL, "-o", table, "--overwrite").code == 0
    assert table.read_text(encoding="utf-8").startswith("particle")
