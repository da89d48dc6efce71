import json
import re

import numpy as np
import pytest
from sklearn import metrics

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.resandi.judging import Prediction
from spt_explain.training.evaluation import evaluate_predictions, length_bands

N = 900


@pytest.fixture(scope="module")
def case():
    """Made-up predictions, with everything known of them."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(8, 0.3), N)
    label = np.where(rng.random(N) < 0.7, p.argmax(1), rng.integers(8, size=N))
    alpha = np.where(label < 4, rng.uniform(0.1, 0.9, N), rng.uniform(1.1, 1.9, N))
    alpha[label == 7] = 1.0
    median = alpha + rng.normal(0.02, 0.1, N)
    quantiles = np.stack([median - 0.15, median, median + 0.15], axis=1)
    return {
        "prediction": Prediction(p, quantiles, np.ones(N, np.int64)),
        "labels": label,
        "lengths": rng.integers(5, 1500, N),
        "alpha": alpha,
        "noise": rng.choice([0.0, 0.5, 1.0], N),
    }


@pytest.fixture(scope="module")
def evaluation(case):
    return evaluate_predictions(**case)


def test_scores_are_scikit_learns(case, evaluation):
    label, p = case["labels"], case["prediction"].probabilities
    taken = p.argmax(1)
    one = evaluation.overall
    assert one["n"] == N
    assert one["accuracy"] == pytest.approx(metrics.accuracy_score(label, taken))
    assert one["macro_f1"] == pytest.approx(metrics.f1_score(label, taken, average="macro"))
    assert one["confidence"] == pytest.approx(p.max(1).mean())
    np.testing.assert_array_equal(evaluation.confusion, metrics.confusion_matrix(label, taken))
    scores = metrics.precision_recall_fscore_support(label, taken)
    for row, precision, recall, f1, n in zip(evaluation.by_class, *scores, strict=True):
        found = [row[key] for key in ("precision", "recall", "f1", "n")]
        assert found == pytest.approx([precision, recall, f1, n])
        assert row["f1_low"] < row["f1"] < row["f1_high"]
    below = p.max(1) < 0.5
    assert one["undetermined"] == pytest.approx(below.mean())
    assert one["accuracy_determined"] == pytest.approx((taken == label)[~below].mean())


def test_errors_of_alpha_are_scikit_learns(case, evaluation):
    true, said = case["alpha"], case["prediction"].alpha
    one = evaluation.overall
    assert one["alpha_n"] == N
    assert one["alpha_mae"] == pytest.approx(metrics.mean_absolute_error(true, said[:, 1]))
    assert one["alpha_bias"] == pytest.approx((said[:, 1] - true).mean())
    inside = (said[:, 0] <= true) & (true <= said[:, 2])
    assert one["alpha_coverage"] == pytest.approx(inside.mean())
    assert one["alpha_mae_se"] > 0
    rows = case["labels"] == 2
    mean = np.abs(said[rows, 1] - true[rows]).mean()
    assert evaluation.by_class[2]["alpha_mae"] == pytest.approx(mean)


def test_every_track_is_in_one_length_band_and_one_level(case, evaluation):
    bands = evaluation.by_length
    assert sum(row["n"] for row in bands) == N
    assert bands[0]["min_points"] == 0
    assert bands[-1]["max_points"] is None
    hit = case["prediction"].probabilities.argmax(1) == case["labels"]
    for row in bands:
        most = np.inf if row["max_points"] is None else row["max_points"]
        rows = (case["lengths"] >= row["min_points"]) & (case["lengths"] <= most)
        assert row["n"] == rows.sum()
        assert row["accuracy"] == pytest.approx(hit[rows].mean())
    assert [row["noise"] for row in evaluation.by_noise] == [0, 0.5, 1]
    assert sorted(evaluation.at_noise) == [0, 0.5, 1]
    for row in evaluation.by_noise:
        rows = case["noise"] == row["noise"]
        assert row["n"] == rows.sum()
        assert row["accuracy"] == pytest.approx(hit[rows].mean())
        assert evaluation.at_noise[row["noise"]].confusion.sum() == rows.sum()
    assert evaluation.cleanest is evaluation.at_noise[0]


def test_means_by_class_and_alpha(case, evaluation):
    rows = [row for row in evaluation.by_alpha if row["class"] == "SubFBM"]
    assert [row["alpha_from"] for row in rows] == pytest.approx(np.arange(0.1, 0.85, 0.1))
    p, alpha = case["prediction"].probabilities, case["alpha"]
    chosen = (case["labels"] == 2) & (alpha >= 0.3) & (alpha < 0.4)
    row = rows[2]
    assert row["n"] == chosen.sum()
    for i, name in enumerate(CLASS_NAMES):
        assert row[f"p_{name}"] == pytest.approx(p[chosen, i].mean())
    (brownian,) = (row for row in evaluation.by_alpha if row["class"] == "BM")
    assert brownian["n"] == (case["labels"] == 7).sum()
    assert sum(row["n"] for row in evaluation.by_alpha) == N


def test_round_exponents_are_in_the_bin_they_begin():
    p = np.full((9, 8), 1 / 8)
    alpha = np.arange(1, 10) / 10
    done = evaluate_predictions(Prediction(p, None, np.ones(9)), np.zeros(9, int), [20] * 9, alpha)
    assert [row["n"] for row in done.by_alpha] == [1] * 9


def test_reliability_bins_hold_every_track(case, evaluation):
    from sklearn.calibration import calibration_curve

    p = case["prediction"].probabilities
    hit = p.argmax(1) == case["labels"]
    accuracy, confidence = calibration_curve(hit, p.max(1), n_bins=15)
    rows = [row for row in evaluation.reliability if row["n"]]
    assert [row["accuracy"] for row in rows] == pytest.approx(accuracy)
    assert [row["confidence"] for row in rows] == pytest.approx(confidence)
    weights = np.array([row["n"] for row in rows]) / N
    assert evaluation.overall["ece"] == pytest.approx(weights @ np.abs(accuracy - confidence))


def test_dict_is_json_and_tables_say_the_same(evaluation):
    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert document["overall"]["n"] == N
    assert document["at_noise"]["0.5"]["overall"]["n"] == evaluation.by_noise[1]["n"]
    tables = evaluation.tables()
    assert set(tables) == {
        "summary", "by_noise", "by_class", "by_length", "by_alpha", "confusion", "calibration",
    }  # fmt: skip
    summary = tables["summary"].set_index(["noise", "quantity"])
    row = summary.loc[("all", "accuracy")]
    one = evaluation.overall
    assert row["value"] == one["accuracy"]
    assert row["se"] == one["accuracy_se"]
    assert (row["low"], row["high"]) == (one["accuracy_low"], one["accuracy_high"])
    assert not any("_se" in key for _, key in summary.index)
    cross = tables["by_length"]
    assert cross.groupby("noise", sort=False)["n"].sum().to_dict() == {
        "all": N, **{f"{row['noise']:g}": row["n"] for row in evaluation.by_noise},
    }  # fmt: skip
    confusion = tables["confusion"].query("noise == 'all'")
    assert confusion["n"].to_numpy().reshape(8, 8).tolist() == evaluation.confusion.tolist()
    assert confusion.groupby("class")["share"].sum().to_numpy() == pytest.approx(np.ones(8))


def test_without_alpha_and_noise_there_is_no_word_of_them(case):
    bare = Prediction(case["prediction"].probabilities, None, np.ones(N))
    for alpha in (None, case["alpha"]):
        done = evaluate_predictions(bare, case["labels"], case["lengths"], alpha)
        assert not any("alpha_" in key for key in done.overall)
        assert done.by_noise == []
        assert done.at_noise == {}
        assert done.cleanest is done
        assert bool(done.by_alpha) == (alpha is not None)
        done.tables()
    assert not any("alpha_" in key for key in done.by_class[0])


def test_unknown_alpha_of_some_tracks(case):
    alpha = case["alpha"].copy()
    alpha[::2] = np.nan
    done = evaluate_predictions(
        case["prediction"], case["labels"], case["lengths"], alpha, case["noise"]
    )
    assert done.overall["alpha_n"] == N // 2
    assert len(done.alpha_pairs) == N // 2
    assert sum(row["n"] for row in done.by_alpha) == N // 2


def test_many_noise_levels_are_rounded(case):
    noise = np.random.default_rng(1).uniform(0, 1, N)
    done = evaluate_predictions(case["prediction"], case["labels"], case["lengths"], noise=noise)
    assert [row["noise"] for row in done.by_noise] == pytest.approx(np.arange(11) / 10)
    assert done.noise_rounded
    assert done.cleanest is done


def test_names_do_for_labels(case, evaluation):
    names = [CLASS_NAMES[i] for i in case["labels"]]
    done = evaluate_predictions(
        case["prediction"], names, case["lengths"], case["alpha"], case["noise"]
    )
    assert done.to_dict() == evaluation.to_dict()


def test_a_class_that_does_not_occur(case):
    label = case["labels"] % 3
    done = evaluate_predictions(case["prediction"], label, case["lengths"])
    taken = case["prediction"].probabilities.argmax(1)
    assert done.overall["macro_f1"] == pytest.approx(
        metrics.f1_score(label, taken, labels=[0, 1, 2], average="macro")
    )
    assert done.by_class[7]["n"] == 0
    assert np.isnan(done.by_class[7]["recall"])
    assert done.to_dict()["by_class"][7]["recall"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 9]}, "0 to 7"),
        ({"labels": ["BM", "BW"]}, "BW"),
        ({"labels": [0.0, 1.0]}, "whole numbers"),
        ({"labels": [0]}, "labels has shape"),
        ({"lengths": [10]}, "lengths has shape"),
        ({"noise": [0.0]}, "noise has shape"),
        ({"prediction": Prediction(np.ones((2, 3)) / 3, None, np.ones(2))}, "(2, 3)"),
        ({"prediction": Prediction(np.full((2, 8), np.nan), None, np.ones(2))}, "finite"),
        ({"prediction": Prediction(np.zeros((0, 8)), None, np.ones(0))}, "not one"),
        ({"prediction": Prediction(np.ones((2, 8)) / 8, np.ones((2, 2)), np.ones(2))}, "(2, 3)"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    fitting = {
        "prediction": Prediction(np.full((2, 8), 1 / 8), None, np.ones(2)),
        "labels": [0, 1],
        "lengths": [10, 20],
    }
    with pytest.raises(ValueError, match=re.escape(message)):
        evaluate_predictions(**(fitting | change))


def test_bands_cover_all_lengths():
    assert length_bands((10, 20, 50)) == [(0, 9), (10, 19), (20, 49), (50, None)]
