import itertools
import json

import numpy as np
import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.backends import load_backend, trusted
from spt_explain.resandi.backends.devices import Device
from spt_explain.resandi.backends.reference import KEY, reference_windows, to_card
from spt_explain.resandi.backends.runner import OutOfMemoryError, Output, rows_at, stream_of
from spt_explain.resandi.backends.trusted import CACHE, TOLERANCE, Candidate, TrustedBackend
from spt_explain.resandi.inputs import build_inputs
from spt_explain.resandi.store import install_weights

ARCHITECTURE = Architecture(
    width=2, window=256, padding="masked", lengths=(64, 256), alpha_levels=(0.05, 0.5, 0.95)
)
LENGTHS = [3, 64, 20, 65, 128, 200, 256, 130, 90, 12] * 4


def formula(inputs):
    """Outputs, (n, 11), that are quick to compute and do not depend on the padding."""
    inside = inputs[:, None, -1]
    series = np.concatenate([inputs[:, :4], inputs[:, :4] ** 2, inputs[:, :4] ** 3], axis=1)
    features = (series * inside).sum(axis=2) / inside.sum(axis=2)
    mixing = np.random.default_rng(0).normal(size=(12, ARCHITECTURE.outputs))
    return (features @ mixing).astype(np.float32)


def _inputs(positions, starts, stops, padded):
    return build_inputs(
        positions, starts, stops, window=padded, kind=ARCHITECTURE.inputs, padding="masked"
    )


