from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import spt_explain as spt
from spt_explain.explain.correlation import correlations
from spt_explain.explain.options import ExplainOptions
from spt_explain.explain.reasons import Explainer
from spt_explain.report.reason_files import draw_tracks, fractions, joined
from spt_explain.tracks import Calibration, Source, Tracks


def tracks(name, n=4, length=120, seed=0, **calibration):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "particle": np.repeat(np.arange(n), length),
            "frame": np.tile(np.arange(length), n),
            "x": rng.normal(size=n * length).cumsum(),
            "y": rng.normal(size=n * length).cumsum(),
        }
    )
    return Tracks(table, Calibration(**calibration), Source(name, "a table"))


@pytest.fixture(scope="module")
def both():
    explainer = Explainer(ExplainOptions(draws=0, share=0.4), weights="resandi-small", device="cpu")
    return [
        explainer.explain(tracks("a.csv")),
        explainer.explain(
            tracks("b.csv", seed=1, length_unit="um", frame_interval_s=0.1), only=[0, 1]
        ),
    ]


def test_one_file_stays_as_it_is(both):
    assert joined(both[:1]) is both[0]


def test_several_files_as_one(both):
    one = joined(both)
    for name in ("tracks", "frames", "windows"):
        assert len(getattr(one, name)) == sum(len(getattr(r, name)) for r in both)
    assert one.tracks["file"].tolist() == ["a.csv"] * 4 + ["b.csv"] * 2
    assert one.unit == "file's unit"
    assert one.frame_interval_s is None
    assert one.tracks["D_um2_s"].notna().sum() == 2  # only b.csv has units
    other = {
        name: getattr(both[1], name).assign(file="c.csv")
        for name in ("tracks", "frames", "windows")
    }
    same = joined([both[1], replace(both[1], **other)])
    assert (same.unit, same.frame_interval_s) == ("µm", 0.1)


def test_correlations_are_over_the_windows_of_all(both):
    one = joined(both)
    expected = correlations(
        pd.concat([r.windows for r in both]), pd.concat([r.tracks for r in both])
    )
    pd.testing.assert_frame_equal(one.correlations, expected)
    assert not one.correlations.duplicated(["class", "variant", "statistic"]).any()


def test_files_without_windows(both):
    empty = [replace(r, windows=r.windows[:0], correlations=pd.DataFrame()) for r in both]
    assert len(joined(empty).correlations) == 0


def test_fractions_of_all_and_of_each(both):
    found = fractions(both, "resandi-small")
    assert list(dict.fromkeys(found["file"])) == ["all 2 files", "a.csv", "b.csv"]
    assert found.groupby("file")["fraction"].sum().tolist() == pytest.approx([1, 1, 1])
    # of all tracks, not of those two that were to be explained
    counts = found.groupby("file")["n_tracks"].first()
    verdicts = [r.verdicts.table for r in both]
    counted = [int(v["status"].isin(["classified", "undetermined"]).sum()) for v in verdicts]
    assert counts[["a.csv", "b.csv", "all 2 files"]].tolist() == [*counted, sum(counted)]
    single = fractions(both[:1], "resandi-small")
    expected = spt.populations(verdicts[0], weights="resandi-small")
    pd.testing.assert_frame_equal(single, expected)


def test_pieces_of_a_track_have_a_figure_each_and_the_share_that_was_erased(
    both, tmp_path, monkeypatch
):
    from spt_explain.report import reason_figures

    shares = []
    original = reason_figures.track_figure

    def spy(*parts, **options):
        shares.append(options["share"])
        return original(*parts, **options)

    monkeypatch.setattr(reason_figures, "track_figure", spy)
    b = both[1]
    pieces = {
        name: getattr(b, name).assign(segment=lambda t: t["particle"], particle=7)
        for name in ("tracks", "frames", "windows")
    }  # fmt: skip
    said = []
    n = draw_tracks(
        tmp_path,
        replace(b, **pieces),
        formats=["png"],
        picks=1,
        every=True,
        progress=lambda *now: said.append(now),
    )
    assert n == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["track-7-0.png", "track-7-1.png"]
    assert shares == [0.4, 0.4]
    assert said[-1] == ("drawing", 2, 2)
