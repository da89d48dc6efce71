import hashlib
import json

import numpy as np
import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.xddpm.bottleneck import Bottleneck
from spt_explain.xddpm.layout import Layout
from spt_explain.xddpm.model import Fitted, RelevanceModel
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape
from spt_explain.xddpm.scale import Scale
from spt_explain.xddpm.signals import Signal
from spt_explain.xddpm.store import CARD, load, save
from spt_explain.xddpm.sufficiency import Curve


def make(seed=1, **changes):
    torch.manual_seed(seed)
    shape = Shape(outputs=2, per_frame=True, width=4, mask_width=4)
    values = np.random.default_rng(seed).normal(size=(9, 3, 2))
    given = {
        "regressor": Regressor(shape).eval(),
        "masker": MaskNetwork(shape).eval(),
        "bottleneck": Bottleneck("iba", 0.2),
        "scale": Scale(10.0, 3.0),
        "signal": Signal.fit(values, ("area", "größe"), per="frame"),
        "frames": 3,
        "size": (8, 12),
        "fitted": Fitted(
            r2=0.9,
            shuffled_r2=-0.1,
            train_r2=0.95,
            clips=9,
            held_out=("b",),
            regressor_steps=5,
            seconds=1.5,
            mean_mask=0.2,
            curve=Curve((0.1, 1.0), (0.5, 0.0), (0.88, 0.9), 0.95, 0),
            recipe={"name": "x"},
        ),
    }
    return RelevanceModel(**(given | changes))


def _card(folder):
    return json.loads((folder / CARD).read_text(encoding="utf-8"))


def _write(folder, card):
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")


def test_a_model_comes_back_as_it_was(tmp_path):
    model = make()
    save(model, tmp_path / "new" / "model")
    again = load(tmp_path / "new" / "model")
    clips = np.random.default_rng(2).normal(10, 3, (5, 3, 8, 12))
    np.testing.assert_array_equal(model.predict(clips), again.predict(clips))
    before, after = model.maps(clips), again.maps(clips)
    np.testing.assert_array_equal(before.contribution, after.contribution)
    np.testing.assert_array_equal(before.information, after.information)
    assert again.fitted == model.fitted
    assert again.signal == model.signal
    assert again.threshold == 0.5
    assert not list((tmp_path / "new" / "model").glob("*.part"))


def test_cards_of_before_are_read_as_they_were_meant(tmp_path):
    save(make(symmetric=True), tmp_path)
    again = load(tmp_path)
    assert again.symmetric
    card = _card(tmp_path)
    del card["symmetric"]
    _write(tmp_path, card)
    assert not load(tmp_path).symmetric


def test_the_layout_of_its_clips_comes_back_and_may_be_absent(tmp_path):
    layout = Layout(None, 3, 2, 4, channel=2, z="mean")
    save(make(layout=layout), tmp_path)
    assert load(tmp_path).layout == layout
    card = _card(tmp_path)
    del card["layout"]  # models of before
    _write(tmp_path, card)
    assert load(tmp_path).layout is None


@pytest.mark.parametrize(
    "change", [{"bin": 0}, {"tile": 3}, {"frames": 4}, {"tile": 12}, {"z": "min"}, {"channel": 0}]
)
def test_layouts_that_make_no_sense(tmp_path, change):
    save(make(layout=Layout(None, 3, 2, 4)), tmp_path)
    card = _card(tmp_path)
    card["layout"] |= change
    _write(tmp_path, card)
    with pytest.raises(SptError, match="damaged"):
        load(tmp_path)


def test_the_card_holds_the_hash_of_the_parameters(tmp_path):
    save(make(), tmp_path)
    ((name, digest),) = _card(tmp_path)["files"].items()
    assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest


def test_overwriting_is_asked_for_and_leaves_one_model(tmp_path):
    save(make(1), tmp_path)
    with pytest.raises(SptError, match="overwrite=True"):
        save(make(2), tmp_path)
    save(make(2), tmp_path, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 2
    clips = np.ones((1, 3, 8, 12))
    np.testing.assert_array_equal(load(tmp_path).predict(clips), make(2).predict(clips))


def test_changed_parameters_are_refused(tmp_path):
    save(make(), tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.raises(SptError, match="SHA-256"):
        load(tmp_path)
    file.unlink()
    with pytest.raises(SptError, match="damaged"):
        load(tmp_path)
    with pytest.raises(SptError, match="not found"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize("share", np.linspace(0, 0.99, 12))
def test_a_card_cut_off_anywhere(tmp_path, share):
    save(make(), tmp_path)
    data = (tmp_path / CARD).read_bytes()
    (tmp_path / CARD).write_bytes(data[: int(share * len(data))])
    with pytest.raises(SptError) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("frames",), 10**9),
        (("frames",), 4),
        (("size",), [0, 12]),
        (("size",), [8]),
        (("shape", "width"), 10**6),
        (("shape", "outputs"), 3),
        (("shape", "per_frame"), False),
        (("shape", "coordinates"), False),
        (("scale", "spread"), 0),
        (("scale", "spread"), float("nan")),
        (("signal", "std"), [1.0, -1.0]),
        (("signal", "names"), []),
        (("bottleneck", "kind"), "other"),
        (("fitted", "curve", "chosen"), 7),
        (("format",), "something else"),
        (("files",), {"../weights.safetensors": "0"}),
        (("files",), {}),
        (("extra",), 1),
    ],
)
def test_cards_that_make_no_sense(tmp_path, path, value):
    save(make(), tmp_path)
    card = _card(tmp_path)
    place = card
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    _write(tmp_path, card)
    with pytest.raises(SptError, match="damaged"):
        load(tmp_path)


@pytest.mark.parametrize("junk", [b"", b"\xff\xfe\x00", b"[1, 2]", b"{}", b"[" * 100_000, b"\x00"])
def test_junk_for_a_card(tmp_path, junk):
    save(make(), tmp_path)
    (tmp_path / CARD).write_bytes(junk)
    with pytest.raises(SptError):
        load(tmp_path)


def test_parameters_that_are_not_finite(tmp_path):
    model = make()
    with torch.no_grad():
        model.regressor.head.weight[0] = float("nan")
    save(model, tmp_path)
    with pytest.raises(SptError, match="finite"):
        load(tmp_path)
