import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients

from spt_explain.errors import SptError
from spt_explain.explain import input_scores, methods
from spt_explain.explain.methods import (
    STRIDES,
    class_model,
    explained,
    maps,
    resolution,
)
from spt_explain.explain.scores import to_frames
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.folded import FoldedNetwork

LENGTHS = [96, 70, 90]
TARGET, AGAINST = np.array([0, 7, 3]), np.array([1, 2, 4])


@pytest.fixture(params=["masked", "plain"])
def ready(request, install, walks):
    classifier = Classifier(install(request.param), device="cpu", jobs=1)
    positions, offsets = walks(LENGTHS)
    return classifier, positions, offsets, classifier.place(offsets)


def hooked(model, layer, x, scale):
    """A block's output as images and its gradients, by hooks on the network as it is run."""
    held = {}

    def hook(module, inputs, output):
        held["rows"] = output[0]
        output[0].retain_grad()

    block = model.network.stages[int(layer[-1]) - 1][1]
    handle = block.register_forward_hook(hook)
    logits = model(x.clone().requires_grad_(), scale)
    handle.remove()
    own = explained(logits, torch.from_numpy(TARGET), torch.from_numpy(AGAINST), "log-odds")
    own[:, 0].sum().backward()
    n = len(x)
    rows, gradient = held["rows"].detach(), held["rows"].grad
    shape = (n, -1, rows.size(1))
    return rows.view(shape).numpy(), gradient.view(shape).numpy()


@pytest.mark.parametrize("layer", ["block1", "block2", "block3", "block4"])
def test_scores_of_every_block_are_their_formulas(ready, layer):
    classifier, positions, _offsets, ran = ready
    model = class_model(classifier, None, folded=False)
    ((_part, inputs),) = classifier.inputs(positions, ran.starts, ran.stops)
    scale = classifier.calibration.temperatures(ran.stops - ran.starts)
    image, gradient = hooked(
        model, layer, torch.from_numpy(inputs), torch.from_numpy(scale).float()
    )
    stride = STRIDES[layer]
    inside = np.ones(image.shape[:2])
    shape = classifier.weights.architecture
    if shape.padding == "masked":  # a node counts if it covers a point of the track or its margin
        padded = inputs.shape[2]
        first = np.maximum(padded - np.array(LENGTHS) - shape.margin, 0)
        inside = (np.arange(image.shape[1]) + 1) * stride > first[:, None]
    mean = (gradient * inside[..., None]).sum(1) / inside.sum(1)[:, None]
    expected = {
        "gradcam": np.einsum("nk,ntk->nt", mean, image) * inside,
        "layercam": (np.maximum(gradient, 0) * image).sum(2) * inside,
    }
    for method, scores in expected.items():
        (found,) = maps(
            classifier, positions, ran, None, TARGET, AGAINST, method=method, layer=layer
        )
        assert (found.stride, found.padded) == (stride, inputs.shape[2])
        biggest = np.abs(scores).max()
        assert biggest > 1e-4
        np.testing.assert_allclose(found.scores, scores, atol=1e-4 * biggest)


def test_inputs_made_on_a_gpu_are_those_of_the_cpu(ready):
    classifier, positions, _offsets, ran = ready
    ((part, inputs),) = classifier.inputs(positions, ran.starts, ran.stops)
    ((found, x),) = methods._inputs(classifier, positions, ran, "cpu:0")  # as if it were a GPU
    np.testing.assert_array_equal(found, part)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    np.testing.assert_allclose(x.numpy(), inputs, atol=1e-6)


