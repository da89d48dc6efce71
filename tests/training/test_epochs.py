import math
import signal
from dataclasses import replace

import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.training.augment import choose, score
from spt_explain.training.batches import Batch
from spt_explain.training.checkpoint import load_checkpoint, save_checkpoint
from spt_explain.training.dataset import shape_batch, simulated_dataset
from spt_explain.training.epochs import dataset_batches, fit
from spt_explain.training.export import recalibrate
from spt_explain.training.fitting import Kept, batch_losses
from spt_explain.training.recipe import Recipe


def recipe(alpha=False, **fixed):
    masked = {"padding": "masked", "lengths": [32, 64], "alpha": True}
    return Recipe(
        name="test",
        network={
            "inputs": "positions", "window": 64, "width": 4,
            **(masked if alpha else {"padding": "start", "lengths": [64], "alpha": False}),
        },
        data={"clean_share": 1, "gap_share": 0, "blur_share": 0, "noise_max": 0},
        batch={64: 64},
        fixed={
            "trajectories": 320, "validation": 160, "batch_size": 40, "learning_rate": 3e-3,
            "epochs": 2,
        } | fixed,
    )  # fmt: skip


class Ticks:
    """A clock that goes on by a second whenever it is looked at."""

    now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now


def same(network, other):
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    return all(a.equal(b) for a, b in pairs)


@pytest.fixture(scope="module")
def data():
    return simulated_dataset(recipe())


@pytest.fixture(scope="module")
def plain(data):
    """A run of six epochs that is not interrupted."""
    reports = []
    network, state = fit(recipe(epochs=6), device="cpu", data=data, report=reports.append)
    return network, state, reports


@pytest.fixture(scope="module")
def short(data):
    """One of two epochs, for what is compared bit by bit."""
    return fit(recipe(), device="cpu", data=data)


def test_it_learns(plain, data):
    network, state, reports = plain
    assert state.finished
    assert not network.training
    losses = [entry["loss"] for entry in state.history]
    assert losses[-1] < losses[0] - 0.2
    assert state.history[-1]["accuracy"] > 0.3  # an eighth by chance
    assert state.samples == 6 * 320
    assert state.step == state.total == 6 * 8
    ends = [report for report in reports if report.epoch == 6 and report.step == 48]
    assert ends[-1].validation_loss == state.history[-1]["validation_loss"]
    assert ends[-1].epochs == 6
    assert ends[-1].phases == 1
    assert math.isnan(reports[0].alpha_error)
    assert len(state.trained_on) == 320


def test_the_best_epoch_is_kept(plain, data):
    network, state, _ = plain
    best = state.history[state.best_epoch]
    assert best["validation_loss"] == state.best_loss
    batch = shape_batch(data.validation, torch.arange(160), network.architecture)
    with torch.no_grad():
        outputs = network(*batch.groups)
    loss = torch.nn.functional.cross_entropy(outputs, batch.label).item()
    assert loss == pytest.approx(state.best_loss, rel=1e-5)
    accuracy = (outputs.argmax(1) == batch.label).float().mean().item()
    assert accuracy == pytest.approx(state.best_accuracy)


def test_the_rate_is_halved(data):
    _, state = fit(recipe(epochs=5, halve_every=2, batch_size=160), device="cpu", data=data)
    rates = [entry["learning_rate"] for entry in state.history]
    assert rates == [3e-3, 3e-3, 1.5e-3, 1.5e-3, 0.75e-3]


def test_it_stops_early_and_goes_back_to_the_best_epoch(data):
    # nothing is an improvement of 10 but the first epoch
    _, state = fit(
        recipe(epochs=9, patience=3, delta=10.0, batch_size=160), device="cpu", data=data
    )
    assert [entry["epoch"] for entry in state.history] == [0, 1, 2, 3]
    assert state.best_epoch == 0
    assert state.best_loss == state.history[0]["validation_loss"]


def test_a_run_in_pieces_ends_with_the_same_bits(tmp_path, short, data, monkeypatch):
    network, whole = short
    monkeypatch.setattr("spt_explain.training.loop.time", Ticks())
    checkpoint = tmp_path / "c.safetensors"
    pieces, state = 0, None
    while state is None or not state.finished:
        # a few steps at a time
        again, state = fit(recipe(), device="cpu", data=data, checkpoint=checkpoint, stop_after_s=4)
        pieces += 1
    assert pieces > 3
    assert same(network, again)
    assert state.history == whole.history
    assert (state.samples, state.step) == (whole.samples, whole.step)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("when", [3, 11])
def test_an_interrupted_run_goes_on(tmp_path, short, data, when):
    """Ctrl-C within a step takes effect after it, with everything saved."""
    checkpoint = tmp_path / "c.safetensors"

    def interrupt(progress):
        if progress.step == when:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(
            recipe(), device="cpu", data=data, checkpoint=checkpoint, report=interrupt,
            report_every_s=0,
        )  # fmt: skip
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again, state = fit(recipe(), device="cpu", data=data, checkpoint=checkpoint)
    assert same(short[0], again)
    assert state.history == short[1].history


