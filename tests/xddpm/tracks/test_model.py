import json
from dataclasses import replace

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.tracks.model import TrackRelevanceModel, shifted
from spt_explain.xddpm.tracks.steps import Steps


def steps_of(lengths, seed=1):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Steps(rng.normal(size=(offsets[-1], 2)).astype(np.float32), offsets)


def test_tracks_do_not_depend_on_each_other(small_model):
    steps = steps_of([20, 8, 20, 33])
    maps, outputs = small_model.maps(steps), small_model.outputs(steps)
    for i in range(4):
        alone = steps.take(np.array([i]))
        part = slice(steps.offsets[i], steps.offsets[i + 1])
        found = small_model.maps(alone)
        np.testing.assert_allclose(maps.contribution[part], found.contribution, atol=1e-5)
        np.testing.assert_allclose(maps.information[part], found.information, atol=1e-4)
        np.testing.assert_allclose(outputs[i], small_model.outputs(alone)[0], atol=1e-5)


def test_long_tracks_are_seen_in_pieces(small_model):
    model = replace(small_model, longest=16)
    steps = steps_of([16, 50])
    maps = model.maps(steps)
    assert maps.contribution.shape == (66,)
    assert ((maps.contribution >= 0) & (maps.contribution <= 1)).all()
    # within the first piece's half, no other one takes part
    alone = small_model.maps(steps_of([16, 50]).take(np.array([0])))
    np.testing.assert_allclose(maps.contribution[:16], alone.contribution, atol=1e-6)
    pieces = [
        Steps(steps.values[16 + s : 32 + s], np.array([0, 16]))
        for s in np.linspace(0, 34, -(-100 // 16) - 1).round().astype(int)
    ]
    mean = np.mean([small_model.outputs(piece)[0] for piece in pieces], axis=0)
    np.testing.assert_allclose(model.outputs(steps)[1], mean, atol=1e-5)


def test_shifted_turns_each_track():
    steps = steps_of([5, 9])
    values = np.arange(14, dtype=np.float32)
    turned = shifted(steps, values, np.random.default_rng(1))
    assert sorted(turned[:5]) == list(range(5))
    assert sorted(turned[5:]) == list(range(5, 14))
    assert not (turned == values).any()
    np.testing.assert_array_equal(np.diff(turned[5:]) % 9, 1)


def test_deletion_of_a_map_that_points_nowhere(small_model):
    steps = steps_of([30] * 40)
    maps = small_model.maps(steps)
    rng = np.random.default_rng(2)
    nowhere = replace(maps, contribution=rng.random(1200).astype(np.float32))
    rank = small_model.deletion(steps, nowhere).rank
    assert 0.3 < rank.mean() < 0.75
    assert (rank <= 0.05).mean() < 0.25


def test_saves_and_loads(small_model, tmp_path):
    small_model.save(tmp_path / "m")
    again = TrackRelevanceModel.load(tmp_path / "m")
    steps = steps_of([12, 20])
    np.testing.assert_array_equal(again.outputs(steps), small_model.outputs(steps))
    np.testing.assert_array_equal(
        again.maps(steps).contribution, small_model.maps(steps).contribution
    )
    assert again.fitted == small_model.fitted
    assert again.removal == small_model.removal
    with pytest.raises(SptError, match="holds a model already"):
        small_model.save(tmp_path / "m")
    small_model.save(tmp_path / "m", overwrite=True)
    assert len(list((tmp_path / "m").iterdir())) == 2


def test_damaged_models(small_model, tmp_path):
    folder = tmp_path / "m"
    card = small_model.save(folder)
    text = card.read_bytes()
    weights = next(folder.glob("*.safetensors"))
    data = weights.read_bytes()
    for size in range(0, len(text) - 1, 211):
        card.write_bytes(text[:size])
        with pytest.raises(SptError, match="damaged or was changed"):
            TrackRelevanceModel.load(folder)
    values = json.loads(text)
    values["shape"]["width"] = 16
    card.write_text(json.dumps(values))
    with pytest.raises(SptError, match="damaged"):
        TrackRelevanceModel.load(folder)
    card.write_bytes(text)
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(SptError, match="SHA-256"):
        TrackRelevanceModel.load(folder)
    weights.unlink()
    with pytest.raises(SptError, match="damaged"):
        TrackRelevanceModel.load(folder)
    with pytest.raises(SptError, match="was not found"):
        TrackRelevanceModel.load(tmp_path / "nothing")