def test_integrated_gradients_add_up_to_what_is_explained(ready):
    """Completeness (Sundararajan et al. 2017): from a particle at rest to the track."""
    classifier, positions, offsets, ran = ready
    found = maps(
        classifier, positions, ran, None, TARGET, AGAINST, method="integrated-gradients", steps=64
    )
    frames = to_frames(found, ran, offsets)
    model = class_model(classifier, None)
    ((_part, inputs),) = classifier.inputs(positions, ran.starts, ran.stops)
    scale = torch.from_numpy(classifier.calibration.temperatures(ran.stops - ran.starts)).float()
    x = torch.from_numpy(inputs)
    still = torch.zeros_like(x)
    masked = classifier.weights.architecture.padding == "masked"
    for i, n in enumerate(LENGTHS):
        still[i, :2] = x[i, :2, -n, None]
        if masked:
            still[i, :2, :-n] = 0
            still[i, -1] = x[i, -1]
    target, against = torch.from_numpy(TARGET), torch.from_numpy(AGAINST)
    with torch.no_grad():
        ends = [explained(model(v, scale), target, against, "log-odds") for v in (x, still)]
    expected = (ends[0] - ends[1]).numpy()
    padding = 0
    if not masked:  # padding there looks like a particle at rest, and is scored as well
        padding = np.array([one.sum() for one in found[0].scores]) - np.add.reduceat(
            frames.score, offsets[:-1]
        )
    total = np.add.reduceat(frames.score, offsets[:-1]) + padding
    np.testing.assert_allclose(total, expected[:, 0], atol=0.05 * np.abs(expected).max())
    contrast = np.array([one.sum() for one in found[0].contrast])
    np.testing.assert_allclose(contrast, expected[:, 1], atol=0.05 * np.abs(expected).max())


def test_integrated_gradients_take_steps_until_they_are_complete(ready, monkeypatch):
    """Each track has the scores of one of the fixed numbers of steps: the first that will do."""
    classifier, positions, _offsets, ran = ready
    monkeypatch.setattr(input_scores, "COMPLETENESS", 0.02)
    keys = {"method": "integrated-gradients", "of": "probability"}
    (found,) = maps(classifier, positions, ran, None, TARGET, AGAINST, **keys)
    fixed = [
        maps(classifier, positions, ran, None, TARGET, AGAINST, steps=steps, **keys)[0]
        for steps in input_scores.STEPS
    ]
    (best,) = maps(classifier, positions, ran, None, TARGET, AGAINST, steps=300, **keys)
    whole = best.scores.sum(1)
    for i in range(len(LENGTHS)):
        sums = np.array([one.scores[i].sum() for one in fixed])
        good = np.abs(sums - whole[i]) <= 0.02 * abs(whole[i])
        chosen = fixed[int(good.argmax()) if good.any() else -1]
        np.testing.assert_allclose(found.scores[i], chosen.scores[i], atol=1e-5)
        np.testing.assert_allclose(found.contrast[i], chosen.contrast[i], atol=1e-5)


