import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from spt_explain.resandi import quantise as rounding
from spt_explain.resandi.network import BatchNorm, ResAnDi
from spt_explain.resandi.quantise import dequantise, quantise, write_weights
from spt_explain.training.batches import batches
from spt_explain.training.conditions import Conditions
from spt_explain.training.export import recalibrate
from spt_explain.training.recipe import Recipe

N_BATCHES = 8


def _tensors(network):
    return {k: v.numpy().copy() for k, v in network.state_dict().items()}


def export(tensors, recipe, folder, n_batches):
    """What `retrain` does: round, measure the statistics of what is left, store."""
    rounded = dequantise(quantise(tensors))
    found = recalibrate(rounded, recipe, n_batches=n_batches)
    return write_weights(found, folder, recipe.name)


def _network(recipe, tensors):
    network = ResAnDi(recipe.architecture)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()}, strict=True)
    return network.eval()


def _stored(files):
    stored = {}
    for file in files:
        stored.update(load_file(file))
    return dequantise(stored)


def test_it_learns_and_anneals(tiny):
    """Of the loop; here, as one worker then trains the network for both files."""
    recipe, _, state, reports = tiny
    assert state.finished
    assert state.step == state.total == recipe.schedule.steps
    assert state.samples == state.step * recipe.batch_size
    assert 0 < state.elapsed_s < 600
    losses = [entry.loss for entry in reports]
    assert len(losses) == recipe.schedule.steps - 1  # the first step is not timed
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 0.2
    hits = [entry.accuracy for entry in reports]
    assert np.mean(hits[-20:]) > np.mean(hits[:20]) + 0.1
    errors = [entry.alpha_error for entry in reports]
    assert np.mean(errors[-20:]) < np.mean(errors[:20]) - 0.05
    rates = [entry.learning_rate for entry in reports]
    assert rates[1:] == sorted(rates[1:], reverse=True)  # one step more of the warm-up
    assert rates[-1] < 1e-3 * recipe.schedule.learning_rate
    assert [entry.step for entry in reports] == list(range(2, recipe.schedule.steps + 1))
    assert all(entry.per_second > 0 for entry in reports)
    assert reports[-1].left_s == 0


@pytest.fixture(scope="module")
def test_set(tiny):
    """A thousand trajectories that neither training nor recalibration has seen."""
    recipe, *_ = tiny
    stream = batches(recipe.model_copy(update={"seed": 4321}), Conditions(recipe.data), "cpu")
    taken = [next(stream) for _ in range(16)]
    return torch.cat([b.groups[0] for b in taken]), torch.cat([b.label for b in taken])


def _accuracy(network, test_set):
    inputs, label = test_set
    with torch.inference_mode():
        return (network(inputs)[:, :8].argmax(1) == label).float().mean().item()


@pytest.fixture
def all_rounded(monkeypatch):
    """Round every kernel, as for networks of full width, whose kernels are all large."""
    monkeypatch.setattr(rounding, "KEEP_BELOW", 64)


def test_recalibration_mends_a_network_whose_statistics_do_not_fit(
    tmp_path, tiny, test_set, all_rounded
):
    """Every feature map is moved and stretched, as rounding does, only more."""
    recipe, network, *_ = tiny
    whole = _accuracy(network, test_set)
    assert whole > 0.25  # of eight classes
    tensors = _tensors(network)
    rng = np.random.default_rng(0)
    for name, value in tensors.items():
        if name.endswith("running_mean"):
            value += rng.normal(size=value.shape) * np.sqrt(tensors[name[:-4] + "var"])
        if name.endswith("running_var"):
            value *= rng.uniform(0.2, 5, value.shape).astype(np.float32)
    distorted = _accuracy(_network(recipe, tensors), test_set)
    assert distorted < whole - 0.1
    files = export(tensors, recipe, tmp_path, n_batches=N_BATCHES)
    kinds = {v.dtype for f in files for k, v in load_file(f).items() if k.endswith("conv1.weight")}
    assert kinds == {np.dtype(np.int8)}
    stored = _stored(files)
    found = _accuracy(_network(recipe, stored), test_set)
    assert found > whole - 0.04
    assert found > distorted + 0.08
    changed = [k for k, v in stored.items() if v.ndim >= 2 and not np.array_equal(v, tensors[k])]
    assert len(changed) > 15  # it was rounded


