from dataclasses import replace

import numpy as np
import pytest
import torch

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.inputs import build_inputs
from spt_explain.training.dataset import (
    dataset_batches,
    from_padded,
    join_trajectories,
    labelled_dataset,
    shape_batch,
    simulated_dataset,
    split_labelled,
)
from spt_explain.training.labelled import LabelledTracks
from spt_explain.training.recipe import Recipe


def recipe(seed=1, window=64, **fixed):
    return Recipe(
        name="test",
        seed=seed,
        network={
            "inputs": "positions", "padding": "start", "window": window, "lengths": [window],
            "width": 8, "alpha": False,
        },
        data={"clean_share": 1, "gap_share": 0, "blur_share": 0, "noise_max": 0},
        batch={window: 64},
        fixed={"trajectories": 400, "validation": 80} | fixed,
    )  # fmt: skip


def pieces(trajectories):
    return [
        trajectories.positions[a:b].numpy()
        for a, b in zip(trajectories.offsets[:-1], trajectories.offsets[1:], strict=True)
    ]


def test_a_simulated_set_is_what_the_recipe_says():
    found = simulated_dataset(recipe())
    assert torch.bincount(found.training.label).tolist() == [50] * 8
    assert torch.bincount(found.validation.label).tolist() == [10] * 8
    assert found.extra is None
    assert found.training.length.min() >= 10
    assert found.training.length.max() <= 64
    for path, label in zip(pieces(found.training), found.training.label, strict=True):
        spread = np.diff(path, axis=0).std(axis=0)
        assert spread == pytest.approx([1, 1], abs=1e-3) or CLASS_NAMES[label] == "SupLW"
    again = simulated_dataset(recipe())
    assert again.training.positions.equal(found.training.positions)
    other = simulated_dataset(recipe(seed=2))
    assert not other.training.length.equal(found.training.length)


def test_training_validation_and_extra_trajectories_differ():
    found = simulated_dataset(
        recipe(trajectories=80, score_trajectories=160, augment="gradcam", validation=80)
    )
    assert found.extra is not None
    sets = [found.training, found.validation, found.extra]
    assert [len(one) for one in sets] == [80] * 3
    starts = [{tuple(path[-1]) for path in pieces(one)} for one in sets]
    assert not starts[0] & starts[1]
    assert not starts[0] & starts[2]
    assert simulated_dataset(recipe(score_trajectories=800)).extra is None  # nothing is scored


def test_many_chunks_make_one_set(monkeypatch):
    monkeypatch.setattr("spt_explain.training.dataset._POINTS_AT_ONCE", 64 * 16)
    found = simulated_dataset(recipe())
    assert torch.bincount(found.training.label).tolist() == [50] * 8
    assert len({tuple(path[-1]) for path in pieces(found.training)}) > 380  # not the same ones


@pytest.mark.parametrize(
    "shape",
    [
        Architecture("positions", 4, window=100, padding="start"),
        Architecture("positions+displacements", 4, window=90, padding="masked", lengths=(32, 96)),
    ],
)
def test_batches_are_shaped_as_for_classifying(shape):
    generator = torch.Generator().manual_seed(0)
    path = torch.randn(40, 90, 2, generator=generator).cumsum(1)
    length = torch.randint(3, 91, (40,), generator=generator)
    tracks = from_padded(path, length, torch.arange(40), length.float())
    index = torch.randperm(40, generator=generator)
    batch = shape_batch(tracks, index, shape)
    assert sorted(batch.label.tolist()) == list(range(40))
    assert batch.alpha.long().equal(batch.length)
    start = 0
    for group in batch.groups:
        labels = batch.label[start : start + len(group)].numpy()
        start += len(group)
        assert (shape.padded_length(length[labels].numpy()) == group.size(2)).all()
        offsets = tracks.offsets.numpy()
        expected = build_inputs(
            tracks.positions.double().numpy(),
            offsets[labels],
            offsets[labels + 1],
            window=group.size(2),
            kind=shape.inputs,
            padding=shape.padding,
        )
        np.testing.assert_allclose(group, expected, atol=1e-5)
    assert start == 40


def test_conditions_are_told_where_they_are_known():
    shape = Architecture("positions", 4, window=64, noise_edges=(0.3, 0.8), exposure_edges=(0.5,))
    nan = float("nan")
    noise, exposure = torch.tensor([0.0, 0.5, 1.0, nan, 0.1]), torch.tensor([0, 0.7, 0.1, 0, nan])
    path = torch.randn(5, 20, 2).cumsum(1)
    tracks = from_padded(
        path, torch.full((5,), 20), torch.zeros(5).long(), noise=noise, exposure=exposure
    )
    assert shape_batch(tracks, torch.arange(5), shape).condition.tolist() == [0, 3, 4, -1, -1]
    plain = replace(shape, noise_edges=(), exposure_edges=())
    assert shape_batch(tracks, torch.arange(5), plain).condition.tolist() == [0] * 5


