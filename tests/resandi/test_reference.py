import base64
import copy
import hashlib
import json

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.backends import reference, trusted
from spt_explain.resandi.backends.reference import (
    KEY,
    PER_LENGTH,
    VERSION,
    compute_reference,
    difference,
    from_card,
    reference_windows,
    to_card,
)
from spt_explain.resandi.backends.trusted import reference_of
from spt_explain.resandi.check import check_card
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.store import install_weights
from spt_explain.resandi.weights import find_weights, shipped_names

MASKED = Architecture(
    width=2, window=200, padding="masked", lengths=(64, 256), alpha_levels=(0.05, 0.5, 0.95)
)


@pytest.fixture(scope="module")
def outputs(fitted, tensors_of):
    return compute_reference(MASKED, tensors_of(fitted(MASKED)))


@pytest.mark.parametrize(
    ("architecture", "digest"),
    [
        (Architecture(), "1c661dc6bfa8096f"),
        (MASKED, "cef817f885d70f78"),
    ],
)
def test_the_windows_never_change(architecture, digest):
    # cards hold outputs of these very positions: another digest needs another VERSION
    found = hashlib.sha256()
    for padded, windows in reference_windows(architecture).items():
        rounded = np.rint(windows.positions * 1000).astype("<i8")
        for values in ([padded], windows.starts, windows.stops, rounded):
            found.update(np.asarray(values, "<i8").tobytes())
    assert (VERSION, found.hexdigest()[:16]) == (1, digest)


@pytest.mark.parametrize(
    "architecture",
    [
        MASKED,
        Architecture(),
        Architecture(window=8),
        Architecture(window=1),
        Architecture(padding="masked", window=64, lengths=(4, 64)),  # 4 points at most
        Architecture(padding="masked", window=8, lengths=(4, 8)),
        Architecture(padding="masked", margin=64, lengths=(64, 128, 1024)),
    ],
)
def test_every_length_has_windows_that_fit(architecture):
    found = reference_windows(architecture)
    assert tuple(found) == architecture.run_lengths
    for padded, windows in found.items():
        assert len(windows.lengths) == PER_LENGTH
        assert (architecture.padded_length(windows.lengths) == padded).all()
        assert np.isfinite(windows.positions).all()
        assert (np.ptp(windows.positions, axis=0) > 0).all() or windows.lengths.max() == 1


def test_motions_differ_and_so_do_the_outputs(outputs):
    for values in outputs.values():
        assert values.shape == (PER_LENGTH, MASKED.outputs)
        assert values.std(axis=0).max() > 0.01


def test_a_card_keeps_the_outputs(outputs):
    card = json.loads(json.dumps({KEY: to_card(outputs)}))
    found = from_card(card, MASKED)
    assert found.keys() == outputs.keys()
    for padded, values in found.items():
        np.testing.assert_array_equal(values, outputs[padded])
        assert values.dtype == np.float32


@pytest.mark.parametrize(
    "change",
    [
        {"version": VERSION + 1},
        {"windows": PER_LENGTH + 1},
        {"outputs": {}},  # of other lengths
    ],
)
def test_outputs_of_other_windows_are_not_taken(outputs, change):
    assert from_card({KEY: to_card(outputs) | change}, MASKED) is None
    assert from_card({}, MASKED) is None


def _encoded(values):
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()


SHAPE = (PER_LENGTH, MASKED.outputs)
DAMAGED = {
    "no object": "text",
    "a list": [1, 2],
    "no outputs": {"version": VERSION, "windows": PER_LENGTH},
    "outputs that are a list": {"version": VERSION, "windows": PER_LENGTH, "outputs": [1]},
    "no base64": {"64": "*"},
    "no text": {"64": 5},
    "not ASCII": {"64": "ä"},
    "too short": {"64": _encoded(np.zeros(5))},
    "not floats": {"64": base64.b64encode(b"abc").decode()},
    "a length that is no number": {"long": _encoded(np.zeros(SHAPE))},
    "not numbers": {"64": _encoded(np.full(SHAPE, np.nan))},
    "infinite": {"64": _encoded(np.full(SHAPE, np.inf))},
}


def _damaged(name):
    damage = DAMAGED[name]
    if isinstance(damage, dict) and "version" not in damage:
        damage = {"version": VERSION, "windows": PER_LENGTH, "outputs": damage}
    return damage


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_card_is_an_error(name, outputs):
    card = {"version": "1", "architecture": MASKED.to_dict(), KEY: _damaged(name)}
    with pytest.raises(SptError, match="reference") as caught:
        check_card(card, "the card")
    assert caught.value.exit_code == 2
    check_card(card | {KEY: to_card(outputs)}, "the card")


