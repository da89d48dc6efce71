from dataclasses import replace

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.tracks.fit import fit
from spt_explain.xddpm.tracks.run import TrackRun


@pytest.fixture
def unchecked(monkeypatch):
    monkeypatch.setattr(TrackRun, "_insist_on_prediction", lambda self: None)
    monkeypatch.setattr("spt_explain.xddpm.staged._LEAST_STEPS", 3)


def auc(values, truth):
    above = values[truth][:, None] - values[~truth][None]
    return (above > 0).mean() + 0.5 * (above == 0).mean()


def test_finds_the_stretch_that_carries_the_signal(make_planted, make_recipe):
    """Planted: displacements outside a persistent stretch are Brownian and say nothing."""
    tracks, _ = make_planted(600, 40, 1)
    recipe = make_recipe(
        350,
        250,
        regressor={"width": 16, "min_r2": 0.1, "learning_rate": 6e-3, "control_share": 0.1},
        mask={"learning_rate": 1e-2},
    )
    model = fit(tracks, recipe)
    fitted = model.fitted
    assert fitted.r2 > 0.2
    assert fitted.shuffled_r2 < 0.1
    assert fitted.removed_r2 < 0.1
    held, truth = make_planted(80, 40, 9)
    steps = model.steps(held.positions, held.offsets)
    maps = model.maps(steps)
    strong = np.flatnonzero(held.numbers() > 0.6)
    each = [maps.contribution[steps.offsets[i] : steps.offsets[i + 1]] for i in strong]
    found = np.mean([auc(one, truth[i]) for one, i in zip(each, strong, strict=True)])
    assert found > 0.7
    deletion = model.deletion(steps, maps)
    assert deletion.top[strong].mean() > 1.25 * deletion.random[strong].mean()
    # where nothing but the most relevant is kept, more is left than at random places
    half = min(range(len(fitted.curve.kept)), key=lambda i: abs(fitted.curve.kept[i] - 0.4))
    assert fitted.curve.r2[half] > fitted.random_r2[half]


def test_says_when_the_signal_cannot_be_predicted(make_planted, make_recipe):
    tracks, _ = make_planted(200, 20, 2)
    values = np.random.default_rng(0).permutation(tracks.values)

    with pytest.raises(SptError, match="can't be predicted from the tracks: R² is") as caught:
        fit(replace(tracks, values=values), make_recipe(20, 5, regressor={"min_r2": 0.5}))
    assert "40 tracks held out" in str(caught.value)


class Ticks:
    """A clock that goes on by a second whenever it is looked at."""

    now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now


def test_resumes_to_the_same_model(some_tracks, make_recipe, tmp_path, unchecked, monkeypatch):
    recipe = make_recipe(6, 5)
    whole = fit(some_tracks, recipe)
    path = tmp_path / "fit.safetensors"
    pieces = None
    monkeypatch.setattr("spt_explain.training.loop.time", Ticks())
    for _ in range(200):
        pieces = fit(some_tracks, recipe, checkpoint=path, resume=True, stop_after_s=12)
        if pieces is not None:
            break
    assert pieces is not None
    steps = whole.steps(some_tracks.positions, some_tracks.offsets)
    np.testing.assert_allclose(whole.outputs(steps), pieces.outputs(steps), atol=1e-5)
    np.testing.assert_allclose(
        whole.maps(steps).contribution, pieces.maps(steps).contribution, atol=1e-5
    )


def test_refuses_a_checkpoint_of_other_tracks(
    some_tracks, make_planted, make_recipe, tmp_path, unchecked
):
    path = tmp_path / "fit.safetensors"
    fit(some_tracks, make_recipe(), checkpoint=path, stop_after_s=0)
    with pytest.raises(SptError, match="another recipe or other tracks"):
        fit(make_planted(60, 24, 4)[0], make_recipe(), checkpoint=path, resume=True)


def test_holds_out_whole_tracks_and_files(some_tracks, make_recipe):
    from dataclasses import replace

    pieces = tuple(f"track {i // 3}" for i in range(60))
    run = TrackRun(replace(some_tracks, groups=pieces), make_recipe())
    train = {pieces[i] for i in run.split.train}
    assert not train & {pieces[i] for i in run.split.validation}
    files = tuple(f"{i % 4}.csv" for i in range(60))
    run = TrackRun(replace(some_tracks, groups=files, files=4), make_recipe())
    assert len(run.split.validation) == 15
    with pytest.raises(SptError, match="expected at least 10"):
        TrackRun(replace(some_tracks, groups=("track 1",) * 60), make_recipe())


def test_categories(some_tracks, make_recipe, unchecked):
    from dataclasses import replace

    values = np.where(some_tracks.numbers() > 0.5, "run", "plain").astype(object)
    model = fit(replace(some_tracks, values=values, names=("state",)), make_recipe())
    assert model.signal.categories == ("plain", "run")
    assert 0 <= model.fitted.accuracy <= 1
    steps = model.steps(some_tracks.positions, some_tracks.offsets)
    np.testing.assert_allclose(model.predict(steps).sum(1), 1, rtol=1e-5)
