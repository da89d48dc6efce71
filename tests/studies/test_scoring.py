import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.studies.scoring import (
    ALL_METHODS,
    PAPER_METHOD,
    ScoreMethod,
    Scorer,
    parse_methods,
)
from spt_explain.studies.sources import TrackSource


def test_methods_are_named_as_in_explain():
    found = parse_methods(["gradcam", "layercam:block2", "gradcam:block4", "occlusion"], ())
    assert [one.name for one in found] == ["gradcam:block4", "layercam:block2", "occlusion"]
    assert parse_methods([], [PAPER_METHOD]) == (PAPER_METHOD,)
    assert parse_methods(["all"], ()) == ALL_METHODS
    assert len(ALL_METHODS) == 11
    assert found[1].label == "LayerCAM, block 2"


@pytest.mark.parametrize(
    "name", ["gradcan", "gradcam:block5", "gradcam:", "occlusion:block1", "", "integrated"]
)
def test_others_are_refused_with_a_list(name):
    with pytest.raises(SptError, match="gradcam:block1") as caught:
        parse_methods([name], ())
    assert "\n" not in str(caught.value)


def test_scores_are_those_of_the_class_that_is_asked_for(networks, tracks):
    import torch

    from spt_explain.explain.methods import class_model

    scorer = Scorer(weights="published", device="cpu")
    seen = scorer.examine(tracks((1000, 1000, 1000)))
    found = seen.maps(PAPER_METHOD, "true", "logit")
    scores = np.concatenate([one.scores for one in found])
    scores = scores[np.argsort(np.concatenate([one.windows for one in found]))]
    model = class_model(scorer.plain, None)
    (part, inputs), *_ = scorer.plain.inputs(seen.tracks.positions, seen.ran.starts, seen.ran.stops)
    x = torch.from_numpy(inputs)
    maps, inside = model.network.features([x])
    maps[0].requires_grad_()
    logits = model.network.outputs_of(maps, inside)
    own = logits.gather(1, torch.from_numpy(seen.tracks.label[part])[:, None]).sum()
    weight = torch.autograd.grad(own, maps[0])[0].mean(2, keepdim=True)
    expected = (weight * maps[0]).sum(1).detach().numpy()
    scale = scorer.classifier.calibration.temperatures(np.full(3, 1000))[:, None]
    assert np.allclose(scores * scale, expected, atol=1e-5)
    for how in (ScoreMethod("integrated-gradients"), ScoreMethod("layercam", "block2")):
        frames = seen.frames(seen.maps(how, "predicted", "log-odds"))
        assert frames.score.shape == (3000,)
        assert np.isfinite(frames.score).all()


def test_a_sample_of_all_classes_tells_the_noise(networks):
    scorer = Scorer(weights="masked", device="cpu")
    opened = TrackSource(tracks=16, seed=2).open(scorer.classes, tracks=1, length=(60, 90))
    scorer.settle(opened)
    assert scorer.recording is not None
    whole = next(iter(opened.batches()))
    together = scorer.plain.predict(whole.positions, whole.offsets)
    alone = scorer.examine(whole.take(np.arange(2)))
    assert np.allclose(alone.prediction.probabilities, together.probabilities[:2], atol=1e-6)
    plain = Scorer(weights="published", device="cpu")
    plain.settle(opened)
    assert plain.recording is None
