import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.report.reason_places import check_movie, check_place, made, plan_folders, refuse
from spt_explain.tracks import Calibration, Source, Tracks


def plan(names, output=None, *, single=None):
    return plan_folders(names, output, single=len(names) == 1 if single is None else single)


def test_a_folder_beside_each_input():
    assert plan(["x/a.csv", "y/a.xml.gz", "-"]) == [
        Path("x/a.reasons"), Path("y/a.reasons"), Path("stdin.reasons"),
    ]  # fmt: skip


def test_inputs_that_differ_in_their_ending_keep_it():
    assert plan(["a.csv", "a.xml", "b.csv"]) == [
        Path("a.csv.reasons"), Path("a.xml.reasons"), Path("b.reasons"),
    ]  # fmt: skip


def test_one_folder_for_one_file_and_a_folder_of_folders_for_more():
    assert plan(["x/a.csv"], "out") == [Path("out")]
    assert plan(["x/a.csv"], "out/") == [Path("out/a.reasons")]
    assert plan(["x/a.csv"], "out", single=False) == [Path("out/a.reasons")]  # found in a folder
    assert plan(["x/a.csv", "y/b.csv"], "out") == [Path("out/a.reasons"), Path("out/b.reasons")]


def test_same_names_in_one_folder_get_their_parents():
    found = plan(["x/a.csv", "y/a.csv", "../y/a.csv", "/y/a.csv"], "out")
    assert len(set(found)) == 4
    assert {path.parent for path in found} == {Path("out")}
    assert found[0].name == "x_a.csv.reasons"


@given(
    st.lists(
        st.sampled_from(["a.csv", "a.xml", "x/a.csv", "x_a.csv", "a.csv.gz", "/x/a.csv", "-",
                         "a", "a.csv-2", "stdin.csv", "../x/a.csv", "x/../a.csv", "A.csv",
                         "X/a.csv", "x/A.CSV"]),
        unique=True,
    ),
    st.sampled_from([None, "out/"]),
)  # fmt: skip
def test_no_two_inputs_ever_share_a_folder(names, output):
    """Not on file systems that ignore case either."""
    assert len({str(path).casefold() for path in plan(names, output)}) == len(names)


@pytest.mark.parametrize("output", ["-", "", " "])
def test_no_folder_is_called_so(output):
    with pytest.raises(SptError, match="json="):
        plan(["a.csv"], output)


def test_made_folders_stay_only_with_something_in_them(tmp_path):
    deep = tmp_path / "x" / "y"
    with made(deep):
        assert deep.is_dir()
    assert list(tmp_path.iterdir()) == []
    with made(deep):
        (deep / "a").write_text("1")
    assert (deep / "a").exists()
    with pytest.raises(KeyboardInterrupt), made(tmp_path / "z"):
        raise KeyboardInterrupt
    assert not (tmp_path / "z").exists()
    with made(tmp_path):  # was there before, and stays
        pass
    assert tmp_path.exists()
    with pytest.raises(SptError, match="it is a file"), made(deep / "a"):
        pass
    with pytest.raises(SptError, match="expected a folder"), made(deep / "a" / "b"):
        pass


def check(folders, page, sources=(), *, overwrite=False):
    refuse([Path(f) for f in folders], page and Path(page), sources, overwrite=overwrite)


