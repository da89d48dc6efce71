import pytest

from spt_explain.training.recipe import Recipe

TINY = Recipe(
    name="tiny",
    network={"width": 8, "window": 64, "lengths": [64]},
    data={
        "min_points": 50, "clean_share": 1, "gap_share": 0, "blur_share": 0,
        "anisotropy_share": 0, "pool_steps": 32, "reuse": 2,
    },
    schedule={"steps": 100, "learning_rate": 1e-2},
    batch={64: 64},
)  # fmt: skip


@pytest.fixture(scope="session")
def tiny():
    """A recipe for clean trajectories of 50 to 64 points, the network and state it gives in a few
    seconds (about 40 % right, of eight), and what was reported."""
    from spt_explain.training.simulating import train

    reports = []
    network, state = train(TINY, device="cpu", report=reports.append, report_every_s=0)
    return TINY, network, state, reports
