import hashlib
import json

import numpy as np
import pandas as pd
import pytest

import spt_explain as spt
from spt_explain.errors import SptError
from spt_explain.explain.options import ExplainOptions
from spt_explain.explain.reasons import Explainer
from spt_explain.explanation import Listener, Pictures, explain_files
from spt_explain.report.reason_files import TABLES

OPTIONS = {"weights": "resandi-small", "device": "cpu"}


@pytest.fixture(scope="module")
def explainer():
    return Explainer(ExplainOptions(draws=2), **OPTIONS)


def write(path, lengths=(100, 30), seed=0):
    """Write Brownian tracks; the first is long enough for windows."""
    rng = np.random.default_rng(seed)
    lines = ["particle,frame,x,y"]
    for particle, length in enumerate(lengths):
        walk = rng.normal(size=(length, 2)).cumsum(axis=0)
        lines += [f"{particle},{t},{x:.4f},{y:.4f}" for t, (x, y) in enumerate(walk)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "a.csv")


def go(explainer, *paths, **options):
    options = {"policy": spt.QualityPolicy()} | options
    return explain_files([str(p) for p in paths], lambda: explainer, **options)


def strict(text):
    """Read JSON as other programs do, which know no NaN."""

    def refuse(name):
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


def test_the_folder_holds_the_tables_and_how_they_were_made(explainer, path):
    (result,) = go(explainer, path, command=["spt-explain", "explain", "a.csv"])
    folder = path.with_name("a.reasons")
    assert result.outputs == [folder]
    assert sorted(p.name for p in folder.iterdir()) == [
        "correlations.csv", "frames.csv", "reasons.json", "tracks.csv", "windows.csv",
    ]  # fmt: skip
    reasons = explainer.explain(spt.read_tracks(path))
    for name in TABLES:
        expected = getattr(reasons, name)
        if len(expected):
            written = pd.read_csv(folder / f"{name}.csv", keep_default_na=True)
            assert written.columns.tolist() == expected.columns.tolist()
            numbers = expected.select_dtypes("number")
            assert written[numbers.columns].to_numpy() == pytest.approx(
                numbers.to_numpy(), rel=1e-5, abs=1e-5, nan_ok=True
            )
    made = strict((folder / "reasons.json").read_text("utf-8"))
    assert made["command"] == ["spt-explain", "explain", "a.csv"]
    assert made["explanation"]["draws"] == 2
    assert made["weights"]["name"] == "resandi-small"
    assert made["inputs"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert made["policy"]["min_length"] == 10
    assert made["threshold"] == 0.5
    assert not made["alone"]


def test_parquet_keeps_every_digit(explainer, path):
    go(explainer, path, fmt="parquet")
    frames = pd.read_parquet(path.with_name("a.reasons") / "frames.parquet")
    expected = explainer.explain(spt.read_tracks(path)).frames
    assert frames["score"].tolist() == expected["score"].tolist()


def test_what_is_wrong_with_the_options_stops_all_at_once(path):
    heard = []

    class Heard(Listener):
        def finished(self, result):
            heard.append(result.name)

    def make():
        return Explainer(ExplainOptions(class_name="Brownian"), **OPTIONS)

    other = write(path.with_name("b.csv"))
    with pytest.raises(SptError, match="it knows SubATTM"):
        explain_files(
            [str(path), str(other)],
            make,
            policy=spt.QualityPolicy(),
            output=str(path.with_name("new")),
            listener=Heard(),
        )
    assert heard == []
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"exposure": 3}, "exposure="),
        ({"reading": {"pixel_size_um": float("nan")}}, "pixel_size_um="),
        ({"output": "no/such"}, "not there"),
        ({"only": [7]}, "no particle 7"),
    ],
)
def test_refusals_leave_nothing(explainer, path, options, words):
    with pytest.raises(SptError, match=words):
        go(explainer, path, **options)
    assert [p.name for p in path.parent.iterdir()] == ["a.csv"]


def test_a_file_that_fails_stops_no_other(explainer, path):
    short = write(path.with_name("b.csv"), lengths=(4,))
    results = go(explainer, path, short, output=str(path.with_name("out")))
    assert [r.done for r in results] == [True, False]
    assert results[1].failed
    assert "min_length=" in str(results[1].error)
    assert [p.name for p in path.with_name("out").iterdir()] == ["a.reasons"]


def test_when_all_fail_the_new_folder_is_gone_again(explainer, tmp_path):
    names = [write(tmp_path / f"{name}.csv", lengths=(4,)) for name in "ab"]
    with pytest.raises(SptError, match="none of 2 files"):
        go(explainer, *names, output=str(tmp_path / "x" / "out"))
    assert not (tmp_path / "x").exists()


def test_files_of_a_folder_that_hold_no_tracks_are_skipped(explainer, path):
    path.with_name("notes.txt").write_text("We measured on Monday.\nAll went well.\n")
    for _ in range(2):  # the second time, our own tables are there: they are no tracks
        results = go(explainer, path.parent, overwrite=True)
        assert [r.name for r in results if r.done] == [str(path)]
        assert [r.name for r in results if r.skipped] == [str(path.with_name("notes.txt"))]
        assert not any(r.failed for r in results)


