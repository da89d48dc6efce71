import json
import math

import numpy as np
import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.xddpm.generator.fit import fit_generator
from spt_explain.xddpm.generator.generator import Generator, Range
from spt_explain.xddpm.generator.network import Denoiser, DenoiserShape
from spt_explain.xddpm.generator.recipe import GeneratorRecipe
from spt_explain.xddpm.generator.run import GeneratorRun
from spt_explain.xddpm.generator.store import CARD
from spt_explain.xddpm.scale import Scale


def values(generator):
    return {k: v.clone() for k, v in generator.denoiser.state_dict().items()}


def drawn(run):
    return run.clips.batch(run.state.step, run.batch, run.for_mask)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("objective", ["w", "eps-mask", "plain"])
def test_a_fit_gives_what_can_be_sampled(model, clips, recipe, objective):
    seen = []
    recipe = recipe.model_copy(update={"objective": objective})
    made = fit_generator(model, clips, recipe, report=seen.append, report_every_s=0)
    assert made.trained.steps == 6
    assert [p.step for p in seen] == [1, 2, 3, 4, 5, 6]
    assert made.trained.recipe["width"] == 8
    samples = made.generate(3, seed=4)
    assert samples.w.shape == samples.masks.shape == (3, 3, 10, 10)
    assert samples.sampler == ("ddpm" if objective == "eps-mask" else "dpm-solver")
    assert samples.masks.min() >= 0
    assert samples.masks.max() <= 1
    if objective == "plain":
        assert (samples.masks == 1).all()


def test_the_loss_falls(model, recipe):
    # one clip, many times: what is held out is the same
    clip = np.random.default_rng(1).normal(100, 30, (3, 10, 10))
    clips = np.repeat(clip[None], 10, 0).astype(np.float32)
    changes = {"objective": "plain", "steps": 100, "learning_rate": 5e-3, "warmup_steps": 5}
    made = fit_generator(model, clips, recipe.model_copy(update=changes | {"ema": 0.5}))
    first, last = made.trained.history[0], made.trained.history[-1]
    assert last[2] < 0.8 * first[2]
    assert last[3] < 0.8 * first[3]


