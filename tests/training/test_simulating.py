import math
import signal

import numpy as np
import pytest
import torch
from scipy import integrate, optimize
from sklearn.metrics import mean_pinball_loss

from spt_explain.errors import SptError
from spt_explain.resandi.architecture import alpha_quantiles
from spt_explain.resandi.network import ResAnDi
from spt_explain.training import loop
from spt_explain.training.batches import batches
from spt_explain.training.checkpoint import load_checkpoint
from spt_explain.training.conditions import Conditions
from spt_explain.training.loop import State
from spt_explain.training.recipe import Recipe
from spt_explain.training.simulating import learning_rate, make_optimizer, pinball, train

STEPS = 9
SHORT = Recipe(
    name="short",
    network={"width": 4, "window": 96, "lengths": [64, 96]},
    data={"pool_steps": 3, "reuse": 2},
    schedule={"steps": STEPS, "learning_rate": 5e-3},
    batch={64: 8, 96: 8},
)
MINUTES = SHORT.model_copy(
    update={"schedule": SHORT.schedule.model_copy(update={"steps": None, "minutes": 0.01})}
)
LEVELS = (0.05, 0.5, 0.95)


class KilledError(Exception):
    """What stands for a power cut: nothing is done about it."""


def _report_at(step, action):
    def report(progress):
        if progress.step == step:
            action()

    return report


def _kill():
    raise KilledError


def _interrupt():
    signal.raise_signal(signal.SIGINT)