def test_an_interrupted_validation_is_done_again(tmp_path, short, data, monkeypatch):
    def interrupt(trajectories, index, architecture):
        if len(trajectories) == 160:
            signal.raise_signal(signal.SIGINT)
        return shape_batch(trajectories, index, architecture)

    monkeypatch.setattr("spt_explain.training.epochs.shape_batch", interrupt)
    monkeypatch.setattr("spt_explain.training.epochs._EVALUATED_AT_ONCE", 80)
    checkpoint = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(recipe(), device="cpu", data=data, checkpoint=checkpoint)
    monkeypatch.undo()
    again, state = fit(recipe(), device="cpu", data=data, checkpoint=checkpoint)
    assert same(short[0], again)
    assert state.history == short[1].history


def test_gradcam_trains_scores_and_trains_again(tmp_path, data, monkeypatch):
    ours = recipe(augment="gradcam", augment_by=["rotation", "noise"])
    checkpoint = tmp_path / "c.safetensors"
    reports = []
    network, state = fit(
        ours, device="cpu", data=data, checkpoint=checkpoint, report=reports.append
    )
    assert len(state.trained_on) == 320 + 8 * 24
    assert torch.bincount(state.trained_on.label).tolist() == [64] * 8
    assert [entry["phase"] for entry in state.history] == [0, 0, 1, 1]
    assert state.samples == 2 * 320 + 2 * 512
    assert {(report.phase, report.phases) for report in reports} == {(1, 2), (2, 2)}
    # in pieces, the same
    monkeypatch.setattr("spt_explain.training.loop.time", Ticks())
    again, state_again, pieces = None, None, 0
    checkpoint = tmp_path / "d.safetensors"
    while state_again is None or not state_again.finished:
        again, state_again = fit(
            ours, device="cpu", data=data, checkpoint=checkpoint, stop_after_s=10
        )
        pieces += 1
    assert pieces > 3
    assert same(network, again)
    assert state_again.history == state.history
    assert state_again.trained_on.positions.equal(state.trained_on.positions)


def test_what_is_added_is_what_the_first_network_scores_highest(tmp_path, data, monkeypatch):
    seen = {}

    def spy(network, trajectories, *, of):
        seen["scores"] = score(network, trajectories, of=of)
        seen["of"] = of
        return seen["scores"]

    monkeypatch.setattr("spt_explain.training.epochs.score", spy)
    ours = recipe(augment="gradcam", score_of="probability", epochs=1)
    checkpoint = tmp_path / "c.safetensors"
    fit(ours, device="cpu", data=data, checkpoint=checkpoint)
    kept = Kept(ours, 320)
    load_checkpoint(checkpoint, kept, torch.optim.Adam(kept.now.parameters()))
    expected = choose(data.training.label, 0.6, seed=0, scores=seen["scores"])
    assert seen["of"] == "probability"
    assert torch.nonzero(kept.chosen)[:, 0].equal(expected)


def test_random_augmentation_adds_as_many(data):
    _, state = fit(recipe(augment="random", epochs=1), device="cpu", data=data)
    assert len(state.trained_on) == 320 + 8 * 24
    assert [entry["phase"] for entry in state.history] == [0]


def test_extra_trajectories_train_the_scoring_network_only():
    ours = recipe(augment="gradcam", score_trajectories=480, epochs=1)
    _, state = fit(ours, device="cpu")
    assert state.samples == 480 + 320 + 8 * 24


def test_it_begins_with_given_parameters(plain, data):
    first = plain[0].state_dict()
    _, state = fit(recipe(epochs=1, learning_rate=1e-9), device="cpu", data=data, first=first)
    assert state.best_accuracy == pytest.approx(plain[1].best_accuracy, abs=0.15)
    _, fresh = fit(recipe(epochs=1, learning_rate=1e-9), device="cpu", data=data)
    assert fresh.history[0]["loss"] > state.history[0]["loss"]


def test_exponents_that_are_not_known_do_not_count(data):
    # NaN would spoil the parameters
    alpha = data.training.alpha.clone()
    alpha[::2] = math.nan
    some = replace(data, training=replace(data.training, alpha=alpha))
    reports = []
    network, state = fit(
        recipe(alpha=True, batch_size=80), device="cpu", data=some, report=reports.append,
        report_every_s=0,
    )  # fmt: skip
    assert math.isfinite(state.best_loss)
    assert all(0 < report.alpha_error < 2 for report in reports)
    none = replace(data, training=replace(data.training, alpha=alpha * math.nan))
    network, state = fit(recipe(alpha=True, epochs=1, batch_size=80), device="cpu", data=none)
    assert all(values.isfinite().all() for values in network.state_dict().values())


