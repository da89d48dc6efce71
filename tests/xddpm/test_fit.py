import math
import signal

import numpy as np
import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.xddpm.fit import fit
from spt_explain.xddpm.recipe import RelevanceRecipe
from spt_explain.xddpm.split import split

SIZE = 16


def recipe(regressor=None, mask=None, schedule=None, data=None, **more):
    """Return a recipe small enough for a test."""
    return RelevanceRecipe(
        data=data or {},
        regressor={"width": 4, "min_r2": 0.0} | (regressor or {}),
        mask={"width": 4} | (mask or {}),
        schedule={"regressor_steps": 4, "mask_steps": 4, "batch": 4} | (schedule or {}),
        **({"seed": 3} | more),
    )


def discs(count, frames=2, seed=1):
    """Return clips with two discs, the left one's area in each frame, and its pixels.

    The right disc is as bright, its area varies as much and carries nothing.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    clips = np.zeros((count, frames, SIZE, SIZE), np.float32)
    truth = np.zeros(clips.shape, bool)
    other = np.zeros(clips.shape, bool)
    for i in range(count):
        places = rng.uniform((4, 3.5), (12, 4.5), (2, 2))
        places[1, 1] += 8
        radii = rng.uniform(1.2, 3.6, (2, 1)) + rng.uniform(-0.3, 0.3, (2, frames))
        for t in range(frames):
            truth[i, t] = np.hypot(y - places[0, 0], x - places[0, 1]) <= radii[0, t]
            other[i, t] = np.hypot(y - places[1, 0], x - places[1, 1]) <= radii[1, t]
    clips += truth | other
    clips = 100 + 50 * (clips + rng.normal(0, 0.1, clips.shape))
    return clips.astype(np.float32), truth.sum((2, 3)), truth, other & ~truth


def movies(count, each=4):
    return [f"movie {i // each}" for i in range(count)]


@pytest.fixture(scope="module")
def small():
    clips, areas, _, _ = discs(20)
    return clips, areas


def _same(a, b):
    for one, other in ((a.regressor, b.regressor), (a.masker, b.masker)):
        ours, theirs = one.state_dict(), other.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.fixture
def lenient(monkeypatch):
    """A regressor that was given four steps predicts nothing; most tests are not about that."""
    monkeypatch.setattr("spt_explain.xddpm.run.Run._insist_on_prediction", lambda _: None)
    monkeypatch.setattr("spt_explain.xddpm.staged._LEAST_STEPS", 3)


@pytest.fixture(scope="module")
def plain_fit(small):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spt_explain.xddpm.run.Run._insist_on_prediction", lambda _: None)
        patch.setattr("spt_explain.xddpm.staged._LEAST_STEPS", 3)
        return fit(small[0], small[1].mean(1), movies(20), recipe())


@pytest.mark.parametrize("stop", ["regressor", "control", "mask"])
def test_a_fit_that_is_stopped_and_resumed_gives_the_same(
    small, plain_fit, tmp_path, lenient, stop
):
    clips, areas = small
    path = tmp_path / "fit.safetensors"

    def interrupt(progress):
        if progress.stage == stop and progress.step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(
            clips,
            areas.mean(1),
            movies(20),
            recipe(),
            checkpoint=path,
            report=interrupt,
            report_every_s=0,
        )
    assert path.exists()
    again = fit(clips, areas.mean(1), movies(20), recipe(), checkpoint=path, resume=True)
    _same(plain_fit, again)
    assert again.fitted.curve == plain_fit.fitted.curve
    assert again.fitted.r2 == plain_fit.fitted.r2
    assert not list(tmp_path.glob("*.part"))
    # a fit that is done is given back as it is
    _same(plain_fit, fit(clips, areas.mean(1), movies(20), recipe(), checkpoint=path, resume=True))


def test_minutes_fix_the_number_of_steps(small, lenient, monkeypatch):
    clips, areas = small
    monkeypatch.setattr("spt_explain.xddpm.staged._LEAST_TIMED", 8)
    monkeypatch.setattr("spt_explain.xddpm.staged._LEAST_STEPS", 5)
    short = recipe(schedule={"regressor_steps": None, "mask_steps": None, "minutes": 0.01})
    seen = {}

    def note(progress):
        if progress.total:
            seen.setdefault(progress.stage, set()).add(progress.total)

    model = fit(clips, areas.mean(1), movies(20), short, report=note, report_every_s=0)
    assert all(len(totals) == 1 for totals in seen.values())
    assert model.fitted.regressor_steps in seen["regressor"]
    half = round(0.5 * model.fitted.regressor_steps)
    assert seen["control"] == {max(5, half)}


def test_a_checkpoint_of_other_movies_is_refused(small, tmp_path, lenient):
    clips, areas = small
    path = tmp_path / "fit.safetensors"
    assert fit(clips, areas.mean(1), movies(20), recipe(), checkpoint=path, stop_after_s=0) is None
    for other in (recipe(seed=4), recipe(mask={"price": 0.7})):
        with pytest.raises(SptError, match="another recipe or other movies"):
            fit(clips, areas.mean(1), movies(20), other, checkpoint=path, resume=True)
    with pytest.raises(SptError, match="another recipe or other movies"):
        fit(clips + 1, areas.mean(1), movies(20), recipe(), checkpoint=path, resume=True)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SptError, match="damaged"):
        fit(clips, areas.mean(1), movies(20), recipe(), checkpoint=path, resume=True)
    path.write_bytes(b"junk")
    with pytest.raises(SptError, match="damaged"):
        fit(clips, areas.mean(1), movies(20), recipe(), checkpoint=path, resume=True)


def test_a_signal_that_has_nothing_to_do_with_the_movies(small):
    clips, _ = small
    noise = np.random.default_rng(1).normal(size=len(clips))
    with pytest.raises(SptError, match=r"can't be predicted .*: R² is -?\d") as error:
        fit(clips, noise, movies(20), recipe(regressor={"min_r2": 0.1}))
    assert "shuffled" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["fixed", "iba", "paper"])
def test_every_bottleneck(small, lenient, kind):
    clips, areas = small
    model = fit(clips, areas.mean(1), movies(20), recipe(mask={"bottleneck": kind}))
    maps = model.maps(clips)
    assert np.isfinite(maps.information).all()
    assert maps.contribution.min() >= 0
    assert maps.contribution.max() <= 1


@pytest.mark.parametrize(
    ("values", "data", "columns"),
    [
        (lambda a: a, {"per": "frame"}, 2),
        (lambda a: np.stack([a, -a], 2), {"per": "frame"}, 4),
        (lambda a: np.stack([a.mean(1), a.max(1)], 1), {}, 2),
        (lambda a: np.where(a.mean(1) > 15, "large", "small"), {"kind": "category"}, 2),
        (lambda a: a > 15, {"kind": "category", "per": "frame"}, 4),
    ],
)
def test_every_kind_of_signal(small, lenient, values, data, columns):
    clips, areas = small
    model = fit(clips, values(areas), movies(20), recipe(data=data))
    assert model.predict(clips).shape == (20, columns)
    assert model.maps(clips).contribution.shape == clips.shape


@pytest.mark.parametrize(
    "mask",
    [
        {"thaw": 0.2},
        {"thaw": 1.0, "anchor": False},
        {"keep_r2": None},
        {"price": 0.0},
        {"kl": 0.0},
        {"sign": "printed"},
    ],
)
def test_ablations_are_one_line(small, lenient, mask):
    clips, areas = small
    assert fit(clips, areas.mean(1), movies(20), recipe(mask=mask)) is not None


def test_a_fit_that_diverges_says_so(small, lenient):
    clips, areas = small
    with pytest.raises(SptError, match="diverged"):
        fit(clips, areas.mean(1), movies(20), recipe(regressor={"learning_rate": 1e30}))


@pytest.mark.parametrize("augment", ["none", "masks", "both"])
def test_other_regressors(small, lenient, augment):
    clips, areas = small
    assert fit(clips, areas.mean(1), movies(20), recipe(regressor={"augment": augment}))


def test_clips_and_signals_that_don_t_fit_together(small):
    clips, areas = small
    area = areas.mean(1)
    with pytest.raises(SptError, match="19 rows of the signal"):
        fit(clips, area[:-1], movies(20), recipe())
    with pytest.raises(SptError, match="one movie"):
        fit(clips, area, ["a"] * 20, recipe())
    with pytest.raises(SptError, match="expected \\(clips, frames, height, width\\)"):
        fit(clips[0], area, movies(20), recipe())
    with pytest.raises(SptError, match="3 frames of each clip; expected 2"):
        fit(clips, np.random.rand(20, 3), movies(20), recipe(data={"per": "frame"}))  # noqa: NPY002
    broken = clips.copy()
    broken[3, 0, 0, 0] = math.nan
    with pytest.raises(SptError, match="finite"):
        fit(broken, area, movies(20), recipe())
    groups = movies(20)
    last = split(groups, 0.99, seed=3).train  # varies in the one movie that is never held out
    with pytest.raises(SptError, match="the same in all clips held out"):
        fit(clips, np.where(np.isin(np.arange(20), last), area, 5.0), groups, recipe())


def test_the_mask_finds_the_disc_that_carries_the_signal():
    """Two discs alike, the signal the area of the left one: the point of the whole thing."""
    clips, areas, _, _ = discs(160, seed=5)
    model = fit(
        clips,
        areas.mean(1),
        movies(160),
        recipe(
            regressor={"width": 6, "min_r2": 0.1},
            mask={"width": 6},
            schedule={"regressor_steps": 130, "mask_steps": 150, "batch": 16},
        ),
    )
    assert model.fitted.r2 > 0.8
    assert model.fitted.shuffled_r2 < 0.2
    assert model.fitted.mask_steps == 150
    assert 0.8 < model.fitted.kept_r2 <= model.fitted.open_r2 + 0.05
    fresh, _, truth, other = discs(60, seed=6)
    maps = model.maps(fresh)
    kept = maps.contribution >= model.threshold
    iou = (kept & truth).sum() / (kept | truth).sum()
    cells = (truth | other).sum()
    assert iou > 1.3 * truth.sum() / cells  # the floor of both discs, which brightness gives
    assert kept[other].mean() < 0.2
    assert maps.contribution[truth].mean() > 2 * maps.contribution[other].mean()
    assert maps.information[truth].mean() > 4 * maps.information[other].mean()
    assert maps.contribution[~truth & ~other].mean() < 0.2