def _same(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    assert ours.keys() == theirs.keys()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.fixture(scope="module")
def uninterrupted():
    network, state = train(SHORT, device="cpu")
    return network, state


# --- what a run is


def test_without_alpha_there_is_no_error_of_alpha():
    recipe = Recipe(
        name="t",
        network={"width": 2, "window": 64, "lengths": [64], "alpha": False, "padding": "start"},
        data={"pool_steps": 1},
        schedule={"steps": 2},
        batch={64: 8},
    )
    reports = []
    network, _ = train(recipe, device="cpu", report=reports.append, report_every_s=0)
    assert math.isnan(reports[0].alpha_error)
    assert network(torch.zeros(1, 4, 64)).shape == (1, 8)


def test_the_same_seed_gives_the_same_network_and_another_seed_another(uninterrupted):
    again, _ = train(SHORT, device="cpu")
    assert _same(again, uninterrupted[0])
    other, _ = train(SHORT.model_copy(update={"seed": 5}), device="cpu", stop_after_s=0)
    first, _ = train(SHORT, device="cpu", stop_after_s=0)
    assert not _same(other, first)


def test_it_begins_with_given_parameters(uninterrupted):
    network, _ = uninterrupted
    once = SHORT.model_copy(update={"schedule": SHORT.schedule.model_copy(update={"steps": 1})})
    first = {k: v.clone() for k, v in network.state_dict().items()}
    found, _ = train(once, device="cpu", first=first)
    for name, p in network.named_parameters():
        # one step of the warm-up: a hundredth of the rate, and what AdamW lets decay meanwhile
        moved = (found.state_dict()[name] - p).abs().max().item()
        assert 0 < moved <= 0.011 * SHORT.schedule.learning_rate
    assert not network.training


# --- stopped and taken up again


@pytest.mark.parametrize("kill_at", [2, 5, STEPS])
def test_a_killed_run_ends_with_the_same_bits(tmp_path, uninterrupted, kill_at):
    """Pools last 3 steps and are used twice: killed in the first use, the second, the next pool."""
    path = tmp_path / "c.safetensors"
    with pytest.raises(KilledError):
        train(
            SHORT, device="cpu", checkpoint=path, report=_report_at(kill_at, _kill),
            report_every_s=0, save_every_s=0,
        )  # fmt: skip
    assert path.exists() == (kill_at > 2)  # what was saved last is a step behind
    network, state = train(SHORT, device="cpu", checkpoint=path)
    assert _same(network, uninterrupted[0])
    assert (state.step, state.samples) == (STEPS, STEPS * 16)
    assert state.finished


def test_a_run_in_many_pieces_ends_with_the_same_bits(tmp_path, uninterrupted):
    path = tmp_path / "c.safetensors"
    steps, elapsed = [], 0.0
    while True:
        network, state = train(SHORT, device="cpu", checkpoint=path, stop_after_s=0)
        steps.append(state.step)
        assert state.elapsed_s >= elapsed
        elapsed = state.elapsed_s
        if state.finished:
            break
    assert steps == [2, 4, 6, 8, 9]
    assert _same(network, uninterrupted[0])


@pytest.mark.parametrize("where", ["report", "clip", "optimizer", "batch"])
def test_ctrl_c_writes_a_whole_checkpoint(tmp_path, monkeypatch, uninterrupted, where):
    """Wherever in a step it comes: what is saved is what a step left."""
    path = tmp_path / "c.safetensors"
    count = 0

    def interrupting(function, after):
        def wrapped(*args, **kwargs):
            nonlocal count
            count += 1
            if count == 6 and not after:
                _interrupt()
            out = function(*args, **kwargs)
            if count == 6 and after:
                _interrupt()
            return out

        return wrapped

    keys = {}
    if where == "report":
        keys = {"report": _report_at(6, _interrupt), "report_every_s": 0}
    elif where == "clip":
        target, name = torch.nn.utils, "clip_grad_norm_"
        monkeypatch.setattr(target, name, interrupting(torch.nn.utils.clip_grad_norm_, False))
    elif where == "optimizer":  # its step is done, and not counted yet
        monkeypatch.setattr(torch.optim.AdamW, "step", interrupting(torch.optim.AdamW.step, True))
    else:
        from spt_explain.training import batches as module

        monkeypatch.setattr(module, "_batch", interrupting(module._batch, True))
    with pytest.raises(KeyboardInterrupt):
        train(SHORT, device="cpu", checkpoint=path, **keys)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    monkeypatch.undo()
    network = ResAnDi(SHORT.architecture)
    state = load_checkpoint(path, network, make_optimizer(SHORT, network, fused=False))
    assert state["step"] == 6
    assert not state["finished"]
    network, _ = train(SHORT, device="cpu", checkpoint=path)
    assert _same(network, uninterrupted[0])


def test_ctrl_c_in_the_last_step_is_obeyed_too(tmp_path, uninterrupted):
    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(
            SHORT, device="cpu", checkpoint=path, report=_report_at(STEPS, _interrupt),
            report_every_s=0,
        )  # fmt: skip
    network, state = train(SHORT, device="cpu", checkpoint=path)
    assert state.finished
    assert _same(network, uninterrupted[0])


def test_ctrl_c_twice_leaves_at_once(tmp_path):
    path = tmp_path / "c.safetensors"

    def twice():
        _interrupt()
        _interrupt()
        raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt):
        train(
            SHORT, device="cpu", checkpoint=path, report=_report_at(4, twice), report_every_s=0,
            save_every_s=0,
        )  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_minutes_become_steps_and_nothing_depends_on_the_clock_then(tmp_path, monkeypatch):
    """KilledError twice after the number of steps was fixed, against a run that was not."""
    path, copy = tmp_path / "c.safetensors", tmp_path / "copy.safetensors"
    plain, fixed = loop.save_checkpoint, []

    def noting(path, network, optimizer, state):
        plain(path, network, optimizer, state)
        if state["total"] and not fixed:
            fixed.append(dict(state))
            copy.write_bytes(path.read_bytes())

    monkeypatch.setattr(loop, "save_checkpoint", noting)
    expected, state = train(MINUTES, device="cpu", checkpoint=path)
    assert fixed, "the number of steps was never written"
    total = state.total
    assert state.step == total == fixed[0]["total"] > fixed[0]["step"] > 0
    assert state.finished
    middle = (fixed[0]["step"] + total) // 2
    if middle - fixed[0]["step"] > 2:
        with pytest.raises(KilledError):
            train(
                MINUTES, device="cpu", checkpoint=copy, report=_report_at(middle, _kill),
                report_every_s=0, save_every_s=0,
            )  # fmt: skip
    _, stopped = train(MINUTES, device="cpu", checkpoint=copy, stop_after_s=0)
    assert stopped.total == total
    network, state = train(MINUTES, device="cpu", checkpoint=copy)
    assert state.total == total
    assert _same(network, expected)


