import itertools

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from spt_explain.diffusion.classes import CLASS_NAMES, CLASSES
from spt_explain.resandi.architecture import Architecture
from spt_explain.training.batches import (
    batches,
    build_inputs,
    condition_index,
    seeded,
    simulate_pool,
)
from spt_explain.training.conditions import Conditions
from spt_explain.training.recipe import Recipe

RECIPE = Recipe(
    name="test",
    network={"width": 8, "window": 120, "lengths": [64, 128]},
    data={"pool_steps": 4, "reuse": 2},
    batch={64: 16, 96: 8, 128: 24},
)
BM = CLASS_NAMES.index("BM")


def _stream(recipe=RECIPE, **keys):
    return batches(recipe, Conditions(recipe.data), "cpu", **keys)


def _take(n, stream):
    return list(itertools.islice(stream, n))


def _same(a, b):
    return (
        all(torch.equal(x, y) for x, y in zip(a.groups, b.groups, strict=True))
        and torch.equal(a.label, b.label)
        and torch.equal(a.alpha, b.alpha)
        and torch.equal(a.length, b.length)
        and torch.equal(a.condition, b.condition)
    )


def _lengths(inputs):
    return inputs[:, -1].sum(1).long()


def test_a_pool_has_as_many_of_each_class_and_none_without_motion():
    length = torch.randint(3, 40, (1600,), generator=torch.Generator().manual_seed(1))
    pool = simulate_pool(1600, length, 64, 0.3, seeded("cpu", 0))
    assert pool.steps.shape == (1600, 63, 2)
    assert torch.bincount(pool.label).tolist() == [200] * 8
    assert torch.equal(pool.length, length)
    for steps, n in zip(pool.steps, pool.length, strict=True):
        assert steps[: n - 1].abs().sum() > 0
    for index, kind in enumerate(CLASSES):
        alpha = pool.alpha[pool.label == index]
        assert alpha.min() >= kind.alpha_low
        assert alpha.max() <= kind.alpha_high
        assert alpha.std() > 0 or index == BM


@pytest.mark.parametrize(
    ("share", "exposures", "expected"),
    [
        (0.0, None, 1.0),
        (1.0, None, 1 - 0.5 / 3),  # uniform in 0…1: half on average
        (0.5, [0.6], 1 - 0.5 * 0.6 / 3),
        (1.0, [0.0, 0.9], 1 - 0.45 / 3),
    ],
)
def test_blur_is_for_its_share_with_the_exposures_given(share, exposures, expected):
    n = 8 * 3000
    given = None if exposures is None else torch.tensor(exposures)
    pool = simulate_pool(n, torch.full((n,), 20), 20, share, seeded("cpu", 1), given)
    # blur lowers the variance of a Brownian displacement by a third of the exposure
    variance = (pool.steps[pool.label == BM] ** 2).mean().item()
    assert variance == pytest.approx(expected, abs=0.012)


def test_batches_have_the_groups_of_the_recipe():
    for batch in _take(16, _stream()):
        assert [g.shape for g in batch.groups] == [(16, 5, 64), (8, 5, 96), (24, 5, 128)]
        assert batch.label.shape == batch.alpha.shape == (48,)
        assert torch.equal(batch.length, torch.cat([_lengths(g) for g in batch.groups]))
        assert not batch.condition.any()
        for group, low, high in zip(batch.groups, (10, 65, 97), (64, 96, 120), strict=True):
            assert torch.isfinite(group).all()
            found = _lengths(group)
            assert found.min() >= low
            assert found.max() <= high