@pytest.fixture
def own(data, cache, fitted, tensors_of):
    return install_weights(
        "own", tensors_of(fitted(MASKED)), {"architecture": MASKED.to_dict(), "version": "1"}
    )


def _walk():
    return np.random.default_rng(0).normal(size=(30, 2)).cumsum(axis=0), np.array([0, 30])


@pytest.mark.parametrize("name", ["text", *DAMAGED][1:4])
def test_a_damaged_card_stops_the_classifier(own, name):
    card = copy.deepcopy(own.card) | {KEY: _damaged(name)}
    object.__setattr__(own, "card", card)
    with pytest.raises(SptError, match="reference"):
        Classifier(own, device="cpu", jobs=1).predict(*_walk())


@pytest.fixture
def computed(monkeypatch):
    """The architectures that a reference is computed for."""
    found = []

    def noting(architecture, tensors):
        found.append(architecture)
        return compute_reference(architecture, tensors)

    monkeypatch.setattr(trusted, "compute_reference", noting)
    return found


def test_weights_without_a_reference_get_one_once(own, cache, outputs, computed):
    for _ in range(3):
        found = reference_of(own)
        for padded, values in outputs.items():
            np.testing.assert_allclose(found[padded], values, atol=1e-6)
    assert len(computed) == 1
    (file,) = cache.iterdir()
    assert own.sha256[:32] in file.name
    assert not list(cache.glob("*.part"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version": 1}', "\x00", '"text"', "ÿ".encode("latin-1")]
)
def test_a_damaged_file_of_the_cache_is_computed_anew(own, cache, computed, text):
    reference_of(own)
    (file,) = cache.iterdir()
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    reference_of(own)
    assert len(computed) == 2
    reference_of(own)
    assert len(computed) == 2


def test_another_version_is_computed_anew(own, computed, outputs, monkeypatch):
    object.__setattr__(own, "card", own.card | {KEY: to_card(outputs)})
    reference_of(own)
    assert computed == []
    monkeypatch.setattr(reference, "VERSION", VERSION + 1)
    reference_of(own)
    assert computed == [MASKED]
    reference_of(own)
    assert computed == [MASKED]


def test_a_cache_that_cannot_be_written_does_no_harm(own, tmp_path, computed, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPT_EXPLAIN_CACHE", str(tmp_path / "file" / "below"))
    for _ in range(2):
        assert set(reference_of(own)) == set(MASKED.run_lengths)
    assert len(computed) == 2


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_cards_hold_the_reference_of_their_weights(name, computed):
    weights = find_weights(name)
    found = reference_of(weights)
    assert computed == []
    assert set(found) == set(weights.architecture.run_lengths)
    for values in found.values():
        assert np.isfinite(values).all()


# --- how far outputs are off


def test_equal_outputs_do_not_differ(outputs):
    for values in outputs.values():
        assert (difference(values, values, MASKED) == 0).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(MASKED.outputs))
def test_what_is_no_number_is_no_small_difference(outputs, wrong, column):
    values = outputs[64].copy()
    values[3, column] = wrong
    off = difference(values, outputs[64], MASKED)
    assert not off[3] <= 0.1
    assert (np.delete(off, 3) == 0).all()


@pytest.mark.parametrize("column", range(MASKED.outputs))
def test_one_wrong_output_in_one_row_is_seen(outputs, column):
    values = outputs[64].copy()
    values[5, column] += 3
    off = difference(values, outputs[64], MASKED)
    assert off[5] > 0.02
    assert (np.delete(off, 5) == 0).all()


def test_the_difference_is_that_of_class_probabilities_whatever_the_condition():
    architecture = Architecture(noise_edges=(0.3,))
    logits = np.zeros((1, 16), np.float32)
    moved = logits.copy()
    moved[0, :2] = [np.log(1.5), np.log(0.5)]  # between conditions of one class
    assert difference(moved, logits, architecture)[0] == pytest.approx(0, abs=1e-7)
    moved[0] = 0
    moved[0, 0] = np.log(17)  # 1/16 of one class becomes 17/32
    assert difference(moved, logits, architecture)[0] == pytest.approx(18 / 32 - 1 / 8, abs=1e-6)
