import pytest
import torch
from torch import nn

from spt_explain.device_check import wrong_rows
from spt_explain.xddpm import store
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape


class Faulty(nn.Linear):
    """Wrong in one row of 64, and only where a batch is large and not in float64."""

    def forward(self, x):
        y = super().forward(x)
        if len(x) >= 64 and x.dtype == torch.float32:
            y = y.clone()
            y[17::64] += 3
        return y


def test_a_row_in_64_that_is_wrong_is_counted():
    torch.manual_seed(0)
    few = torch.randn(5, 8)
    assert wrong_rows(Faulty(8, 3), few, 128, "cpu", tolerance=1e-3)[0] == 2
    wrong, most = wrong_rows(Faulty(8, 3), few, 32, "cpu", tolerance=1e-3)
    assert wrong == 0
    assert most < 1e-5


def test_what_is_no_number_is_wrong():
    network = nn.Linear(4, 2)
    with torch.no_grad():
        network.weight[0, 0] = float("nan")
    assert wrong_rows(network, torch.ones(2, 4), 6, "cpu", tolerance=1e-3)[0] == 6


@pytest.fixture
def networks():
    torch.manual_seed(0)
    shape = Shape(outputs=1, per_frame=False, width=4, mask_width=4)
    return [Regressor(shape).eval(), MaskNetwork(shape).eval()]


def test_relevance_models_go_to_a_device_that_is_right(networks):
    assert store._trusted("cpu:0", networks, (4, 8, 8)) == ("cpu:0", "")


def test_relevance_models_stay_on_the_cpu_where_the_device_is_wrong(networks, monkeypatch):
    plain = nn.functional.conv3d

    def conv3d(x, *rest, **keys):
        y = plain(x, *rest, **keys)
        if len(x) == 64 and x.dtype == torch.float32:
            y = y.clone()
            y[5] *= 20
        return y

    monkeypatch.setattr(nn.functional, "conv3d", conv3d)
    device, note = store._trusted("cpu:0", networks, (4, 8, 8))
    assert device == "cpu"
    assert "1 of 64" in note