def test_minutes_are_kept_to(monkeypatch):
    """By a clock on which each look takes a second: 60 steps in a minute."""
    ticks = iter(range(10_000))

    class Clock:
        @staticmethod
        def monotonic():
            return float(next(ticks))

    monkeypatch.setattr(loop, "time", Clock)
    schedule = SHORT.schedule.model_copy(update={"steps": None, "minutes": 0.5})
    small = Recipe(
        name="t",
        network={"width": 2, "window": 64, "lengths": [64]},
        data={"pool_steps": 8},
        schedule=schedule.model_dump(),
        batch={64: 8},
    )
    reports = []
    _, state = train(small, device="cpu", report=reports.append, report_every_s=-math.inf)
    assert state.finished
    # one look a step: after 2 of 30 seconds there were 2 steps, so 30 (and the first) in all
    assert state.total == pytest.approx(30, abs=2)
    assert state.elapsed_s == pytest.approx(30, abs=3)
    assert reports[0].total == 0
    assert reports[0].left_s == pytest.approx(29, abs=1)
    assert reports[-1].learning_rate < 0.02 * small.schedule.learning_rate


def test_the_network_returned_is_the_one_in_the_checkpoint(tmp_path, uninterrupted):
    path = tmp_path / "c.safetensors"
    network, _ = train(SHORT, device="cpu", checkpoint=path)
    again, state = train(SHORT, device="cpu", checkpoint=path)
    assert state.finished
    assert state.step == STEPS
    assert not network.training
    assert not again.training
    assert _same(again, network)


def test_a_checkpoint_that_can_not_be_used_is_one_line(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(SptError, match="damaged") as caught:
        train(SHORT, device="cpu", checkpoint=path)
    assert len(str(caught.value).splitlines()) == 1
    network = ResAnDi(SHORT.architecture)
    optimizer = make_optimizer(SHORT, network, fused=False)
    for change in ({"stride": 4}, {"step": "one"}, {"step": -3}, {"total": None}, {"step": 2.5}):
        loop.save_checkpoint(path, network, optimizer, vars(State()) | change)
        with pytest.raises(SptError, match="damaged") as caught:
            train(SHORT, device="cpu", checkpoint=path)
        assert len(str(caught.value).splitlines()) == 1


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    train(SHORT, device="cpu", checkpoint=path, stop_after_s=0)
    with pytest.raises(SptError, match="another recipe") as caught:
        train(SHORT.model_copy(update={"seed": 5}), device="cpu", checkpoint=path)
    assert (caught.value.code, caught.value.option) == ("conflict", "resume")


# --- schedule, optimiser, loss


def test_the_rate_rises_and_falls_to_nothing():
    recipe = SHORT.model_copy(
        update={"schedule": SHORT.schedule.model_copy(update={"warmup_share": 0.1})}
    )
    peak = recipe.schedule.learning_rate
    shares = np.linspace(0, 1, 1001)
    rates = np.array([learning_rate(share, recipe) for share in shares])
    assert rates[0] == pytest.approx(peak * 0.01)
    assert rates[50] == pytest.approx(peak / 2)
    assert rates.max() == rates[100] == pytest.approx(peak)
    assert (np.diff(rates[:101]) >= 0).all()
    assert (np.diff(rates[100:]) <= 0).all()
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert rates[550] == pytest.approx(peak / 2)  # half of the cosine
    assert learning_rate(1.2, recipe) == rates[-1]  # the clock may run over
    # a cosine from peak to 0 is half the peak on average
    mean, _ = integrate.quad(lambda s: learning_rate(s, recipe), 0.1, 1)
    assert mean == pytest.approx(0.45 * peak, rel=1e-6)


def test_without_a_warm_up_it_begins_at_the_peak():
    recipe = SHORT.model_copy(
        update={"schedule": SHORT.schedule.model_copy(update={"warmup_share": 0})}
    )
    assert learning_rate(0, recipe) == recipe.schedule.learning_rate


def test_only_kernels_decay():
    network = ResAnDi(SHORT.architecture)
    decaying, plain = make_optimizer(SHORT, network, fused=False).param_groups
    assert decaying["weight_decay"] == SHORT.schedule.weight_decay
    assert plain["weight_decay"] == 0
    names = {id(p): name for name, p in network.named_parameters()}
    assert {names[id(p)] for p in decaying["params"]} == {
        name for name in names.values()
        if name.endswith("weight") and any(x in name for x in ("conv", "downsample.0", "fc"))
    }  # fmt: skip
    assert len(decaying["params"]) + len(plain["params"]) == len(names)


def test_pinball_loss_is_that_of_sklearn():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(500, 3)) - 1
    alpha = rng.uniform(0.05, 1.95, 500)
    found = pinball(torch.from_numpy(raw), torch.from_numpy(alpha), LEVELS).item()
    # quantiles within 0…2 are what predictions are made of, by the same formula
    quantiles = alpha_quantiles(raw)
    inside = ((quantiles > 0) & (quantiles < 2)).all(axis=1)
    assert inside.sum() > 100
    found = pinball(torch.from_numpy(raw[inside]), torch.from_numpy(alpha[inside]), LEVELS).item()
    expected = sum(
        mean_pinball_loss(alpha[inside], quantiles[inside, i], alpha=level)
        for i, level in enumerate(LEVELS)
    )
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_least_pinball_loss_is_at_the_quantiles():
    alpha = torch.from_numpy(np.random.default_rng(1).beta(2, 3, 2000) * 1.2 + 0.3)

    def loss(raw):
        one = torch.from_numpy(np.asarray(raw))[None].expand(len(alpha), 3)
        return pinball(one, alpha, LEVELS).item()

    found = optimize.minimize(loss, [0.0, 0.0, 0.0], method="Nelder-Mead", tol=1e-7).x
    low, median, high = alpha_quantiles(found[None])[0]
    expected = np.quantile(alpha.numpy(), LEVELS)
    np.testing.assert_allclose([low, median, high], expected, atol=0.01)


