import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.floors import FLOORS
from spt_explain.xddpm.evaluate.published import METHODS, TABLE_1, published_table
from spt_explain.xddpm.evaluate.table import Candidate, Videos, compare, table

RNG = np.random.default_rng(0)


def two_cells(n, seed):
    """Two squares; the signal is the brightness of the left one."""
    rng = np.random.default_rng(seed)
    clips = np.zeros((n, 2, 12, 16), np.float32)
    truth = np.zeros(clips.shape, bool)
    for at in range(n):
        y, z = rng.integers(0, 8, 2)
        x, w = rng.integers(0, 4, 2)
        truth[at, :, y : y + 4, x : x + 4] = True
        clips[at][truth[at]] = 1 + rng.random()
        clips[at, :, z : z + 4, 8 + w : 12 + w] = 1 + rng.random()
    return Videos(clips, truth)


VALIDATION, TEST = two_cells(20, 1), two_cells(30, 2)


def left(clips):
    return clips[:, :, :, :8].sum(axis=(1, 2, 3))[:, None] / 10


def noisy(videos, seed, noise):
    return videos.truth + np.random.default_rng(seed).normal(0, noise, videos.truth.shape)


METHOD = Candidate(
    [noisy(VALIDATION, s, 0.2) for s in range(3)], [noisy(TEST, s, 0.2) for s in range(3)]
)
WORSE = Candidate([noisy(VALIDATION, 9, 0.7)], [noisy(TEST, 9, 0.7)], "baseline")
CANDIDATES = {"worse": WORSE, "ours": METHOD}


@pytest.fixture(scope="module")
def found():
    return compare(
        VALIDATION, TEST, CANDIDATES, predict=left, shares=(0.3, 0.5), n_subsets=60, resamples=300
    )


def test_rows_and_columns(found):
    rows = found.table
    assert list(rows["method"]) == [
        "ours",
        "worse",
        *(f"floor: {name}" for name in FLOORS),
        "true map",
    ]
    assert list(rows["role"]) == ["method", "baseline", *["floor"] * 5, "ceiling"]
    assert list(rows["n_seeds"]) == [3, *[1] * 7]
    measures = {"iou", "auprc", "top_iou", "sensitivity_n", "sensitivity_n_30", "insertion"}
    assert measures | {"sensitivity_n_50", "deletion", "iou_low", "iou_high"} <= set(rows.columns)
    for measure in measures | {"deletion"}:
        inside = rows[measure].between(
            rows[f"{measure}_low"] - 1e-9, rows[f"{measure}_high"] + 1e-9
        )
        assert inside.all(), measure


def test_the_ceiling_is_one_and_distractors_beat_the_floors(found):
    rows = found.table.set_index("method")
    for measure in ("iou", "auprc", "top_iou"):
        assert rows.loc["true map", measure] == 1
    # two squares of equal size, one of them relevant
    assert rows.loc["floor: whole cell", "iou"] == pytest.approx(0.5, abs=0.01)
    assert rows.loc["ours", "iou"] > rows.loc["worse", "iou"]
    assert rows.loc["ours", "iou"] > 1.5 * rows.loc["floor: brightness", "iou"]
    assert rows.loc["true map", "sensitivity_n"] > 0.9
    assert abs(rows.loc["floor: random", "sensitivity_n"]) < 0.1
    assert rows["insertion"].idxmax() == "true map"
    assert rows["deletion"].idxmin() == "true map"


def test_ratio_and_best(found):
    assert found.best() == "worse"
    assert found.best("ceiling", "deletion") == "true map"
    rows = found.table.set_index("method")
    among = [name for name in rows.index if name.startswith("floor")]
    assert found.best("floor", "auprc") == rows.loc[among, "auprc"].idxmax()
    ratio = found.ratio("ours", "worse")
    assert ratio.mean == pytest.approx(rows.loc["ours", "iou"] / rows.loc["worse", "iou"])
    assert 1 < ratio.low < ratio.mean < ratio.high
    with pytest.raises(SptError, match="no 'f1'"):
        found.ratio("ours", "worse", "f1")
    with pytest.raises(SptError, match="of any method"):
        found.best("method", "f1")


def test_thresholds_are_chosen_on_validation_videos_only(found):
    # on other maps of the test videos the threshold stays
    other = Candidate(METHOD.validation, [m * 5 + 3 for m in METHOD.test])
    again = compare(VALIDATION, TEST, {"ours": other}, resamples=10)
    chosen = [one.tau for one in again.thresholds["ours"]]
    assert chosen == [one.tau for one in found.thresholds["ours"]]
    assert again.table.set_index("method").loc["ours", "iou"] < 0.3


def test_without_a_regressor_and_with_some_videos():
    plain = table(VALIDATION, TEST, CANDIDATES, resamples=10)
    assert not {"sensitivity_n", "insertion"} & set(plain.columns)
    some = compare(
        VALIDATION,
        TEST,
        CANDIDATES,
        predict=left,
        most_predicted=5,
        curves=False,
        n_subsets=20,
        resamples=10,
    )
    assert np.isfinite(some.values["ours"]["sensitivity_n"]).sum(axis=1).tolist() == [5, 5, 5]
    assert some.table["sensitivity_n"].notna().all()
    assert "insertion" not in some.table


def test_it_repeats_and_tells_progress():
    told = []
    one, two = (
        table(
            VALIDATION,
            TEST,
            CANDIDATES,
            predict=left,
            n_subsets=10,
            resamples=20,
            seed=5,
            progress=lambda done, of: told.append((done, of)),
        )
        for _ in range(2)
    )
    assert one.equals(two)
    assert told[:10] == [(n, 10) for n in range(1, 11)]  # three seeds of ours


def test_refused():
    uneven = Candidate(METHOD.validation, METHOD.test[:1])
    with pytest.raises(SptError, match="3 seeds to validate with and of 1"):
        compare(VALIDATION, TEST, {"ours": uneven})
    with pytest.raises(SptError, match="name 'true map'"):
        compare(VALIDATION, TEST, {"true map": METHOD})
    with pytest.raises(SptError, match="name 'floor: random'"):
        compare(VALIDATION, TEST, {"floor: random": METHOD})
    bad = Candidate(METHOD.validation, [m[:, :1] for m in METHOD.test])
    with pytest.raises(SptError, match="the maps of ours"):
        compare(VALIDATION, TEST, {"ours": bad})


def test_the_papers_table():
    rows = published_table()
    assert len(rows) == 32
    assert set(TABLE_1) == set(METHODS)
    ours = rows[(rows["method"] == "xddpm") & (rows["movies"] == "tension")]
    assert ours["iou"].tolist() == [0.6689, 0.3699]
    # as its text says, xDDPM has the largest of each column
    best = rows.loc[rows.groupby(["movies", "signal"])["iou"].idxmax(), "method"]
    assert set(best) == {"xddpm"}