def test_some_of_them_in_another_order():
    tracks = simulated_dataset(recipe()).training
    index = torch.tensor([7, 300, 7, 0])
    some = tracks.take(index)
    for path, i in zip(pieces(some), index.tolist(), strict=True):
        np.testing.assert_array_equal(path, pieces(tracks)[i])
    assert some.label.equal(tracks.label[index])
    both = join_trajectories([some, tracks])
    np.testing.assert_array_equal(pieces(both)[4 + 9], pieces(tracks)[9])
    assert len(tracks.take(index[:0])) == 0


def test_batches_go_through_the_set_in_a_new_order_each_time():
    data = simulated_dataset(recipe())
    stream = dataset_batches(recipe(), data, "cpu", batch_size=80)
    turns = [[next(stream) for _ in range(5)] for _ in range(2)]
    for turn in turns:
        assert torch.cat([batch.label for batch in turn]).bincount().tolist() == [50] * 8
    assert not turns[0][0].label.equal(turns[1][0].label)
    again = next(dataset_batches(recipe(), data.training, "cpu", batch_size=80))
    assert again.groups[0].equal(turns[0][0].groups[0])
    assert len(next(dataset_batches(recipe(), data, "cpu", batch_size=1000)).label) == 400


def labelled(lengths, labels, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    positions = 5e5 + rng.normal(size=(offsets[-1], 2)).cumsum(axis=0)
    m = len(lengths)
    return LabelledTracks(positions, offsets, np.asarray(labels), rng.random(m), np.full(m, np.nan))


def test_no_track_is_on_both_sides():
    """Segments of one track and windows of long ones stay together."""
    rng = np.random.default_rng(1)
    track = np.sort(rng.integers(0, 60, 200))
    tracks = labelled(rng.integers(20, 400, 200), track % 3)
    found = split_labelled(tracks, track, recipe())
    # α is drawn at random, so it tells which trajectory a window is from
    of = {np.float32(alpha): one for alpha, one in zip(tracks.alpha, track, strict=True)}
    parts = (found.training, found.validation)
    sides = [{of[alpha] for alpha in part.alpha.numpy()} for part in parts]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set(track.tolist())
    assert max(part.length.max() for part in parts) <= 64
    for label in range(3):
        own = {one for one in track.tolist() if one % 3 == label}
        assert len(sides[1] & own) == round(len(own) * 80 / 480)


def test_recorded_positions_keep_their_shape():
    tracks = labelled([50] * 20, np.arange(20) % 2)
    found = split_labelled(tracks, np.arange(20), recipe())
    where = {np.float32(alpha): i for i, alpha in enumerate(tracks.alpha)}
    for path, alpha in zip(pieces(found.training), found.training.alpha.numpy(), strict=True):
        i = where[alpha]
        given = tracks.positions[50 * i : 50 * (i + 1)]
        given = given - given[0]
        np.testing.assert_allclose(path, given / abs(given).max(), atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "words"), [([2, 2, 2], "one class only .SubFBM"), ([0, 1, 2], "one track of each")]
)
def test_data_that_can_not_be_trained_on(labels, words):
    with pytest.raises(SptError, match=words):
        split_labelled(labelled([30] * 3, labels), np.arange(3), recipe())


def test_what_is_missing_is_said():
    found = split_labelled(labelled([30] * 5, [0, 0, 0, 1, 7]), np.arange(5), recipe())
    assert any("no track of SubFBM" in note for note in found.notes)
    assert any("one track of SubCTRW, BM" in note for note in found.notes)
    assert found.validation.label.tolist() == [0]
    assert found.report["by_class"] == {"SubATTM": 3, "SubCTRW": 1, "BM": 1}


def test_files_are_joined(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["particle,frame,x,y,class"]
    for particle in range(6):
        path = rng.normal(size=(30, 2)).cumsum(axis=0)
        name = ("BM", "SubFBM")[particle % 2]
        rows += [f"{particle},{i},{x:.4f},{y:.4f},{name}" for i, (x, y) in enumerate(path)]
    table = tmp_path / "tracks.csv"
    table.write_text("\n".join(rows) + "\n")
    one = labelled([40] * 12, [0, 4] * 6)
    archive = tmp_path / "tracks.npz"
    np.savez(archive, positions=one.positions, offsets=one.offsets, label=one.label)
    found = labelled_dataset(recipe(), [table, archive])
    assert found.report["tracks"] == 18
    assert found.report["by_class"] == {"SubATTM": 6, "SubFBM": 3, "SupFBM": 6, "BM": 3}
    assert len(found.training) + len(found.validation) == 18
    assert len(found.report["files"]) == 2
    assert found.training.alpha.isnan().all()