@pytest.mark.parametrize("edges", [{}, {"noise_edges": [0.3], "exposure_edges": [0.5]}])
def test_a_step_descends_the_cross_entropy_and_the_pinball_loss(edges):
    """One step from known parameters: the gradient in the optimiser's first moments."""
    recipe = Recipe(
        name="t",
        network={"width": 4, "window": 96, "lengths": [64, 96], **edges},
        data={"pool_steps": 1, "blur_share": 0.5},
        schedule={"steps": 1, "clip_norm": 1e9},
        batch={64: 16, 96: 16},
    )
    torch.manual_seed(recipe.seed)
    network = ResAnDi(recipe.architecture).train()
    batch = next(batches(recipe, Conditions(recipe.data), "cpu"))
    out = network(*batch.groups)
    conditions = 4 if edges else 1
    joint = torch.log_softmax(out[:, : 8 * conditions], 1).view(32, 8, conditions)
    own = joint[torch.arange(32), batch.label, batch.condition]
    assert len(batch.condition.unique()) == conditions
    softplus = torch.nn.functional.softplus
    raw = out[:, 8 * conditions :]
    median = raw[:, 1] + 1
    quantiles = (median - softplus(raw[:, 0]), median, median + softplus(raw[:, 2]))
    loss = -own.mean()
    for level, q in zip(LEVELS, quantiles, strict=True):
        missed = batch.alpha - q
        worth = torch.where(missed > 0, level * missed, (level - 1) * missed)
        loss = loss + recipe.schedule.alpha_weight * worth.mean()
    loss.backward()
    seen = []
    plain = torch.optim.AdamW.step

    def noting(self, *args):
        out = plain(self, *args)
        parameters = [p for group in self.param_groups for p in group["params"]]
        seen.append([self.state[p]["exp_avg"].clone() for p in parameters])
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", noting)
        train(recipe, device="cpu")
    optimizer = make_optimizer(recipe, network, fused=False)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for p, moment in zip(parameters, seen[0], strict=True):
        torch.testing.assert_close(moment, 0.1 * p.grad, rtol=1e-3, atol=1e-6)


def test_gradients_are_clipped():
    clip = 1e-3
    recipe = SHORT.model_copy(
        update={"schedule": SHORT.schedule.model_copy(update={"steps": 2, "clip_norm": clip})}
    )
    norms = []
    plain = torch.optim.AdamW.step

    def noting(self, *args):
        grads = [p.grad for g in self.param_groups for p in g["params"]]
        norms.append(torch.linalg.vector_norm(torch.cat([g.flatten() for g in grads])).item())
        return plain(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", noting)
        train(recipe, device="cpu")
    np.testing.assert_allclose(norms, clip, rtol=1e-3)