def test_minutes_end_annealed(data):
    reports = []
    _, state = fit(
        recipe(minutes=0.015, epochs=1000, patience=1), device="cpu", data=data,
        report=reports.append, report_every_s=0,
    )  # fmt: skip
    assert state.finished
    assert state.step == state.total
    rates = [report.learning_rate for report in reports]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-6
    assert state.best_epoch >= 0


def test_minutes_end_after_the_most_epochs(data):
    reports = []
    _, state = fit(
        recipe(minutes=60, epochs=3), device="cpu", data=data, report=reports.append,
        report_every_s=0,
    )  # fmt: skip
    assert state.step == state.total == 3 * 8
    assert reports[-1].learning_rate < 1e-6


def test_class_and_conditions_are_learnt_jointly(data):
    edges = {"noise_edges": (0.3, 0.8), "exposure_edges": (0.5,)}
    network = recipe().network.model_copy(update=edges)
    noisy = recipe().data.model_copy(update={"noise_max": 1.2, "clean_share": 0.3})
    ours = recipe(augment="gradcam").model_copy(update={"network": network, "data": noisy})
    data = simulated_dataset(ours)
    unknown = torch.where(torch.arange(320) < 100, torch.nan, data.training.noise)
    data = replace(data, training=replace(data.training, noise=unknown))
    found, state = fit(ours, device="cpu", data=data)
    assert found.fc.weight.shape[0] == 8 * 6
    assert state.history[-1]["loss"] < state.history[0]["loss"]
    # a loss of the classes alone: about ln 8 at first, not ln 48
    assert state.history[0]["validation_loss"] < 2.6


def test_the_loss_of_unknown_conditions_is_the_classes_own():
    edges = {"noise_edges": (0.3, 0.8), "exposure_edges": (0.5,)}
    ours = recipe().model_copy(update={"network": recipe().network.model_copy(update=edges)})
    outputs = torch.randn(10, 48)
    label, condition = torch.arange(10) % 8, torch.tensor([-1, 0, 1, 2, 3, 4, 5, -1, 0, -1])
    batch = Batch([], label, torch.ones(10), torch.ones(10), condition)
    p = outputs.softmax(1).view(10, 8, 6)
    own = p[torch.arange(10), label]
    expected = [own[i].sum() if k < 0 else own[i, k] for i, k in enumerate(condition.tolist())]
    loss, sums = batch_losses(outputs, batch, ours)
    torch.testing.assert_close(loss, -torch.stack(expected).log().mean())
    torch.testing.assert_close(sums[0].float(), -own.sum(1).log().sum())
    assert sums[1] == (p.sum(2).argmax(1) == label).sum()


def test_another_run_can_not_go_on(tmp_path, data):
    checkpoint = tmp_path / "c.safetensors"
    fit(recipe(epochs=1), device="cpu", data=data, checkpoint=checkpoint)
    with pytest.raises(SptError, match="another recipe or other data"):
        fit(recipe(epochs=1, batch_size=64), device="cpu", data=data, checkpoint=checkpoint)
    other = replace(data, training=data.training.take(torch.arange(320).flip(0)))
    with pytest.raises(SptError, match="another recipe or other data"):
        fit(recipe(epochs=1), device="cpu", data=other, checkpoint=checkpoint)
    # more epochs are more of the same
    _, state = fit(recipe(epochs=2), device="cpu", data=data, checkpoint=checkpoint)
    assert len(state.history) == 2
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(SptError, match="damaged"):
        fit(recipe(epochs=2), device="cpu", data=data, checkpoint=checkpoint)
    kept = Kept(recipe(), 320)
    save_checkpoint(checkpoint, kept, torch.optim.Adam(kept.now.parameters()), {"steps": 1})
    with pytest.raises(SptError, match="damaged"):
        fit(recipe(epochs=2), device="cpu", data=data, checkpoint=checkpoint)


def test_rounded_weights_are_measured_on_the_training_set(plain, data):
    """The statistics come back without those that the training left."""
    trained = {k: v.numpy() for k, v in plain[0].state_dict().items()}
    spoilt = {k: v * 0 + 1 if "running" in k else v for k, v in trained.items()}
    found = recalibrate(
        spoilt, recipe(), n_batches=4, batches_from=lambda: dataset_batches(recipe(), data, "cpu")
    )
    for name, values in found.items():
        if "running_var" in name:
            ratio = values / trained[name]
            assert 0.3 < ratio.mean() < 3
            assert abs(ratio - 1).mean() < abs(1 / trained[name] - 1).mean()
        elif "running" not in name:
            assert (values == trained[name]).all()


def test_a_training_that_diverges_is_said(data):
    with pytest.raises(SptError, match="diverged"):
        fit(recipe(epochs=1, learning_rate=1e30), device="cpu", data=data)


def test_a_recipe_without_a_fixed_set():
    with pytest.raises(ValueError, match="no fixed data set"):
        fit(recipe().model_copy(update={"fixed": None}), device="cpu")
