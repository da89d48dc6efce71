from dataclasses import replace

import numpy as np
import pytest
import torch

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.network import ResAnDi
from spt_explain.training.augment import blur, choose, displacement_scale, score, transformed
from spt_explain.training.dataset import Trajectories, from_padded, shape_batch


def walks(n=200, t=60, seed=0):
    """Brownian tracks of 20 to 60 points, labels 0…7 in turn."""
    generator = torch.Generator().manual_seed(seed)
    path = torch.randn(n, t, 2, generator=generator).cumsum(1) * 3
    length = torch.randint(20, t + 1, (n,), generator=generator)
    return from_padded(path - path[:, :1], length, torch.arange(n) % 8, torch.ones(n))


def split(trajectories: Trajectories):
    return [
        trajectories.positions[a:b].double().numpy()
        for a, b in zip(trajectories.offsets[:-1], trajectories.offsets[1:], strict=True)
    ]


def test_the_highest_scores_of_each_class_are_chosen():
    label = torch.tensor([0] * 10 + [1] * 5)
    scores = torch.cat([torch.arange(10.0), 100 - torch.arange(5.0)])
    found = choose(label, 0.6, seed=1, scores=scores)
    assert found.tolist() == [4, 5, 6, 7, 8, 9, 10, 11, 12]


def test_a_random_choice_is_as_large_in_each_class_and_follows_from_the_seed():
    label = torch.arange(4000) % 8
    found = choose(label, 0.6, seed=1)
    assert torch.bincount(label[found]).tolist() == [300] * 8
    assert len(found.unique()) == len(found)
    assert found.equal(choose(label, 0.6, seed=1))
    assert not found.equal(choose(label, 0.6, seed=2))


def test_a_choice_with_repeats_has_fewer_different_ones():
    label = torch.zeros(10_000, dtype=torch.int64)
    found = choose(label, 0.6, seed=1, repeats=True)
    assert len(found) == 6000
    assert len(found.unique()) == pytest.approx(10_000 * (1 - np.exp(-0.6)), rel=0.02)


def test_scores_rank_as_the_true_classs_logit():
    torch.manual_seed(0)
    shape = Architecture(
        "positions+displacements", 4, window=64, padding="masked", lengths=(32, 64)
    )
    network = ResAnDi(shape).eval()
    tracks = walks(30)
    scores = score(network, tracks)
    for i in range(30):
        batch = shape_batch(tracks, torch.tensor([i]), shape)
        logit = network(*batch.groups)[0, i % 8] - network.fc.bias[i % 8]
        torch.testing.assert_close(scores[i], logit, rtol=1e-4, atol=1e-5)


def test_rotation_keeps_the_shape_and_turns_uniformly():
    tracks = walks(2000)
    copies = split(transformed(tracks, torch.arange(2000), ["rotation"], seed=5))
    angles = []
    for before, after in zip(split(tracks), copies, strict=True):
        a, b = (np.diff(one, axis=0) @ [1, 1j] for one in (before, after))
        np.testing.assert_allclose(abs(a), abs(b), rtol=1e-3, atol=1e-4)
        turn = b / a
        np.testing.assert_allclose(turn, turn[0], rtol=0.02, atol=0.02)
        angles.append(np.angle(turn[0]))
    counts, _ = np.histogram(angles, 8, (-np.pi, np.pi))
    assert ((counts - 250) ** 2 / 250).sum() < 24.3  # chi-squared, 7 degrees, p = 0.001


def test_copies_carry_their_labels_and_may_repeat():
    tracks = walks(20)
    index = torch.tensor([3, 3, 17])
    copies = transformed(tracks, index, ["rotation"], seed=5)
    assert copies.label.tolist() == [3, 3, 1]
    assert copies.length.tolist() == tracks.length[index].tolist()
    first, second, _ = split(copies)
    assert not np.allclose(first, second)
    again = transformed(tracks, index, ["rotation"], seed=5)
    assert again.positions.equal(copies.positions)
    assert len(transformed(tracks, index[:0], ["rotation"], seed=5)) == 0


def test_noise_is_in_units_of_each_tracks_displacements():
    n, t = 400, 500
    path = torch.randn(n, t, 2, generator=torch.Generator().manual_seed(1)).cumsum(1)
    path *= torch.logspace(-3, 3, n)[:, None, None]
    tracks = from_padded(path, torch.full((n,), t), torch.zeros(n).long(), torch.ones(n))
    noisy = transformed(tracks, torch.arange(n), ["noise"], seed=2, noise_max=0.8)
    ratio = [
        (after - before).std() / np.diff(before, axis=0).std()
        for before, after in zip(split(tracks), split(noisy), strict=True)
    ]
    assert max(ratio) <= 0.85
    assert np.mean(ratio) == pytest.approx(0.4, abs=4 * 0.8 / np.sqrt(12 * n))