def test_statistics_are_the_averages_over_fresh_batches(tiny):
    """Against torch's layers, in the first normalisation and one further in."""
    recipe, network, *_ = tiny
    found = recalibrate(_tensors(network), recipe, n_batches=3)
    few = recipe.data.model_copy(update={"pool_steps": 4, "reuse": 1})
    stream = batches(
        recipe.model_copy(update={"seed": recipe.seed + 1, "data": few}),
        Conditions(recipe.data),
        "cpu",
    )
    means, variances = [], []
    conv = torch.nn.functional.conv2d
    kernel = network.state_dict()["conv1.weight"]
    for _ in range(3):
        batch = next(stream).groups[0]
        maps = conv(batch[:, :, None], kernel, stride=(1, 2), padding=(0, 17))[:, :, 0]
        inside = torch.nn.functional.max_pool1d(batch[:, -1:], 2)[:, 0] > 0
        values = maps.transpose(1, 2)[inside]
        means.append(values.mean(0))
        variances.append(values.var(0, correction=0))
    mean, variance = (torch.stack(v).mean(0).numpy() for v in (means, variances))
    np.testing.assert_allclose(found["bn1.running_mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["bn1.running_var"], variance, rtol=1e-3)
    for name, value in network.state_dict().items():
        same = np.array_equal(found[name], value.numpy())
        assert same == ("running" not in name), name


def test_recalibrated_statistics_fit_their_own_trajectories(tiny, test_set):
    """In evaluation, feature maps come out of every normalisation as in training."""
    recipe, network, *_ = tiny
    mended = _network(recipe, recalibrate(_tensors(network), recipe, n_batches=N_BATCHES))
    seen = []

    def note(module, args):
        x, inside = args
        values = x[inside[:, 0] > 0]
        off = (values.mean(0) - module.running_mean) / module.running_var.sqrt()
        ratio = values.var(0) / module.running_var
        seen.append((off.abs().max().item(), ratio.log().abs().max().item()))

    for module in mended.modules():
        if isinstance(module, BatchNorm):
            module.register_forward_pre_hook(note)
    with torch.inference_mode():
        mended(test_set[0])
    assert len(seen) == 20
    assert max(off for off, _ in seen) < 0.2
    assert max(ratio for _, ratio in seen) < 0.6


def test_files_load_strictly_and_say_the_same(tmp_path, tiny, test_set, all_rounded):
    recipe, network, *_ = tiny
    files = export(_tensors(network), recipe, tmp_path, n_batches=2)
    assert [f.name for f in files] == ["tiny-00001-of-00001.safetensors"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f.name for f in files]  # no .part
    stored = _stored(files)
    expected = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert {k: v.shape for k, v in stored.items()} == expected
    again = _network(recipe, stored)
    # what was written is what was measured: the statistics belong to the rounded kernels
    once_more = recalibrate(stored, recipe, n_batches=2)
    for name, value in stored.items():
        np.testing.assert_allclose(value, once_more[name], rtol=1e-6, atol=1e-7)
    assert abs(_accuracy(again, test_set) - _accuracy(network, test_set)) < 0.05


def test_the_conditions_given_are_those_measured_on(tiny):
    """A lab's noise instead of the recipe's: the first feature maps show it."""
    recipe, network, *_ = tiny
    tensors = _tensors(network)
    calm = recalibrate(tensors, recipe, n_batches=2)
    noisy = recalibrate(
        tensors,
        recipe,
        conditions=Conditions(recipe.data, noise=torch.tensor([3.0])),
        n_batches=2,
    )
    ratio = np.log(noisy["bn1.running_var"] / calm["bn1.running_var"])
    assert np.abs(ratio).max() > 0.2


@pytest.mark.parametrize("padding", ["start", "masked"])
def test_both_paddings_and_several_lengths(tmp_path, padding):
    lengths = [64] if padding == "start" else [64, 96]
    recipe = Recipe(
        name="two",
        network={
            "width": 2, "window": lengths[-1], "lengths": lengths, "padding": padding,
            "inputs": "positions", "alpha": False,
        },
        batch=dict.fromkeys(lengths, 8),
    )  # fmt: skip
    torch.manual_seed(0)
    tensors = _tensors(ResAnDi(recipe.architecture))
    stored = _stored(export(tensors, recipe, tmp_path, n_batches=2))
    _network(recipe, stored)
    assert all(np.isfinite(v).all() for v in stored.values())
    assert all((v > 0).all() for k, v in stored.items() if k.endswith("running_var"))
