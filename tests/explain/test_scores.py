import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from spt_explain.explain.methods import class_model, maps
from spt_explain.explain.scores import (
    Maps,
    class_logits,
    directions,
    grad_cam_maps,
    log_weights,
    to_frames,
)
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.classifier import Classifier, WindowOutputs


class Held(nn.Module):
    """The network with a layer that Captum can hold on to, and what is explained at its end."""

    def __init__(self, model, of):
        super().__init__()
        self.model, self.of, self.last = model, of, nn.Identity()

    def forward(self, x, temperature):
        network = self.model.network
        image, inside = network.features([x])
        outputs = network.outputs_of([self.last(image[0])], inside)
        logits = self.model.classes(outputs, temperature)
        if self.of == "logit":
            return logits
        if self.of == "probability":
            return logits.softmax(1)
        p = logits.double().softmax(1)
        return (p / (1 - p)).log()


def _joined(maps):
    """One batch of what was run in several, of windows of one padded length."""
    windows = np.concatenate([one.windows for one in maps])
    order = np.argsort(windows)
    scores, contrast = (
        np.concatenate([getattr(one, name) for one in maps])[order]
        for name in ("scores", "contrast")
    )
    return Maps(windows[order], maps[0].padded, maps[0].stride, scores, contrast)


@pytest.mark.parametrize("architecture", ["masked", "plain"])
@pytest.mark.parametrize("of", ["logit", "probability", "log-odds"])
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_grad_cam_without_a_backward_pass_is_captums(install, walks, architecture, of, backend):
    classifier = Classifier(
        install(architecture), backend=backend, device="cpu", jobs=1, taps=("nodes",)
    )
    positions, offsets = walks([96, 80, 88, 70, 90])
    ran = classifier.run(positions, offsets)
    recording = classifier.judge(ran).recording
    assert (recording is None) == (architecture == "plain")
    target, against = np.array([0, 7, 3, 3, 5]), np.array([1, 2, 4, 5, 6])
    found = _joined(grad_cam_maps(classifier, ran, recording, target, against, of=of))

    model = class_model(classifier, recording, folded=False)
    held = Held(model, of)
    ((part, inputs),) = classifier.inputs(positions, ran.starts, ran.stops)
    x = torch.from_numpy(inputs)
    scale = torch.from_numpy(classifier.calibration.temperatures(ran.stops - ran.starts)).float()
    expected = LayerGradCam(held, held.last).attribute(
        x, torch.from_numpy(target), additional_forward_args=(scale,)
    )[:, 0]
    expected = expected.detach().numpy()
    np.testing.assert_allclose(
        found.scores, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()
    )
    np.testing.assert_array_equal(found.windows, part)

    kind = "probability" if of == "probability" else "logit"  # of the same kind as the score
    plain = _joined(grad_cam_maps(classifier, ran, recording, target, against, of=kind))
    other = _joined(grad_cam_maps(classifier, ran, recording, against, target, of=kind))
    np.testing.assert_allclose(found.contrast, plain.scores - other.scores, atol=1e-5)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_scores_of_logits_add_up_to_them(install, walks, backend):
    """All that the nodes add, and what no node adds, is the logit: under one condition, exactly."""
    shape = Architecture(width=4, window=120, padding="masked", margin=32, lengths=(64, 128))
    classifier = Classifier(install(shape), backend=backend, device="cpu", jobs=1, taps=("nodes",))
    positions, offsets = walks([20, 100, 45, 10])
    ran = classifier.run(positions, offsets)
    bias = classifier.weights.load()["fc.bias"]
    for c in range(8):
        total = np.zeros(4)
        every = np.full(4, c)
        for one in grad_cam_maps(classifier, ran, None, every, (every + 1) % 8, of="logit"):
            total[one.windows] = one.scores.sum(1)
        np.testing.assert_allclose(total + bias[c], ran.outputs[:, c], atol=1e-4)


def test_directions_are_derivatives():
    rng = np.random.default_rng(1)
    logits, target = rng.normal(size=(4, 8)), np.array([0, 3, 7, 3])
    z = torch.from_numpy(logits).requires_grad_()
    p = z.softmax(1)
    every = torch.arange(4)
    truths = {
        "logit": z[every, target],
        "probability": p[every, target],
        "log-odds": (p / (1 - p)).log()[every, target],
    }
    for of, value in truths.items():
        (expected,) = torch.autograd.grad(value.sum(), z, retain_graph=True)
        found = directions(p.detach().numpy(), target, of)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)