@pytest.fixture(scope="module")
def installed(fitted, tensors_of, tmp_path_factory):
    """Weights whose card says that the network gives what the formula gives."""
    reference = {
        padded: formula(_inputs(windows.positions, windows.starts, windows.stops, padded))
        for padded, windows in reference_windows(ARCHITECTURE).items()
    }
    card = {"architecture": ARCHITECTURE.to_dict(), "version": "1", KEY: to_card(reference)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPT_EXPLAIN_DATA", str(tmp_path_factory.mktemp("data")))
        return install_weights("mine", tensors_of(fitted(ARCHITECTURE)), card)


@pytest.fixture
def weights(installed, cache):
    return installed


class FakeRunner:
    """What gives the right outputs, with a fault."""

    def __init__(self, fault=None, *, batch_size=16, fixed=False, **values):
        self.fault = fault
        self.batch_size = batch_size
        self.fixed = fixed
        self.device = Device("cuda", values.pop("device", "cuda:0 Fake 1"))
        self.precision = values.pop("precision", "float32")
        self.versions = values.pop("versions", "fake 1.0")
        self.ran = []
        self.expected = []

    def expect(self, points):
        self.expected.append(points)

    def variant(self, padded):
        return f"plain {padded}"

    def run(self, inputs, *, tapped=True):
        self.ran.append((inputs.shape[2], len(inputs)))
        outputs = formula(inputs)
        if self.fault is not None:
            outputs = self.fault(outputs, inputs.shape[2])
        return Output(outputs)

    def stream(self, windows, parts):
        return stream_of(self.run, windows, parts, ARCHITECTURE)


@pytest.fixture
def make(weights):
    """Return a function that makes a backend of runners with faults, in the order they are tried.

    A fault takes outputs and padded length; runners that were started are in ``backend.started``.
    """

    def make(*faults, batch_size=16, fixed=False, weights=weights, **values):
        started = {}
        candidates = []
        for i, fault in enumerate(faults):

            def start(size, i=i, fault=fault):
                if isinstance(fault, Exception):
                    raise fault
                started[i] = FakeRunner(fault, batch_size=size or batch_size, fixed=fixed,
                    **{"device": f"cuda:0 Fake {i}", **values},
                )  # fmt: skip
                return started[i]

            candidates.append(Candidate(f"way {i}", start))
        backend = TrustedBackend(weights, candidates)
        backend.started = started
        return backend

    return make


def _walks(lengths=LENGTHS, seed=0):
    stops = np.cumsum(lengths)
    rng = np.random.default_rng(seed)
    return rng.normal(size=(stops[-1], 2)).cumsum(axis=0), stops - lengths, stops


def _check(backend, lengths=LENGTHS, seed=0, network=formula):
    """Stream walks: every window comes once, and right."""
    positions, starts, stops = _walks(lengths, seed)
    expected = network(_inputs(positions, starts, stops, 256))
    times = np.zeros(len(starts), int)
    for index, output in backend.stream(positions, starts, stops):
        np.testing.assert_allclose(output.outputs, expected[index], rtol=1e-3, atol=1e-4)
        np.add.at(times, index, 1)
    assert (times == 1).all()


# --- faults


def one_row_in_64(outputs, padded, *, at=5, length=None, off=5.0):
    if length in (None, padded):
        outputs[at::64, 0] += off
    return outputs


def at_one_length(outputs, padded):
    return one_row_in_64(outputs, padded, length=128)


def in_large_batches(outputs, padded):
    return one_row_in_64(outputs, padded) if len(outputs) > 32 else outputs


def everywhere(outputs, padded):
    return outputs + np.float32(1) * (np.arange(outputs.shape[1]) == 2)


def not_numbers(outputs, padded):
    outputs[-1, 4] = np.nan
    return outputs


def infinite(outputs, padded):
    outputs[0, -1] = np.inf
    return outputs


def alpha_alone(outputs, padded):
    outputs[:, -2] += 0.5
    return outputs


def shifted_rows(outputs, padded):
    return np.roll(outputs, 1, axis=0)


# --- what is wrong is found before it is used


def test_what_is_right_is_used_and_nothing_is_said(make):
    backend = make(None, everywhere)
    _check(backend)
    assert backend.notes == []
    assert list(backend.started) == [0]


@pytest.mark.parametrize(
    "fault",
    [everywhere, one_row_in_64, at_one_length, not_numbers, infinite, alpha_alone, shifted_rows],
)
@pytest.mark.parametrize("fixed", [False, True])
def test_a_way_that_is_wrong_is_given_up_and_said(make, fault, fixed):
    backend = make(fault, None, batch_size=64, fixed=fixed)
    _check(backend)
    (note,) = backend.notes
    assert "way 0" in note
    assert "wrong" in note
    assert "way 1 is used" in note
    _check(backend, seed=1)  # and stays given up
    assert len(backend.notes) == 1


def test_a_shape_that_is_not_used_is_not_compared(make):
    backend = make(at_one_length, None)
    _check(backend, [10, 200, 30])  # nothing is padded to 128
    assert backend.notes == []
    _check(backend, [10, 200, 100, *[90] * 8])
    assert len(backend.notes) == 1


def test_one_wrong_row_in_64_needs_a_batch_as_large(make):
    backend = make(lambda o, p: one_row_in_64(o, p, at=63), None, batch_size=64)
    _check(backend, [256] * 63)
    assert backend.notes == []
    _check(backend, [256] * 64)
    assert len(backend.notes) == 1


def test_wrong_in_large_batches_only_means_smaller_ones(weights):
    def start(divisor):
        return lambda _: FakeRunner(in_large_batches, batch_size=64 // divisor, fixed=True)

    candidates = [Candidate(f"batches of {64 // d}", start(d)) for d in (1, 4, 16)]
    backend = TrustedBackend(weights, candidates)
    _check(backend, [200] * 90)
    assert backend.batch_size == 16
    assert len(backend.notes) == 1
    assert "batches of 16 is used" in backend.notes[0]


def test_each_place_in_a_block_of_rows_meets_every_window(make):
    backend = make(None, batch_size=512)
    rows = []
    plain = backend.started[0].run
    backend.started[0].run = lambda inputs, **options: rows.append(inputs) or plain(inputs)
    list(backend.stream(*_walks([256] * 512)))
    compared, _ = rows
    assert len(compared) == 512
    for block in (8, 16, 32, 64):
        for place in range(block):
            assert len(np.unique(compared[place::block], axis=0)) == 8


def test_several_wrong_ways_are_given_up_one_after_the_other(make):
    backend = make(everywhere, SptError("does not start"), not_numbers, None)
    _check(backend)
    assert len(backend.notes) == 2
    assert list(backend.started) == [0, 2, 3]


def test_a_way_that_goes_wrong_at_another_length_later_is_given_up_then(make):
    backend = make(at_one_length, everywhere, None)
    _check(backend, [20] * 30)
    assert backend.notes == []
    _check(backend, [20] * 30 + [100] * 30)
    assert [note.split()[1] for note in backend.notes] == ["0", "1"]
    _check(backend)


def test_where_all_are_wrong_nothing_is_given(make):
    backend = make(everywhere, not_numbers)
    with pytest.raises(SptError, match="way 1") as caught:
        next(backend.stream(*_walks()))
    assert caught.value.exit_code == 1
    assert len(str(caught.value).splitlines()) == 1


def test_a_way_that_fails_as_it_is_compared_is_given_up(make):
    def fails(outputs, padded):
        raise SptError("the network failed on cuda: not supported\nremedy", exit_code=1)

    backend = make(fails, None)
    _check(backend)
    (note,) = backend.notes
    assert "not supported" in note
    assert "remedy" not in note
    with pytest.raises(SptError, match="not supported") as caught:
        next(make(everywhere, fails).stream(*_walks()))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("precision", TOLERANCE)
def test_rounding_is_no_fault(make, precision):
    rng = np.random.default_rng(0)

    def rounding(outputs, padded):
        return outputs + rng.normal(scale=TOLERANCE[precision] / 20, size=outputs.shape).astype("f")

    backend = make(rounding, None, precision=precision)
    list(backend.stream(*_walks()))
    assert backend.notes == []
    coarse = make(lambda o, p: o + np.eye(11, dtype="f")[0] * TOLERANCE[precision] * 40, None,
                  precision=precision, versions="coarse")  # fmt: skip
    _check(coarse)
    assert len(coarse.notes) == 1


def test_no_windows_run_nothing(make):
    backend = make(everywhere)
    nothing = np.zeros(0, np.int64)
    assert list(backend.stream(np.zeros((0, 2)), nothing, nothing)) == []


# --- memory that runs out


class Memory:
    """A fault: memory for so many points at a time, from a call on."""

    def __init__(self, points, after=0):
        self.points, self.after, self.calls = points, after, 0

    def __call__(self, outputs, padded):
        self.calls += 1
        if self.calls > self.after and len(outputs) * padded > self.points:
            raise OutOfMemoryError("CUDA out of memory")
        return outputs


@pytest.mark.parametrize("after", [0, 1, 4, 5])
@pytest.mark.parametrize("fixed", [False, True])
def test_memory_that_runs_out_halves_the_batch(make, after, fixed):
    memory = Memory(20 * 256, after)
    backend = make(memory, None, batch_size=64, fixed=fixed)
    _check(backend, [256, 100, 30, 250, 20] * 30)
    assert memory.calls > after
    assert backend.batch_size == 16
    assert len(backend.notes) == 2
    for note in backend.notes:
        assert "memory" in note
    assert list(backend.started) == [0]


def test_memory_too_little_for_anything_means_the_next_way(make):
    backend = make(Memory(0, 4), None, batch_size=64)
    _check(backend)
    assert "memory" in backend.notes[-1]
    assert "way 1 is used" in backend.notes[-1]
    with pytest.raises(SptError, match="memory") as caught:
        next(make(Memory(0), batch_size=64).stream(*_walks()))
    assert caught.value.exit_code == 1


def test_memory_for_inputs_of_ones_own(make, walks):
    x = walks(ARCHITECTURE, [60] * 50, 64)
    expected = formula(x)
    backend = make(Memory(13 * 64), None, batch_size=64)
    np.testing.assert_allclose(backend.outputs(x), expected, rtol=1e-3, atol=1e-4)
    assert list(backend.started) == [0]
    assert backend.batch_size == 16
    backend = make(Memory(0), None, batch_size=64)
    np.testing.assert_allclose(backend.outputs(x), expected, rtol=1e-3, atol=1e-4)
    assert list(backend.started) == [0, 1]


def test_the_consumer_may_stop_early(make):
    backend = make(None)
    stream = backend.stream(*_walks())
    next(stream)
    stream.close()


# --- what was found is remembered


def _shapes(backend):
    return list(backend.started[0].ran)


def test_a_shape_is_compared_once_in_a_process(make):
    backend = make(None)
    _check(backend)
    first = len(_shapes(backend))
    _check(backend)
    again = len(_shapes(backend)) - first
    assert first == 2 * again - _repeated(backend, again)


def _repeated(backend, n):
    """Batches of the last n that have the shape of one before them."""
    last = _shapes(backend)[-n:]
    return len(last) - len(set(last))


def test_what_held_is_remembered_by_the_next_process(make, cache):
    first = make(None)
    _check(first)
    stored = json.loads((cache / CACHE).read_text())
    second = make(None)
    _check(second)
    assert len(_shapes(second)) < len(_shapes(first))
    assert json.loads((cache / CACHE).read_text()) == stored
    assert not list(cache.glob("*.part"))


@pytest.mark.parametrize(
    "changed",
    [
        {"versions": "fake 1.1"},
        {"device": "cuda:0 Fake X"},
        {"precision": "float16"},
        {"batch_size": 32},
    ],
)
def test_another_configuration_is_compared_again(make, changed):
    _check(make(None, fixed=True))
    again = make(everywhere, None, fixed=True, **changed)
    _check(again)
    assert len(again.notes) == 1


def test_other_weights_are_compared_again(make, data, weights):
    _check(make(None))
    tensors = weights.load()
    tensors["fc.bias"] = tensors["fc.bias"] + np.float32(0.001)
    other = install_weights("other", tensors, weights.card)
    with pytest.raises(SptError, match="wrong"):
        next(make(everywhere, weights=other).stream(*_walks()))


def test_another_version_of_this_program_compares_again(make, monkeypatch):
    _check(make(None))
    monkeypatch.setattr(trusted, "__version__", "999")
    again = make(everywhere, None)
    _check(again)
    assert len(again.notes) == 1


def test_what_is_wrong_is_not_remembered_as_right(make):
    _check(make(everywhere, None))
    again = make(everywhere, None, versions="fake 1.0")
    _check(again)


def test_a_stricter_tolerance_compares_again(make, monkeypatch):
    slightly = make(lambda o, p: o + np.eye(11, dtype="f")[0] * np.float32(1e-3))
    list(slightly.stream(*_walks()))
    monkeypatch.setitem(TOLERANCE, "float32", 1e-6)
    again = make(lambda o, p: o + np.eye(11, dtype="f")[0] * np.float32(1e-3), everywhere)
    with pytest.raises(SptError, match="wrong"):
        list(again.stream(*_walks()))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[1]", b"null", b"\xff\x00", b'{"a": 1}', b'{"a": [1]}', b'{"a": ["x", "y"]}',
        b'{"a": [1e999, "y"]}', b"[" * 100_000, b'{"a": [' + b"9" * 400 + b', "y"]}',
    ],
)  # fmt: skip
def test_a_damaged_cache_does_no_harm(make, cache, content):
    cache.mkdir()
    (cache / CACHE).write_bytes(content)
    _check(make(None), [20, 200, 100])
    stored = json.loads((cache / CACHE).read_text())
    assert len([key for key in stored if key != "a"]) == 3
    again = make(None)
    _check(again, [20, 200, 100])
    assert len(_shapes(again)) == 3