def test_every_trajectory_of_a_pool_is_used_as_often_as_said():
    """A pool of four steps, used twice: 16 of each class in every use of the largest group."""
    for use in range(2):
        taken = _take(8, _stream())[4 * use : 4 * use + 4]
        label = torch.cat([b.label for b in taken])
        assert torch.bincount(label, minlength=8).tolist() == [4 * 48 // 8] * 8
    first, second = (torch.cat([b.alpha for b in part]) for part in _halves(_take(8, _stream())))
    assert torch.equal(first.sort().values, second.sort().values)
    assert not torch.equal(first, second)
    later = torch.cat([b.alpha for b in _take(4, _stream(start=8))])
    assert not set(later[later != 1].tolist()) & set(first.tolist())


def _halves(items):
    return items[: len(items) // 2], items[len(items) // 2 :]


def test_labels_and_exponents_belong_to_the_trajectories():
    """Without noise, a Lévy walk's steps are of one length and a resting walk's are zero."""
    recipe = Recipe(
        name="t",
        network={"width": 8, "window": 64, "lengths": [64]},
        data={
            "clean_share": 1, "gap_share": 0, "blur_share": 0, "anisotropy_share": 0,
            "pool_steps": 2, "min_points": 60,
        },
        batch={64: 400},
    )  # fmt: skip
    for batch in _take(3, _stream(recipe)):
        steps = batch.groups[0][:, 2:4]
        inside = batch.groups[0][:, 4:] > 0
        still = ((steps.abs().sum(1) == 0) & inside[:, 0]).float().sum(1) / 60
        often = still > 0.1
        assert often[batch.label == CLASS_NAMES.index("SubCTRW")].float().mean() > 0.8
        assert not often[batch.label != CLASS_NAMES.index("SubCTRW")].any()
        assert (batch.alpha[batch.label == BM] == 1).all()
        # the larger the exponent of scaled Brownian motion, the later it moves
        for name in ("SubSBM", "SupSBM"):
            rows = batch.label == CLASS_NAMES.index(name)
            late = (steps[rows][..., -20:] ** 2).mean((1, 2)).log()
            faster = np.corrcoef(late, batch.alpha[rows])[0, 1]
            assert faster > 0.3, name


def test_the_level_of_noise_and_exposure_is_told():
    recipe = Recipe(
        name="t",
        network={
            "width": 8, "window": 64, "lengths": [64],
            "noise_edges": [0.2, 0.6], "exposure_edges": [0.1],
        },
        data={
            "min_points": 60, "pool_steps": 1, "clean_share": 0.5, "blur_share": 0.5,
            "anisotropy_share": 0, "gap_share": 0,
        },
        batch={64: 2400},
    )  # fmt: skip
    batch = next(_stream(recipe))
    counts = torch.bincount(batch.condition, minlength=6) / 2400
    # noise: half none, else uniform up to 1.2; exposure: half none, else uniform up to 1
    noise = torch.tensor([0.5 + 0.5 / 6, 0.5 / 3, 0.5 / 2])
    expected = noise[:, None] * torch.tensor([0.55, 0.45])
    np.testing.assert_allclose(counts, expected.flatten(), atol=0.035)
    # Brownian motion shows them: noise makes displacements turn back, blur makes them go on
    steps = batch.groups[0][:, 2:4]
    product = (steps[..., 2:] * steps[..., 1:-1]).mean((1, 2))
    mean = [product[(batch.label == BM) & (batch.condition == i)].mean() for i in range(6)]
    assert mean[0] > mean[2] > mean[4]
    assert mean[1] > mean[0]
    assert mean[3] > mean[2]


@pytest.mark.parametrize(("noise", "exposure", "expected"), [
    (0.0, 0.0, 0), (0.0, 0.9, 1), (0.3, 0.0, 2), (0.3, 0.9, 3), (0.6, 0.0, 4), (9.0, 1.0, 5),
])  # fmt: skip
def test_conditions_are_numbered_with_the_exposures_running_fastest(noise, exposure, expected):
    architecture = Architecture(noise_edges=(0.2, 0.5), exposure_edges=(0.1,))
    found = condition_index(architecture, torch.tensor([noise]), torch.tensor([exposure]))
    assert found.tolist() == [expected]
    middle = [values[expected] for values in architecture.condition_values()]
    again = condition_index(architecture, *(torch.tensor([v]) for v in middle))
    assert again.tolist() == [expected] or noise > 0.5  # the highest noise is told as its edge
    # without edges there is one condition
    alone = condition_index(Architecture(), torch.tensor([noise]), torch.tensor([exposure]))
    assert alone.tolist() == [0]


def test_a_stream_can_be_taken_up_at_any_step():
    """Pools of 4 steps used twice: step 19 is in the second use of the third pool."""
    whole = _take(26, _stream())
    for start in (0, 1, 4, 7, 8, 19):
        for a, b in zip(whole[start:], _stream(start=start), strict=False):
            assert _same(a, b)


def test_seeds_processes_and_steps_have_their_own_trajectories():
    other = RECIPE.model_copy(update={"seed": RECIPE.seed + 1})
    streams = [_stream(), _stream(process=1), _stream(other)]
    for batches_ in zip(*(_take(9, s) for s in streams), strict=True):
        for a, b in itertools.combinations(batches_, 2):
            assert not torch.equal(a.groups[0], b.groups[0])
    alphas = [
        set(torch.cat([b.alpha for b in _take(4, s)]).tolist()) - {1.0}
        for s in (_stream(), _stream(process=1))
    ]
    assert not alphas[0] & alphas[1]
    # the second use turns and disturbs anew: no input comes twice
    inputs = torch.cat([b.groups[2] for b in _take(8, _stream())])
    assert len(torch.unique(inputs[:, 2].sum(1))) == len(inputs) == 192


def test_seeded_generators_follow_from_what_they_are_given():
    def draw(*parts):
        return torch.rand(1, generator=seeded("cpu", *parts)).item()

    assert draw(1, "a") == draw(1, "a")
    assert len({draw(1, "a"), draw(2, "a"), draw(1, "b"), draw(1, "a", 0), draw("1:a", 0, 0)}) == 5


@pytest.mark.parametrize("name", ["noise", "gaps", "uneven"])
def test_noise_and_gaps_reach_the_inputs(name):
    """What a batch holds, against the same recipe without it: Brownian motion shows each."""
    calm = {
        "clean_share": 1, "gap_share": 0, "blur_share": 0, "anisotropy_share": 0, "min_points": 60
    }  # fmt: skip
    changed = {
        "noise": {"clean_share": 0, "noise_max": 2},
        "gaps": {"gap_share": 1, "gap_max": 0.5},
        "uneven": {"clean_share": 0, "noise_max": 3, "anisotropy_share": 1, "anisotropy_max": 99},
    }[name]
    before = {**calm, "clean_share": 0, "noise_max": 3} if name == "uneven" else calm

    def measured(data):
        recipe = Recipe(
            name="t", network={"width": 8, "window": 64, "lengths": [64]},
            data={**data, "pool_steps": 1}, batch={64: 2400},
        )  # fmt: skip
        batch = next(_stream(recipe))
        steps = batch.groups[0][batch.label == BM, 2:4, 10:]
        product = (steps[..., 1:] * steps[..., :-1]).mean(2)  # −: noise, +: gaps
        return product[:, 0] - product[:, 1] if name == "uneven" else product.flatten()

    assert ks_2samp(measured(before), measured(calm | changed)).pvalue < 1e-3


@pytest.mark.parametrize("padding", ["start", "masked"])
def test_inputs_ignore_what_lies_beyond_the_length(padding):
    generator = torch.Generator().manual_seed(0)
    path = torch.randn(10, 50, 2, generator=generator).cumsum(1)
    length = torch.arange(2, 50, 5)
    other = path.clone()
    for i, n in enumerate(length.tolist()):
        other[i, n:] = 99
    args = (length, "positions+displacements", padding, 64)
    assert torch.equal(build_inputs(path, *args), build_inputs(other, *args))


def test_lengths_whose_margin_is_cut_off_are_in_the_next_group_too():
    network = {"width": 4, "margin": 64, "lengths": (64, 128, 256), "window": 200}
    recipe = Recipe(name="test", network=network, batch={64: 256, 128: 256, 256: 256})
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"pool_steps": 4})})
    batch = next(batches(recipe, Conditions(recipe.data), "cpu"))
    ranges = [(part.min().item(), part.max().item()) for part in batch.length.split(256)]
    wanted = [(10, 64), (10, 128), (65, 200)]
    for (low, high), (least, most) in zip(ranges, wanted, strict=True):
        assert least <= low <= least + 3
        assert most - 3 <= high <= most
