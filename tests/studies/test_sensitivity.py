import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.resandi.architecture import Architecture
from spt_explain.studies import sensitivity as module
from spt_explain.studies.sensitivity import UNTRAINED, frames_holding, receptive_fields, sensitivity


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.floats(0.1, 1))
def test_the_fewest_frames_that_hold_a_share(values, share):
    size = np.array(values)
    found = frames_holding(size, share)
    if size.sum() == 0:
        assert found == 0
        return
    most = [
        max(size[i : i + n].sum() for i in range(len(size) - n + 1)) for n in range(len(size) + 1)
    ]
    wanted = share * size.sum()
    assert most[found] >= wanted * (1 - 1e-9)
    assert most[found - 1] < wanted * (1 + 1e-9)


def test_a_network_that_only_adds_is_reached_by_as_many_frames_as_its_kernels_say():
    import torch

    from spt_explain.resandi.network import ResAnDi

    shape = Architecture(inputs="positions", width=1, stem_kernel=7, kernel=3, window=1024)
    network = ResAnDi(shape).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
        network.pool = torch.nn.AvgPool2d((1, 3), (1, 2), (0, 1))  # passes on all three
    x = torch.zeros(1, 2, 1024, requires_grad=True)
    fields = receptive_fields(shape)
    for block, (maps, _) in zip(fields, network.stage_features([x]), strict=True):
        gradient = torch.autograd.grad(maps[0][0, :, maps[0].shape[2] // 2].sum(), x,
                                       retain_graph=True)[0]  # fmt: skip
        assert int((gradient[0, 0] != 0).sum()) == fields[block]


def test_the_published_network_sees_all_of_its_input():
    assert receptive_fields(Architecture(inputs="positions")) == {
        "block1": 263, "block2": 655, "block3": 1439, "block4": 3007
    }  # fmt: skip


@pytest.mark.parametrize("weights", ["published", "masked"])
def test_a_study(networks, weights):
    study = sensitivity(every=100, weights=weights, device="cpu", untrained=False)
    assert set(study.widths["change"]) == {"impulse", "step"}
    assert len(study.widths) == 8
    assert set(study.nodes["node"]) == set(range(32))
    last = study.responses[study.responses["block"] == "block4"]
    assert set(last["node"]) == {0, 15, 31}
    assert (study.widths["holding_90"] <= 1000).all()
    first = study.responses.query("block == 'block1' and change == 'impulse'")
    reached = first[first["size"] > 1e-9].groupby("node")["frame"].agg(np.ptp)
    assert (reached <= 263).all()  # nothing comes from further than the kernels reach
    near = first.groupby("node").apply(lambda p: p.loc[p["size"].idxmax(), "frame"])
    assert (near.diff().dropna() > 0).all()  # later nodes see later frames
    assert study.widths["published"].dropna().unique().tolist() == [225]
    assert len(study.sentences) == 2


def test_the_programs_own_measure_is_of_random_weights(networks, monkeypatch):
    monkeypatch.setattr(module, "Architecture", lambda **keys: Architecture(width=2, **keys))
    study = sensitivity(every=250, weights="published", device="cpu", seed=4)
    own = study.responses[study.responses["network"] == UNTRAINED]
    assert set(own["change"]) == {"impulse"}
    # batch normalisation over the one input: every node answers to every frame
    assert (own["size"] > 0).mean() > 0.9
    again = sensitivity(every=250, weights="published", device="cpu", seed=4)
    assert study.responses.equals(again.responses)
    other = sensitivity(every=250, weights="published", device="cpu", seed=5)
    assert not study.responses["size"].equals(other.responses["size"])


@pytest.mark.parametrize("keys", [{"every": 0}, {"length": 1}, {"length": 1001}, {"every": 1000}])
def test_numbers_out_of_range_are_refused(networks, keys):
    with pytest.raises(SptError, match=rf"^{next(iter(keys))}=.+: expected"):
        sensitivity(weights="published", device="cpu", **keys)
