from pathlib import Path

import pytest

from spt_explain.errors import SptError
from spt_explain.report.track_places import plan_places


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in ("a.tif", "a.nd2", "b.ome.tif", "x/a.tif", "y/a.tif", "frames/0.tif", "B.tif"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "exp.1").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tables(names, output=None, fmt=None, **options):
    return [str(place.table) for place in plan_places(names, output, fmt, **options).each]


def test_beside_the_movie(here):
    (place,) = plan_places(["x/a.tif"], None, None, preview=True).each
    assert [str(path) for path in place.paths] == [
        "x/a.tracks.csv", "x/a.tracks.json", "x/a.tracking.toml", "x/a.preview.png",
    ]  # fmt: skip


def test_a_folder_of_frames_keeps_its_whole_name(here, monkeypatch):
    assert tables(["frames"]) == ["frames.tracks.csv"]
    assert tables(["exp.1"]) == ["exp.1.tracks.csv"]
    monkeypatch.chdir(here / "frames")
    (only,) = tables(["."])
    assert Path(only) == here.resolve() / "frames.tracks.csv"


def test_one_table(here):
    (place,) = plan_places(["a.tif"], "cells.tracks.csv", None, preview=True).each
    names = ["cells.tracks.csv", "cells.tracks.json", "cells.tracking.toml", "cells.preview.png"]
    assert [str(path) for path in place.paths] == names
    (place,) = plan_places(["a.tif"], "out/c.parquet", None).each
    names = ["out/c.parquet", "out/c.json", "out/c.tracking.toml"]
    assert [str(path) for path in place.paths] == names
    (place,) = plan_places(["a.tif"], "c.json", None).each
    assert [str(path) for path in place.paths] == ["c.json", "c.tracking.toml"]


def test_a_folder(here):
    assert tables(["a.tif"], "new/") == ["new/a.tracks.csv"]
    assert tables(["a.tif", "B.tif"], "out") == ["out/a.tracks.csv", "out/B.tracks.csv"]
    assert plan_places(["a.tif"], "new/", None).folders == (Path("new"),)


def test_names_that_would_clash(here):
    assert tables(["a.tif", "a.nd2"]) == ["a.tif.tracks.csv", "a.nd2.tracks.csv"]
    assert tables(["x/a.tif", "y/a.tif"]) == ["x/a.tracks.csv", "y/a.tracks.csv"]
    found = tables(["x/a.tif", "y/a.tif"], "out")
    assert found == ["out/x_a.tif.tracks.csv", "out/y_a.tif.tracks.csv"]
    assert len(set(tables(["x/../a.tif", "x_.._a.tif", "a.tif"], "out"))) == 3


def test_standard_output(here):
    plan = plan_places(["a.tif"], "-", None)
    assert plan.stdout
    assert plan.paths == []
    plan = plan_places(["a.tif"], "-", "json", trackmate="t.xml")
    assert plan.fmt == "json"
    assert plan.paths == [Path("t.xml")]


def test_preview_only(here):
    assert plan_places(["a.tif"], None, None, preview_only=True).paths == [Path("a.preview.png")]
    assert plan_places(["a.tif"], "p.png", None, preview_only=True).paths == [Path("p.png")]
    assert plan_places(["a.tif"], "c.csv", None, preview_only=True).paths == [Path("c.preview.png")]
    plan = plan_places(["a.tif", "B.tif"], "new/", None, preview_only=True)
    assert plan.paths == [Path("new/a.preview.png"), Path("new/B.preview.png")]


def test_trackmate(here):
    (place,) = plan_places(["a.tif"], None, None, trackmate="t.XML").each
    assert place.trackmate == Path("t.XML")
    plan = plan_places(["x/a.tif", "y/a.tif"], None, None, trackmate="xml/")
    assert [str(one.trackmate) for one in plan.each] == [
        "xml/a.trackmate.xml", "xml/a-2.trackmate.xml",
    ]  # fmt: skip
    assert plan.folders == (Path("xml"),)


def test_a_parameter_file_that_is_read_is_not_written(here):
    plan = plan_places(["a.tif", "B.tif"], None, None)
    left = plan.without_parameters(here / "x" / ".." / "a.tracking.toml")
    assert left.each[0].parameters is None
    assert left.each[1] == plan.each[1]


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["a.tif", "B.tif"], {"output": "c.csv"}, "there are 2 movies"),
        (["a.tif", "B.tif"], {"output": "-"}, "there are 2 movies"),
        (["a.tif", "B.tif"], {"trackmate": "c.xml"}, "there are 2 movies"),
        (["a.tif"], {"output": "c.txt"}, "none of .csv, .parquet, .json"),
        (["a.tif"], {"output": "c.png"}, "none of .csv, .parquet, .json"),
        (["a.tif"], {"output": " "}, "output= is empty"),
        (["a.tif"], {"output": "c.csv", "fmt": "json"}, "contradicts"),
        (["a.tif"], {"output": "-", "fmt": "parquet"}, "standard output"),
        (["a.tif"], {"output": "-", "preview": True}, "a picture"),
        (["a.tif"], {"trackmate": "c.txt"}, "does not end in .xml"),
        (["a.tif"], {"trackmate": "c.xml", "preview_only": True}, "writes no tracks"),
    ],
)
def test_what_contradicts_is_refused(here, names, options, said):
    options = {"output": None, "fmt": None} | options
    with pytest.raises(SptError) as caught:
        plan_places(names, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