def test_differences_that_do_not_hold_are_no_proof(make, cache):
    _check(make(None))
    stored = json.loads((cache / CACHE).read_text())
    for wrong in (float("nan"), 1.0):
        damaged = {key: [wrong, about] for key, (_, about) in stored.items()}
        (cache / CACHE).write_text(json.dumps(damaged))
        with pytest.raises(SptError, match="wrong"):
            next(make(everywhere).stream(*_walks()))


def test_a_cache_that_cannot_be_written_does_no_harm(make, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below", "file/below/it"):
        monkeypatch.setenv("SPT_EXPLAIN_CACHE", str(tmp_path / place))
        _check(make(None), [20, 200])
    monkeypatch.setenv("SPT_EXPLAIN_CACHE", str(tmp_path / "taken"))
    (tmp_path / "taken" / CACHE).mkdir(parents=True)  # a folder has the file's name
    _check(make(None), [20, 200])


def test_a_home_in_the_name_of_the_cache_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPT_EXPLAIN_CACHE", "~/here")
    assert trusted.cache_folder() == tmp_path / "here"
    monkeypatch.setenv("SPT_EXPLAIN_CACHE", "  ")
    assert trusted.cache_folder().is_absolute()


def test_the_cache_does_not_grow_for_ever(make, cache, monkeypatch):
    monkeypatch.setattr(trusted, "_MOST_REMEMBERED", 4)
    for version in "abc":
        _check(make(None, versions=version), [20, 200, 100])
    stored = json.loads((cache / CACHE).read_text())
    assert len(stored) == 4
    last = make(None, versions="c")
    _check(last, [20, 200, 100])
    assert len(_shapes(last)) == 3  # the latest are kept


def test_what_another_process_wrote_is_kept(make, cache):
    first, second = make(None, versions="a"), make(None, versions="b")
    for backend, length in itertools.product((first, second), (20, 200)):
        _check(backend, [length])
    assert len(json.loads((cache / CACHE).read_text())) == 4


# --- spt-explain doctor --verify


def test_verify_compares_every_length_anew(make):
    _check(make(None))
    backend = make(None)
    found = backend.verify()
    shapes = [(n, rows_at(16, ARCHITECTURE, n)) for n in ARCHITECTURE.run_lengths]
    assert [(one.padded, one.size) for one in found] == shapes
    assert all(one.holds and not one.remembered for one in found)
    assert _shapes(backend) == shapes
    assert backend.verify() == found
    assert len(_shapes(backend)) == 2 * len(shapes)


def test_verify_finds_what_was_right_before_and_it_is_forgotten(make):
    right = make(None, batch_size=64)
    right.verify()
    wrong = make(one_row_in_64, None, batch_size=64)
    found = wrong.verify()
    failed = [one for one in found if not one.holds]
    assert [(one.wrong, one.name) for one in failed] == [(4, "way 0"), (2, "way 0"), (1, "way 0")]
    assert "WRONG" in failed[0].in_words()
    assert len(wrong.notes) == 1
    # the next process does not trust what it remembered
    again = make(one_row_in_64, None, batch_size=64, fixed=True)
    _check(again)
    assert len(again.notes) == 1


def test_verify_takes_smaller_batches_where_memory_runs_out(make):
    backend = make(Memory(20 * 256), None, batch_size=64)
    found = backend.verify()
    assert backend.batch_size == 16
    assert [one.size for one in found] == [rows_at(16, ARCHITECTURE, one.padded) for one in found]
    with pytest.raises(SptError, match="wrong"):
        make(everywhere).verify()


# --- the real networks


@pytest.fixture(scope="module")
def real(fitted, tensors_of, tmp_path_factory):
    """Weights without a reference on their card, and the network."""
    network = fitted(ARCHITECTURE)
    card = {"architecture": ARCHITECTURE.to_dict(), "version": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPT_EXPLAIN_DATA", str(tmp_path_factory.mktemp("data")))
        weights = install_weights("real", tensors_of(network), card)

    def outputs(inputs):
        with torch.inference_mode():  # few at a time: the planted fault is in large batches
            parts = [
                network(torch.from_numpy(inputs[i : i + 16])) for i in range(0, len(inputs), 16)
            ]
        return torch.cat(parts).numpy()

    return weights, outputs


@pytest.fixture
def planted(monkeypatch, real):
    """A convolution that is wrong in one row of 64, in batches of 64 and more, as cuDNN's was."""
    plain = torch.nn.functional.conv2d

    def wrong(x, *arguments, **keys):
        y = plain(x, *arguments, **keys)
        if len(x) >= 64:
            y[41::64] += 17
        return y

    monkeypatch.setattr(torch.nn.functional, "conv2d", wrong)


def test_a_planted_wrong_convolution_is_caught(real, cache, planted):
    weights, network = real
    backend = load_backend(weights, backend="torch", device="cpu", jobs=1)
    assert "torch" in backend.device.description
    _check(backend, [30] * 300 + [200] * 20, network=network)
    assert "ONNX Runtime" in backend.device.description
    (note,) = backend.notes
    assert "torch on cpu" in note
    assert "ONNX Runtime on cpu" in note


def test_the_planted_convolution_would_have_been_used(real, cache, planted, monkeypatch):
    weights, network = real
    monkeypatch.setattr(TrustedBackend, "_first_failing", lambda *_: None)
    backend = load_backend(weights, backend="torch", device="cpu", jobs=1)
    positions, starts, stops = _walks([30] * 300)
    expected = network(_inputs(positions, starts, stops, 256))
    off = np.zeros(300)
    for index, output in backend.stream(positions, starts, stops):
        off[index] = np.abs(output.outputs - expected[index]).max(axis=1)
    assert 3 <= (off > 0.1).sum() <= 5


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_real_backends_agree_with_the_reference(real, cache, backend):
    weights, network = real
    loaded = load_backend(weights, backend=backend, device="cpu", jobs=1)
    _check(loaded, network=network)
    assert loaded.notes == []
    found = loaded.verify()
    assert all(one.holds for one in found)
    assert max(one.difference for one in found) < 1e-5


def test_another_way_to_the_outputs_is_compared_too(make):
    backend = make(None, batch_size=4)
    assert backend.agrees(formula, 128, 96, "right")

    def wrong_in_a_row(inputs):
        outputs = formula(inputs)
        outputs[70] += np.arange(outputs.shape[1])
        return outputs

    assert not backend.agrees(wrong_in_a_row, 128, 96, "wrong")
    assert "1 of 96" in backend.notes[-1]
    assert backend.agrees(formula, 128, 96, "wrong") is False  # looked at once
