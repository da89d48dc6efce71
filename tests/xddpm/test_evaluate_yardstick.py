import numpy as np
import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.modules import RandomMask
from spt_explain.xddpm.evaluate.yardstick import Yardstick, fit_yardstick


def test_it_predicts_also_with_half_of_the_pixels_missing():
    rng = np.random.default_rng(1)
    level = rng.uniform(0.5, 1.5, (160, 2)).astype(np.float32)
    clips = np.broadcast_to(level[:, :, None, None], (160, 2, 8, 8)).copy()
    targets = (level - 1) / level.std()
    steps = []
    found = fit_yardstick(
        clips[:128],
        targets[:128],
        per_frame=True,
        held_out=(clips[128:], targets[128:]),
        steps=200,
        width=4,
        report=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(step, 200) for step in range(1, 201)]
    # the brightness of a pixel tells all, whichever pixels are left
    assert found.r2 > 0.7
    assert found.r2_half > 0.7
    again = Yardstick.of_bytes(found.to_bytes())
    np.testing.assert_array_equal(again.predict(clips[:5]), found.predict(clips[:5]))
    assert (again.r2, again.r2_half) == (found.r2, found.r2_half)


@pytest.mark.parametrize("data", [b"", b"junk" * 20, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_damaged_file_is_refused(data):
    with pytest.raises(SptError, match="is damaged"):
        Yardstick.of_bytes(data)


def test_blocks_are_missing_whole():
    torch.manual_seed(0)
    clips = torch.ones(64, 2, 16, 16)
    single, blocks = (RandomMask(torch.nn.Identity(), blocks=b).holed(clips) for b in (0.0, 1.0))

    def alike(x):
        return float((x[..., 1:] == x[..., :-1]).float().mean())

    assert alike(blocks) > alike(single) + 0.1
    assert set(blocks.unique().tolist()) == {0.0, 1.0}
    assert 0.3 < float(blocks.mean()) < 0.7