def test_the_rate_rises_stays_and_falls_to_zero(model, clips, recipe):
    changes = {"steps": 100, "warmup_steps": 9, "decay_share": 0.4, "learning_rate": 1.0}
    run = GeneratorRun(model, clips, recipe.model_copy(update=changes), "cpu", None)

    def rate(step):
        run.state.step = step
        return run._rate()

    assert [rate(i) for i in (0, 4, 9, 30, 60)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert [rate(i) for i in (70, 80, 100, 120)] == pytest.approx([0.75, 0.5, 0, 0])
    run.recipe = recipe.model_copy(update={"steps": None, "minutes": 2.0, "decay_share": 0.5})
    run.state.step, run.state.elapsed_s = 1000, 90.0
    assert run._rate() == pytest.approx(0.5 * recipe.learning_rate)
    run.recipe = recipe.model_copy(update={"steps": 300, "decay_share": 0.0})
    assert rate(300) == recipe.learning_rate


def test_an_interrupted_fit_ends_as_one_in_one_go(model, clips, recipe, tmp_path):
    recipe = recipe.model_copy(update={"decay_share": 0.0})  # the short one ends at a full rate
    whole = fit_generator(model, clips, recipe)
    checkpoint = tmp_path / "generator.checkpoint"
    part = fit_generator(model, clips, recipe, checkpoint=checkpoint, stop_after_s=0)
    assert part is None
    short = recipe.model_copy(update={"steps": 3})
    fit_generator(model, clips, short, checkpoint=checkpoint, resume=True)
    again = fit_generator(model, clips, recipe, checkpoint=checkpoint, resume=True)
    assert again.trained.steps == 6
    assert same(values(whole), values(again))
    other = fit_generator(model, clips, recipe.model_copy(update={"seed": 5}))
    assert not same(values(whole), values(other))


def test_a_checkpoint_of_other_data_is_refused(model, make_model, clips, recipe, tmp_path):
    checkpoint = tmp_path / "generator.checkpoint"
    fit_generator(model, clips, recipe, checkpoint=checkpoint)
    with pytest.raises(SptError, match="another recipe or other movies"):
        fit_generator(model, clips + 1, recipe, checkpoint=checkpoint, resume=True)
    with pytest.raises(SptError, match="another recipe or other movies"):
        fit_generator(make_model(2), clips, recipe, checkpoint=checkpoint, resume=True)
    data = checkpoint.read_bytes()
    for cut in (0, 10, len(data) // 2):
        checkpoint.write_bytes(data[:cut])
        with pytest.raises(SptError, match="damaged"):
            fit_generator(model, clips, recipe, checkpoint=checkpoint, resume=True)


def test_clips_that_do_not_fit_are_refused(model, clips, recipe):
    with pytest.raises(SptError, match="3 frames, 10 × 10 px"):
        fit_generator(model, clips[:, :2], recipe)
    with pytest.raises(SptError, match="not finite"):
        fit_generator(model, np.where(clips > 150, np.nan, clips), recipe)


def test_a_fit_by_minutes_ends(model, clips, recipe):
    made = fit_generator(model, clips, recipe.model_copy(update={"steps": None, "minutes": 1e-4}))
    assert made.trained.steps >= 1


def test_samples_do_not_depend_on_how_many_are_drawn(model, clips, recipe):
    made = fit_generator(model, clips, recipe)
    one = made.generate(3, seed=1, batch=2, sampler="ddpm")
    other = made.generate(2, seed=1, batch=64, sampler="ddpm")
    np.testing.assert_allclose(one.standard[:2], other.standard, atol=1e-4)
    assert np.abs(one.standard[0] - one.standard[1]).max() > 0.1
    assert np.abs(made.generate(2, seed=2).standard - other.standard).max() > 0.1
    np.testing.assert_allclose(one.w, one.standard * made.range.half + made.range.middle, rtol=1e-5)


def test_the_papers_samplers_are_for_the_papers_objective(model, clips, recipe):
    made = fit_generator(model, clips, recipe)
    with pytest.raises(SptError, match="eps-mask"):
        made.generate(1, sampler="paper")
    with pytest.raises(SptError, match="number of samples"):
        made.generate(0)


def test_the_averaged_parameters_follow(model, clips, recipe):
    run = GeneratorRun(model, clips, recipe, "cpu", None)
    before = [p.clone() for p in run.averaged]
    run.step()
    # the first decay is (1 + 0) / (10 + 0)
    for old, now, own in zip(before, run.averaged, run.parameters, strict=True):
        torch.testing.assert_close(now, old + 0.9 * (own.detach() - old))


def test_sides_of_any_length_and_a_frame_alone():
    network = Denoiser(DenoiserShape(1, 8, (1, 2, 2), 1))
    out = network(torch.zeros(2, 1, 9, 13), torch.tensor([0, 5]))
    assert out.shape == (2, 2, 9, 13)


def test_the_range_covers_pixels_and_reference():
    x = np.linspace(50, 150, 1001)
    found = Range.fit(x, Scale(20.0, 10.0))
    assert found.middle - found.half == pytest.approx(20)
    assert found.middle + found.half == pytest.approx(150, abs=0.2)
    np.testing.assert_allclose(found.invert(found.apply(x)), x, rtol=1e-5)
    with pytest.raises(SptError, match="alike"):
        Range.fit(np.full(9, 7.0), Scale(7.0, 1.0))


def test_a_generator_comes_back_as_it_was(model, clips, recipe, tmp_path):
    made = fit_generator(model, clips, recipe)
    made.save(tmp_path)
    again = Generator.load(tmp_path)
    assert same(values(made), values(again))
    assert again.trained == made.trained
    np.testing.assert_array_equal(made.generate(1).w, again.generate(1).w)
    with pytest.raises(SptError, match="overwrite=True"):
        made.save(tmp_path)
    fit_generator(model, clips, recipe.model_copy(update={"seed": 1})).save(
        tmp_path, overwrite=True
    )
    assert len(list(tmp_path.glob("generator-*.safetensors"))) == 1


def test_a_changed_generator_is_refused(model, clips, recipe, tmp_path):
    with pytest.raises(SptError, match="has no generator"):
        Generator.load(tmp_path)
    fit_generator(model, clips, recipe).save(tmp_path)
    (weights,) = tmp_path.glob("generator-*.safetensors")
    data, card = weights.read_bytes(), (tmp_path / CARD).read_text()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(SptError, match="SHA-256"):
        Generator.load(tmp_path)
    weights.write_bytes(data)
    for key, value in (
        ("timesteps", 3),
        ("objective", "w2"),
        ("files", {"../x.safetensors": "0"}),
        ("size", [10, -1]),
        ("shape", json.loads(card)["shape"] | {"width": 16}),
        ("range", {"middle": 0, "half": math.inf}),
        ("more", 1),
    ):
        text = json.dumps(json.loads(card) | {key: value})
        (tmp_path / CARD).write_text(text)
        with pytest.raises(SptError, match="damaged"):
            Generator.load(tmp_path)
    for cut in range(0, len(card), 97):
        (tmp_path / CARD).write_text(card[:cut])
        with pytest.raises(SptError):
            Generator.load(tmp_path)


def test_recipes_are_read_strictly(tmp_path):
    path = tmp_path / "g.toml"
    path.write_text('objective = "eps-mask"\nsteps = 3\n')
    assert GeneratorRecipe.load(path).steps == 3
    for text in ("stepps = 3", "width = 12", 'objective = "x"', "steps = [", "learning_rate = 0"):
        path.write_text(text)
        with pytest.raises(SptError, match=r"g\.toml"):
            GeneratorRecipe.load(path)
    with pytest.raises(SptError, match="not found"):
        GeneratorRecipe.load(tmp_path / "none.toml")


def test_clips_and_masks_are_turned_together(model, clips, recipe):
    """By default as in the fit of the model."""
    from dataclasses import replace

    masks = (clips - clips.min()) / np.ptp(clips)

    def of(model, **changes):
        changed = recipe.model_copy(update=changes)
        return GeneratorRun(model, clips, changed, "cpu", None, masks=masks)

    symmetric = replace(model, symmetric=True)
    assert not of(model).recipe.flips
    assert not of(symmetric, flips=False).recipe.flips
    run = of(symmetric)
    assert run.recipe.flips
    ways = set()
    for step in range(40):
        run.state.step = step
        batch = drawn(run)
        x, mask = batch.x, batch.mask
        # the same place: grey values and masks rise together
        flat, order = mask.flatten(), x.flatten().argsort()
        assert (flat[order].diff() >= -1e-3).all()
        own = run.clips.x.sum((1, 2, 3))
        first = run.clips.x[(own - x[0].sum()).abs().argmin()]
        sides = [first, first.flip(-1), first.flip(-2), first.flip(-1, -2)]
        sides += [side.transpose(-1, -2) for side in sides]
        ways |= {i for i, side in enumerate(sides) if torch.equal(side, x[0])}
    assert ways == set(range(8))


@pytest.mark.parametrize(("objective", "flips"), [("w", False), ("w", True), ("plain", False)])
def test_samples_start_where_clips_end(model, clips, recipe, objective, flips, monkeypatch):
    """About √ᾱ_T E[x_0], which is not 0."""
    import spt_explain.xddpm.generator.generator as module

    run = GeneratorRun(
        model,
        clips,
        recipe.model_copy(update={"objective": objective, "flips": flips}),
        "cpu",
        None,
    )
    run.measure()
    x = run.clips.x.numpy().astype(np.float64)
    if objective == "w":
        x = x * run.clips.mask.numpy().astype(np.float64)
    expected = x.mean(0)
    if flips:
        ways = [np.rot90(expected, i, (1, 2)) for i in range(4)]
        expected = np.mean(ways + [way[:, ::-1] for way in ways], 0)
    generator = run.generator()
    np.testing.assert_allclose(generator.mean.numpy(), expected, atol=1e-6)
    seen = []

    def caught(denoise, start, **_):
        seen.append(start)
        return start

    monkeypatch.setattr(module, "chain", caught)
    generator.generate(2, seed=4)
    generator.mean = None
    generator.generate(2, seed=4)
    last = np.prod(1 - np.linspace(1e-4, 0.02, 20)) ** 0.5
    moved = (seen[0] - seen[1]).numpy()
    np.testing.assert_allclose(moved, np.stack(2 * [last * expected]), atol=1e-5)


def test_of_the_papers_objective_they_start_at_zero(model, clips, recipe):
    recipe = recipe.model_copy(update={"objective": "eps-mask"})
    assert fit_generator(model, clips, recipe).mean is None


def test_a_share_of_each_batch_is_for_the_mask_alone(model, clips, recipe):
    """It has no noise, and nothing of what it says of ε counts."""
    recipe = recipe.model_copy(update={"mask_share": 0.5})
    run = GeneratorRun(model, clips, recipe, "cpu", None)
    times = drawn(run).times
    assert times[:2].tolist() == [0, 0]
    assert (times[2:] > 0).any()
    plain = recipe.model_copy(update={"objective": "plain"})
    assert GeneratorRun(model, clips, plain, "cpu", None).for_mask == 0
    weightless = recipe.model_copy(update={"mask_weight": 0.0})
    assert GeneratorRun(model, clips, weightless, "cpu", None).for_mask == 0


def test_masks_at_the_end_of_the_chain_are_learnt_sooner(model, clips, recipe):
    masks = np.zeros_like(clips)
    masks[:, :, 2:6, 3:8] = 1

    def entropy(share):
        changes = {"steps": 60, "learning_rate": 3e-3, "warmup_steps": 5, "ema": 0.5}
        changed = recipe.model_copy(update=changes | {"mask_share": share, "batch": 8})
        made = fit_generator(model, clips, changed, masks=masks)
        u = torch.from_numpy(made.range.apply(clips))
        m = torch.from_numpy(masks)
        w = m * u + (1 - m) * torch.randn(u.shape, generator=torch.Generator().manual_seed(1))
        said = made.denoise(w, 0)[1]
        return float(torch.nn.functional.binary_cross_entropy(said, m))

    assert entropy(0.25) < 0.9 * entropy(0.0)
