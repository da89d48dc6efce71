from spt_explain.report.relevance_checks import checks_of_fit
from spt_explain.xddpm.model import Fitted
from spt_explain.xddpm.sufficiency import Curve

SHARES, THRESHOLDS = (0.01, 0.02, 0.1, 0.5, 1.0), (0.9, 0.8, 0.1, 0.05, 0.0)


def checks(r2, chosen, **recipe):
    curve = Curve(SHARES, THRESHOLDS, r2, 0.95, chosen)
    fitted = Fitted(
        r2=r2[-1],
        shuffled_r2=0.0,
        train_r2=r2[-1],
        clips=100,
        held_out=("a",),
        regressor_steps=900,
        seconds=60.0,
        mean_mask=0.02,
        curve=curve,
        mask_steps=900,
        recipe=recipe,
    )
    return {check.name: check for check in checks_of_fit(fitted)}


def of_share(r2, chosen):
    return checks(r2, chosen)["sufficient_share"]


def test_a_map_that_keeps_most_with_few_pixels_is_not_called_empty():
    check = of_share((0.5, 0.86, 0.88, 0.8, 0.97), 4)
    assert not check.good
    assert "most relevant 2 % keep 0.86 of R² 0.97" in check.meaning


def test_a_map_that_needs_all_pixels_is():
    assert of_share((-0.2, 0.0, 0.05, 0.4, 0.97), 4).meaning.endswith("the map says little")
    assert of_share((0.1, 0.5, 0.6, 0.65, 0.97), 4).meaning.endswith("the map says little")


def test_a_small_sufficient_share_is_good():
    assert of_share((0.5, 0.93, 0.94, 0.96, 0.97), 1).good


def test_of_a_weak_prediction_the_noise_of_training_is_named():
    r2 = (0.1, 0.2, 0.3, 0.39, 0.4)
    weak = checks(r2, 3, regressor={"noise_max": 0.5})["held_out_r2"]
    assert not weak.good
    assert "noise_max = 0.5" in weak.meaning
    assert "noise_max" not in checks(r2, 3, regressor={"noise_max": 0.15})["held_out_r2"].meaning
    assert "noise_max" not in checks(r2, 3)["held_out_r2"].meaning
