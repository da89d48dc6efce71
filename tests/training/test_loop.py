import pytest
import torch

from spt_explain.training.loop import train
from spt_explain.training.recipe import Recipe

RECIPE = Recipe(
    name="test",
    width=8,
    window=64,
    min_points=40,
    clean_share=1,
    gap_share=0,
    pool=512,
    batch_size=32,
    steps=250,
    learning_rate=5e-3,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny network, trained in two stretches of one run."""
    checkpoint = tmp_path_factory.mktemp("run") / "c.safetensors"
    reports = []
    _, first = train(
        RECIPE, device="cpu", checkpoint=checkpoint, stop_after_s=0.5, report=reports.append,
        report_every_s=0,
    )  # fmt: skip
    network, second = train(
        RECIPE, device="cpu", checkpoint=checkpoint, report=reports.append, report_every_s=0
    )
    return checkpoint, first, second, reports, network


def test_a_stretch_goes_on_where_the_last_one_ended(trained):
    checkpoint, first, second, _, _ = trained
    assert not first["finished"]
    assert second["finished"]
    assert second["step"] == RECIPE.steps > first["step"] > 0
    assert second["samples"] == second["step"] * RECIPE.batch_size
    assert second["elapsed_s"] > first["elapsed_s"]
    assert not checkpoint.with_name("c.safetensors.part").exists()


def test_it_learns_and_anneals(trained):
    _, _, _, reports, _ = trained
    losses = [entry["loss"] for entry in reports]
    assert sum(losses[-50:]) < sum(losses[:50]) - 50 * 0.05
    assert reports[-1]["learning_rate"] < 0.2 * RECIPE.learning_rate


def test_the_network_returned_is_the_one_in_the_checkpoint(trained):
    checkpoint, _, _, _, network = trained
    again, state = train(RECIPE, device="cpu", checkpoint=checkpoint)
    assert state["finished"]
    x = torch.randn(3, 4, 64)
    assert not network.training
    with torch.inference_mode():
        torch.testing.assert_close(again(x), network(x))