def test_figures_of_picked_and_of_named_tracks(explainer, path):
    pictures = Pictures(tracks=True, formats=("svg", "pdf"), picks=1)
    (result,) = go(explainer, path, pictures=pictures)
    folder = path.with_name("a.reasons")
    names = {p.name for p in folder.iterdir()}
    assert {"contact-sheet.svg", "contact-sheet.pdf"} < names
    drawn = {name for name in names if name.startswith("track-")}
    assert len(drawn) == 2 * result.report["figures"] > 0
    (result,) = go(explainer, path, pictures=pictures, only=[1], overwrite=True)
    names = {p.name for p in folder.iterdir()}
    assert {"track-1.svg", "track-1.pdf"} == {n for n in names if n.endswith(("svg", "pdf"))}
    assert pd.read_csv(folder / "tracks.csv")["particle"].tolist() == [1]


def test_a_particle_that_could_not_be_explained_is_told(explainer, tmp_path):
    path = write(tmp_path / "a.csv", lengths=(30, 5))
    (result,) = go(explainer, path, only=[0, 1])
    assert result.report["asked_for"] == 2
    assert "too short" in result.report["not_explained"][1]


@pytest.mark.parametrize("error", [ValueError("broken"), OSError(28, "No space left on device")])
def test_a_figure_that_fails_costs_no_table(explainer, path, monkeypatch, error):
    from spt_explain.report import reason_figures

    def broken(*_, **__):
        raise error

    monkeypatch.setattr(reason_figures, "track_figure", broken)
    (result,) = go(explainer, path, pictures=Pictures(tracks=True))
    assert result.done
    (problem,) = result.problems
    assert "the figures could not be made" in str(problem)
    assert "The tables are complete" in str(problem)
    assert problem.__cause__ is error
    names = [p.name for p in path.with_name("a.reasons").iterdir()]
    assert "frames.csv" in names
    assert not [name for name in names if name.endswith("png")]


def test_an_interruption_while_drawing_leaves_nothing_new(explainer, path, monkeypatch):
    from spt_explain.report import reason_figures

    go(explainer, path)
    before = (path.with_name("a.reasons") / "reasons.json").read_bytes()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(reason_figures, "track_figure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go(explainer, path, pictures=Pictures(tracks=True), overwrite=True)
    assert (path.with_name("a.reasons") / "reasons.json").read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.csv", "a.reasons"]


def test_one_page_for_all(explainer, path):
    other = write(path.with_name("b.csv"), seed=1)
    page = path.with_name("why.html")
    results = go(explainer, path, other, page=page)
    assert all(r.outputs == [r_folder(r), page] for r in results)
    text = page.read_text("utf-8")
    assert "a.csv, b.csv" in text
    assert "all 2 files" in text  # fractions of both together, and of each
    assert all(r.reasons is None for r in results)  # not kept once the page is there


def r_folder(result):
    return result.outputs[0].with_name(result.name.rsplit("/", 1)[-1].replace(".csv", ".reasons"))


def test_a_page_that_fails_costs_no_folder(explainer, path, monkeypatch):
    from spt_explain.report import page as page_module

    def broken(*_, **__):
        raise ValueError("broken")

    monkeypatch.setattr(page_module, "write_page", broken)
    page = path.with_name("why.html")
    (result,) = go(explainer, path, page=page)
    assert result.done
    assert "why.html could not be made: ValueError: broken" in str(result.problems[0])
    assert result.problems[0].exit_code == 1
    assert not page.exists()
    assert (path.with_name("a.reasons") / "frames.csv").exists()


def test_a_page_within_the_folder_of_results(explainer, path):
    out = path.with_name("out")
    for overwrite in (False, True):
        (result,) = go(explainer, path, output=str(out), page=out / "why.html", overwrite=overwrite)
        assert result.outputs == [out, out / "why.html"]
        assert not result.problems
    assert {"why.html", "frames.csv"} < {p.name for p in out.iterdir()}
    (out / "mine.html").write_text("x")
    with pytest.raises(SptError, match=r"mine\.html"):
        go(explainer, path, output=str(out), page=out / "why.html", overwrite=True)


def test_scores_on_the_movie(explainer, shared_tracks, shared_stacks, tmp_path):
    movie = shared_stacks / "faketracks.tif"
    pictures = Pictures(formats=("png",), movie=movie, animate="gif")
    source = shared_tracks / "faketracks-trackpy.csv"
    out = tmp_path / "out"
    go(explainer, source, output=str(out), pictures=pictures)
    assert {"movie.png", "movie.gif"} < {p.name for p in out.iterdir()}
    assert not list(out.glob("track-*"))
    bacteria = shared_tracks / "bacteria-trackmate-v7.7-simple.xml"
    heard = []

    class Heard(Listener):
        def progress(self, what, done, total):
            heard.append(what)

    with pytest.raises(SptError, match="pixel_size_um="):
        go(explainer, bacteria, output=str(tmp_path / "no"), pictures=pictures, listener=Heard())
    assert heard == []  # said before an hour of work, not after
    with pytest.raises(SptError, match="expected one"):
        go(explainer, source, bacteria, output=str(tmp_path / "no"), pictures=pictures)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