def test_log_odds_are_defined_where_the_probability_is_one():
    p = np.array([[1.0, 0, 0], [0.5, 0.5, 0]])
    found = directions(p, np.array([0, 2]), "log-odds")
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1], [-0.5, -0.5, 1])


def test_what_a_recording_shows_is_counted_as_in_the_verdict(install, walks):
    classifier = Classifier(install("masked"), device="cpu", jobs=1)
    positions, offsets = walks([90, 20, 33, 64, 100, 15])
    ran = classifier.run(positions, offsets)
    prediction = classifier.judge(ran)
    extra = log_weights(classifier, prediction.recording)
    logits = class_logits(classifier.joint_logits(ran), extra)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(p, prediction.probabilities, atol=1e-6)
    assert np.abs(extra).max() > 0.1


def _ran(lengths, window=64):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    starts, stops = offsets[:-1], offsets[1:]
    return WindowOutputs(
        len(lengths), starts, stops, np.arange(len(lengths)), np.zeros((len(lengths), 1)), []
    ), offsets


def test_frames_have_the_score_of_their_node():
    ran, offsets = _ran([40, 33])
    scores = np.array([[10.0, 20.0], [30.0, 40.0]])
    found = to_frames([Maps(np.arange(2), 64, 32, scores, -scores)], ran, offsets)
    # padded at the start: the last 32 frames lie in the last node
    np.testing.assert_array_equal(found.score[:40], [10] * 8 + [20] * 32)
    np.testing.assert_array_equal(found.score[40:], [30] + [40] * 32)
    np.testing.assert_array_equal(found.contrast, -found.score)
    np.testing.assert_array_equal(found.node[:40], [0] * 8 + [1] * 32)
    np.testing.assert_array_equal(found.nodes, [2, 2])
    # between the middles of two nodes the smooth score rises, beyond them it stays
    smooth = found.smooth[:40]
    assert (np.diff(smooth) >= 0).all()
    assert smooth[0] == pytest.approx(10 + 10 * (24.5 / 32 - 0.5))
    assert (smooth[-16:] == 20).all()


def test_nodes_before_a_track_are_not_its():
    ran, offsets = _ran([20])
    scores = np.array([[1000.0, 5.0]])
    found = to_frames([Maps(np.arange(1), 64, 32, scores, scores)], ran, offsets)
    assert (found.score == 5).all()
    assert (found.smooth == 5).all()
    assert found.nodes.tolist() == [1]


def test_windows_of_one_track_are_averaged():
    ran = WindowOutputs(
        1, np.array([0, 32]), np.array([64, 96]), np.zeros(2, int), np.zeros((2, 1)), []
    )
    scores = np.array([[1.0, 2.0], [4.0, 8.0]])
    found = to_frames([Maps(np.arange(2), 64, 32, scores, scores)], ran, np.array([0, 96]))
    np.testing.assert_array_equal(found.score, [1.0] * 32 + [3.0] * 32 + [8.0] * 32)
    np.testing.assert_array_equal(found.node, np.arange(96) // 32)


def test_grad_cam_of_the_last_block_is_the_same_by_gradients(install, walks):
    name = install("masked")
    tapped = Classifier(name, device="cpu", jobs=1, taps=("nodes",))
    positions, offsets = walks([96, 30, 64, 110])
    ran = tapped.run(positions, offsets)
    recording = tapped.judge(ran).recording
    target, against = np.array([0, 1, 2, 3]), np.array([7, 6, 5, 4])
    fast = grad_cam_maps(tapped, ran, recording, target, against)
    slow = maps(
        tapped, positions, ran, recording, target, against, method="gradcam", layer="block4"
    )
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(a.windows, b.windows)
        biggest = np.abs(a.scores).max()
        assert biggest > 1e-4
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4 * biggest)
        np.testing.assert_allclose(a.contrast, b.contrast, atol=1e-4 * np.abs(a.contrast).max())