def test_input_x_gradient_is_captums(install, walks):
    classifier = Classifier(install("plain"), device="cpu", jobs=1)
    positions, offsets = walks([96])
    ran = classifier.place(offsets)
    model = class_model(classifier, None)
    ((_part, inputs),) = classifier.inputs(positions, ran.starts, ran.stops)
    x = torch.from_numpy(inputs)
    still = x[:, :, :1].expand_as(x).clone()
    captum = InputXGradient(lambda away: model(still + away, torch.ones(1)))
    expected = [captum.attribute((x - still).requires_grad_(), target=k).sum(1)[0].detach().numpy()
                for k in (2, 0)]  # fmt: skip
    (found,) = maps(
        classifier, positions, ran, None, np.array([2]), np.array([0]),
        method="input-x-gradient", of="logit",
    )  # fmt: skip
    np.testing.assert_allclose(found.scores[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(found.contrast[0], expected[0] - expected[1], atol=1e-5)


def test_a_step_is_one_forward_pass(ready, monkeypatch):
    """Score and contrast share it."""
    classifier, positions, _offsets, ran = ready
    passes = []
    forward = FoldedNetwork.forward
    monkeypatch.setattr(
        FoldedNetwork, "forward", lambda self, *x: (passes.append(len(x[0])), forward(self, *x))[1]
    )
    for method, steps, expected in (("input-x-gradient", None, 3), ("integrated-gradients", 4, 12)):
        passes.clear()
        maps(classifier, positions, ran, None, TARGET, AGAINST, method=method, steps=steps)
        assert sum(passes) == expected


def test_few_steps_are_captums_with_few_steps(install, walks):
    classifier = Classifier(install("plain"), device="cpu", jobs=1)
    positions, offsets = walks([96])
    ran = classifier.place(offsets)
    model = class_model(classifier, None)
    ((_part, inputs),) = classifier.inputs(positions, ran.starts, ran.stops)
    x = torch.from_numpy(inputs)
    still = x[:, :, :1].expand_as(x).clone()
    scale = torch.ones(1)
    captum = IntegratedGradients(lambda v: model(v, scale))
    expected = captum.attribute(x, still, target=2, n_steps=4, method="riemann_middle")
    expected = expected.sum(1)[0].numpy()
    found = maps(
        classifier, positions, ran, None, np.array([2]), np.array([0]),
        method="integrated-gradients", of="logit", steps=4,
    )  # fmt: skip
    np.testing.assert_allclose(found[0].scores[0], expected, atol=1e-5)


def test_occlusion_is_what_resting_costs(ready):
    """The score of the middle of a track that is scored by one stretch only is its whole loss."""
    classifier, positions, _offsets, ran = ready
    (found,) = maps(classifier, positions, ran, None, TARGET, AGAINST, method="occlusion")
    assert found.stride == 1
    assert np.isfinite(found.scores).all()
    assert np.abs(found.scores).max() > 1e-3
    # by hand: the last stretch of a track ends with it
    model = class_model(classifier, None)
    ((_part, inputs),) = classifier.inputs(positions, ran.starts, ran.stops)
    scale = torch.from_numpy(classifier.calibration.temperatures(ran.stops - ran.starts)).float()
    x = torch.from_numpy(inputs)
    width = round(0.1 * max(LENGTHS))
    step = width // 2
    gone = x.clone()
    start = 0  # of the stretch at the very beginning of the input
    series = x.size(1) - (classifier.weights.architecture.padding == "masked")
    gone[:, :, :][:, :series, start : start + width] = 0
    for i, n in enumerate(LENGTHS):
        at = max(x.size(2) - n, 0)
        value = x[i, :2, at]
        covered = slice(max(at, start), start + width) if series < x.size(1) else slice(0, width)
        gone[i, :2, covered] = value[:, None]
    target, against = torch.from_numpy(TARGET), torch.from_numpy(AGAINST)
    with torch.no_grad():
        kept, lost = (explained(model(v, scale), target, against, "log-odds") for v in (x, gone))
    expected = (kept - lost)[:, 0].numpy()
    np.testing.assert_allclose(found.scores[:, : step - 1].mean(1), expected, atol=1e-4)


def test_a_contrast_is_of_the_kind_of_its_score(ready):
    """With what no probability can exceed: before, the contrast was of logits."""
    classifier, positions, _offsets, ran = ready
    logits = torch.from_numpy(np.random.default_rng(2).normal(0, 9, (3, 8)))
    target, against = torch.from_numpy(TARGET), torch.from_numpy(AGAINST)
    p, z = np.exp(logits.numpy()), logits.numpy()
    p /= p.sum(1, keepdims=True)
    every = np.arange(3)
    for of, value in (("probability", p), ("logit", z), ("log-odds", z)):
        found = explained(logits, target, against, of).numpy()
        expected = value[every, TARGET] - value[every, AGAINST]
        np.testing.assert_allclose(found[:, 1], expected, atol=1e-9)
    one, other = (
        maps(classifier, positions, ran, None, a, b, method="occlusion", of="probability")[0]
        for a, b in ((TARGET, AGAINST), (AGAINST, TARGET))
    )
    assert np.abs(one.scores).max() > 1e-3
    np.testing.assert_allclose(one.contrast, one.scores - other.scores, atol=1e-6)


def test_what_a_score_covers_is_said():
    assert resolution("gradcam", "block4", 100) == 32
    assert resolution("layercam", "block1", 100) == 4
    assert resolution("integrated-gradients", "", 100) == 1
    assert resolution("occlusion", "", 100) == 5


@pytest.mark.parametrize(("method", "layer"), [("magic", "block4"), ("gradcam", "block9")])
def test_methods_that_are_not_there_are_refused(ready, method, layer):
    classifier, positions, _offsets, ran = ready
    with pytest.raises(SptError, match="there are"):
        maps(classifier, positions, ran, None, TARGET, AGAINST, method=method, layer=layer)