def test_our_own_results_are_replaced_and_nobody_elses(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in (
        *("tracks.csv", "frames.parquet", "reasons.json", "contact-sheet.svg", "movie.gif"),
        *("track-12.png", "track--1-3.pdf"),
    ):
        (out / name).write_text('{"program": "spt-explain"}')
    check([out], None, overwrite=True)
    with pytest.raises(SptError, match="overwrite=True"):
        check([out], None)
    for name in ("thesis.html", "tracks.txt", "a.csv", "tracking-1.png"):
        (out / name).write_text("x")
        with pytest.raises(SptError, match=name):
            check([out], None, overwrite=True)
        (out / name).unlink()


@pytest.mark.parametrize("sidecar", ["", "{[", "[1]", '{"program": "other"}', None])
def test_tables_of_the_same_name_may_be_anybodys(tmp_path, sidecar):
    out = tmp_path / "day1"
    out.mkdir()
    (out / "tracks.csv").write_text("months of work")
    if sidecar is not None:
        (out / "reasons.json").write_text(sidecar)
    with pytest.raises(SptError, match="other files"):
        check([out], None, overwrite=True)


def test_the_page_may_lie_in_the_folder_of_results(tmp_path):
    out = tmp_path / "out"
    check([out], out / "why.html")  # the folder is not there yet
    out.mkdir()
    (out / "reasons.json").write_text('{"program": "spt-explain"}')
    (out / "why.html").write_text("old")
    check([out], out / "why.html", overwrite=True)
    with pytest.raises(SptError, match="overwrite=True"):
        check([out], out / "why.html")
    with pytest.raises(SptError, match=r"why\.html"):
        check([out], tmp_path / "why.html", overwrite=True)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("why.pdf", r"ends in \.html"),
        ("why", r"why\.html"),
        ("", "such as why.html"),
        ("no/why.html", "page="),
        ("there.html", "overwrite=True, or another name with page="),
        ("folder.html", "is a folder"),
        ("out.html", "two names"),
    ],
)
def test_pages_that_can_not_be_written(tmp_path, monkeypatch, page, words):
    monkeypatch.chdir(tmp_path)
    Path("there.html").write_text("mine")
    Path("folder.html").mkdir()
    with pytest.raises(SptError, match=words):
        check(["out.html"], Path(page))


def test_a_page_is_never_written_over_an_input(tmp_path):
    source = tmp_path / "tracks.html"
    source.write_text("x")
    with pytest.raises(SptError, match="never written over"):
        check([tmp_path / "out"], source, [source], overwrite=True)


@pytest.fixture
def movie(tmp_path):
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, np.zeros((5, 32, 48), np.uint8), photometric="minisblack")
    return path


def test_movies_that_can_not_be_used(tmp_path, movie, monkeypatch):
    check_movie(movie, "gif", 1)
    (tmp_path / "text.tif").write_text("no movie")
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((32, 48), np.uint8), photometric="minisblack")
    for path, animate, n, words in (
        (movie, "", 2, "expected one"),
        (tmp_path / "none.tif", "", 1, "is not there"),
        (tmp_path, "", 1, "is a folder"),
        (tmp_path / "text.tif", "", 1, "no TIFF stack"),
        (tmp_path / "one.tif", "", 1, "frame"),
    ):
        with pytest.raises(SptError, match=words) as error:
            check_movie(path, animate, n)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SptError, match="animate='gif'"):
        check_movie(movie, "mp4", 1)


def tracks_at(x, unit="px"):
    table = pd.DataFrame({"particle": [0, 0, 1, 1], "frame": [0, 1, 0, 1], "x": x, "y": 5.0})
    return Tracks(table, Calibration(length_unit=unit), Source("t.csv", "a table"))


def test_tracks_that_do_not_lie_on_their_movie(movie):
    check_place(movie, tracks_at([1.0, 2.0, 900.0, 901.0]))
    with pytest.raises(SptError, match=r"lies? within"):
        check_place(movie, tracks_at([1.0, 2.0, 900.0, 901.0]), [1])
    check_place(movie, tracks_at([1.0, 2.0, 900.0, 901.0]), [7])  # not there: said elsewhere
    with pytest.raises(SptError, match="pixel_size_um="):
        check_place(movie, tracks_at([1.0, 2.0, 3.0, 4.0], "um"))
    check_place(movie, tracks_at([1.0, 2.0, 3.0, 4.0], "um"), pixel_size_um=0.5)
    with pytest.raises(SptError, match=r"lies? within"):
        check_place(movie, tracks_at([1.0, 2.0, 3.0, 4.0], "um"), pixel_size_um=0.01)