def test_the_unit_is_that_of_noise_on_recordings():
    """The same rule as `LabelledTracks.with_noise`, on its hard cases."""
    from spt_explain.training.labelled import LabelledTracks

    line = np.arange(6.0)
    cases = [
        np.stack([line, 2 * line], 1),  # straight: the root mean square
        np.stack([line**2, 0 * line], 1),  # no motion along y: x's
        np.stack([0 * line, 0 * line], 1),
        np.random.default_rng(0).normal(size=(6, 2)),
    ]
    m = len(cases)
    labelled = LabelledTracks(
        np.concatenate(cases), np.arange(m + 1) * 6, np.zeros(m, int), np.ones(m), np.zeros(m)
    )
    added = [labelled.with_noise(1.0, seed).positions - labelled.positions for seed in range(400)]
    expected = np.std(added, axis=0).reshape(m, 6, 2)
    expected = np.sqrt((expected**2).mean(1))
    path = torch.tensor(np.stack(cases))
    found = displacement_scale(path, torch.full((m,), 6))[:, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0.06, atol=1e-12)


def test_blur_is_the_mean_along_the_line_to_the_next_position():
    path = walks(3).padded(torch.arange(3))[0].double()
    length = torch.tensor([20, 5, path.size(1)])
    exposure = torch.tensor([0.0, 1.0, 0.4], dtype=torch.float64)
    found = blur(path, length, exposure).numpy()
    path = path.numpy()
    for i, (n, e) in enumerate(zip(length.tolist(), exposure.tolist(), strict=True)):
        fine = np.linspace(0, e, 2001)
        for frame in range(n - 1):
            along = path[i, frame] + fine[:, None] * (path[i, frame + 1] - path[i, frame])
            np.testing.assert_allclose(found[i, frame], along.mean(0), atol=1e-9)
        np.testing.assert_allclose(found[i, n - 1], path[i, n - 1])


def test_gaps_are_filled_by_lines():
    tracks = walks(300)
    copies = transformed(tracks, torch.arange(300), ["gaps"], seed=4, gap_max=0.5)
    changed = 0
    for before, after in zip(split(tracks), split(copies), strict=True):
        lost = (abs(after - before) > 1e-5).any(axis=1)
        assert not lost[[0, -1]].any()
        kept = np.flatnonzero(~lost)
        frames = np.arange(len(before))
        for axis in (0, 1):
            line = np.interp(frames, kept, before[kept, axis])
            np.testing.assert_allclose(after[:, axis], line, atol=1e-3)
        changed += lost.mean()
    assert 0.15 < changed / 300 < 0.3  # a quarter on average, a little less at the ends


def test_what_was_done_to_a_copy_is_known_of_it():
    n = 300
    clean = replace(walks(n), noise=torch.zeros(n), exposure=torch.zeros(n))
    index = torch.arange(n)
    by = ["noise", "blur"]
    copies = transformed(clean, index, by, seed=1, noise_max=0.5)
    assert copies.noise.max() <= 0.5
    assert 0 < copies.exposure.min() < copies.exposure.max() <= 1
    # noise twice: the variances of the displacements say how much there is
    twice = transformed(copies, index, ["noise"], seed=2, noise_max=0.5)
    assert (twice.noise >= copies.noise).all()
    unknown = transformed(walks(n), index, by, seed=1)
    assert unknown.noise.isnan().all()
    assert unknown.exposure.isnan().all()
    assert transformed(copies, index, ["blur"], seed=3).exposure.isnan().all()


def test_noise_on_noise_adds_up():
    n, t = 200, 800
    generator = torch.Generator().manual_seed(1)
    path = torch.randn(n, t, 2, generator=generator).cumsum(1)
    path += 0.6 * torch.randn(n, t, 2, generator=generator)
    noisy = from_padded(
        path, torch.full((n,), t), torch.zeros(n).long(), noise=torch.full((n,), 0.6)
    )
    copies = transformed(noisy, torch.arange(n), ["noise"], seed=2, noise_max=1.0)
    for after, noise in zip(split(copies), copies.noise.tolist(), strict=True):
        variance = np.diff(after, axis=0).var()
        assert variance == pytest.approx(1 + 2 * noise**2, rel=0.2)


def test_the_order_of_the_names_does_not_matter():
    tracks, index = walks(10), torch.arange(10)
    every = ["rotation", "blur", "noise", "gaps"]
    one, other = (transformed(tracks, index, by, seed=1) for by in (every, every[::-1]))
    assert one.positions.equal(other.positions)
