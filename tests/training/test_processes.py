"""Several processes on one machine (gloo): what they make together, against a manual average."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from spt_explain.errors import SptError
from spt_explain.resandi.backends import devices
from spt_explain.resandi.network import ResAnDi
from spt_explain.training.batches import batches
from spt_explain.training.conditions import Conditions
from spt_explain.training.processes import Processes, local_device, pick_device
from spt_explain.training.recipe import Recipe
from spt_explain.training.simulating import pinball, train

RECIPE = Recipe(
    name="t",
    network={"width": 4, "window": 64, "lengths": [64]},
    data={"pool_steps": 2, "reuse": 1},
    schedule={"steps": 4, "learning_rate": 5e-3, "warmup_share": 0},
    batch={64: 16},
)
# 320 in batches of 29: the last is of one, and one process has no share in it
FIXED = Recipe(
    name="test",
    network={
        "inputs": "positions", "window": 64, "width": 4, "padding": "start", "lengths": [64],
        "alpha": False,
    },
    data={"clean_share": 1, "gap_share": 0, "blur_share": 0, "noise_max": 0},
    batch={64: 64},
    fixed={
        "trajectories": 320, "validation": 160, "batch_size": 29, "learning_rate": 3e-3,
        "epochs": 5,
    },
)  # fmt: skip
SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from spt_explain.training.epochs import fit
from spt_explain.training.simulating import train
from spt_explain.training.processes import Processes
from spt_explain.training.recipe import Recipe

child = os.fork()  # before torch has begun any work: what it takes to import it is saved
os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if child else "1"
torch.set_num_threads(1)
folder, recipe, fixed = Path(sys.argv[1]), *map(Recipe.model_validate_json, sys.argv[2:])
rank = Processes.of_environment().rank
told = {"agreed": Processes.of_environment().agree(10.0 + rank)}
other = torch.nn.Conv2d(2, 2, (1, 3)).to(memory_format=torch.channels_last)
torch.nn.init.constant_(other.weight, 1.0 + rank)
Processes.of_environment().begin_alike(other)
told["alike"] = other.weight.sum().item()

def scheduled(**values):
    return recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update=values)})

def save(network, name):
    tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
    save_file(tensors, folder / f"{name}{rank}.safetensors")

train(scheduled(steps=1), device="cpu", checkpoint=folder / "one.safetensors")
# by the clock, of which each process has its own: they must stop after the same step
_, timed = train(scheduled(steps=None, minutes=0.005), device="cpu")
network, state = train(recipe, device="cpu", checkpoint=folder / "all.safetensors")
told |= {"step": state.step, "samples": state.samples, "timed": [timed.step, timed.total]}
save(network, "")
network, state = fit(fixed, device="cpu")
save(network, "fixed-")
(folder / f"fixed-{rank}.json").write_text(json.dumps([state.history[-1], state.finished]))
(folder / f"{rank}.json").write_text(json.dumps(told))
torch.distributed.destroy_process_group()
if child:
    sys.exit(os.waitpid(child, 0)[1] != 0)
"""


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Folder with what two processes made."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    folder = tmp_path_factory.mktemp("two")
    environment = {
        **os.environ,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [
            sys.executable, "-c", SCRIPT, str(folder), RECIPE.model_dump_json(),
            FIXED.model_dump_json(),
        ],
        env=environment, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_both_end_with_the_same_parameters_and_their_own_statistics(two):
    ranks = [load_file(two / f"{rank}.safetensors") for rank in range(2)]
    names = [name for name, _ in ResAnDi(RECIPE.architecture).named_parameters()]
    for name in names:
        assert torch.equal(ranks[0][name], ranks[1][name]), name
    statistics = [name for name in ranks[0] if "running" in name]
    assert not torch.equal(*(r["bn1.running_mean"] for r in ranks))  # of their own trajectories
    for name in statistics:
        scale = ranks[0][name].abs().max().item()
        torch.testing.assert_close(ranks[0][name], ranks[1][name], rtol=0, atol=0.5 * scale)


def test_all_trajectories_are_counted_and_the_first_process_decides(two):
    told = [json.loads((two / f"{rank}.json").read_text()) for rank in range(2)]
    assert told[0] == told[1]
    assert told[0]["agreed"] == 10.0
    assert told[0]["alike"] == 12.0
    assert told[0]["step"] == 4
    assert told[0]["samples"] == 4 * 16 * 2
    assert told[0]["timed"][0] == told[0]["timed"][1] > 0


def test_only_the_first_writes_a_checkpoint_and_it_holds_what_was_trained(two):
    files = sorted(p.name for p in two.iterdir())
    assert [name for name in files if not name.startswith("fixed-")] == [
        "0.json", "0.safetensors", "1.json", "1.safetensors", "all.safetensors", "one.safetensors"
    ]  # fmt: skip
    stored, mine = load_file(two / "all.safetensors"), load_file(two / "0.safetensors")
    for name, value in mine.items():
        assert torch.equal(stored[f"network.{name}"], value)


def test_a_fixed_set_trains_one_network_of_which_all_have_parameters_and_statistics(two):
    ranks = [load_file(two / f"fixed-{rank}.safetensors") for rank in range(2)]
    assert ranks[0].keys() == ranks[1].keys()
    assert all(torch.equal(ranks[0][name], ranks[1][name]) for name in ranks[0])
    told = [json.loads((two / f"fixed-{rank}.json").read_text()) for rank in range(2)]
    assert told[0][1]
    for key in ("validation_loss", "validation_accuracy"):
        assert told[0][0][key] == pytest.approx(told[1][0][key], rel=1e-6)
    assert told[0][0]["loss"] < 1.95  # from 2.08 by chance


def _gradient(processes):
    """The mean over processes of the gradients at the first parameters, clipped."""
    conditions, levels = Conditions(RECIPE.data), RECIPE.architecture.alpha_levels
    grads = []
    for process in range(processes):
        torch.manual_seed(RECIPE.seed)
        network = ResAnDi(RECIPE.architecture).train()
        batch = next(batches(RECIPE, conditions, "cpu", process=process))
        out = network(*batch.groups)
        loss = torch.nn.functional.cross_entropy(out[:, :8], batch.label)
        loss = loss + RECIPE.schedule.alpha_weight * pinball(out[:, 8:], batch.alpha, levels)
        loss.backward()
        grads.append({name: p.grad for name, p in network.named_parameters()})
    mean = {name: sum(g[name] for g in grads) / processes for name in grads[0]}
    norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in mean.values()])).item()
    return {name: g * min(1.0, RECIPE.schedule.clip_norm / norm) for name, g in mean.items()}


def test_gradients_are_averaged_before_they_are_clipped(tmp_path, two):
    """After one step, in the optimiser's first moments; so are those of one process alone."""
    once = RECIPE.model_copy(update={"schedule": RECIPE.schedule.model_copy(update={"steps": 1})})
    train(once, device="cpu", checkpoint=tmp_path / "alone.safetensors")
    mean, own = _gradient(2), _gradient(1)
    for path, expected in (
        (tmp_path / "alone.safetensors", own),
        (two / "one.safetensors", mean),
    ):
        for name, moment in _moments(path).items():
            torch.testing.assert_close(moment, 0.1 * expected[name], rtol=1e-3, atol=1e-6)
    assert not torch.allclose(mean["fc.weight"], own["fc.weight"], rtol=0.1)


def _moments(path):
    """First moments of the optimiser, by parameter; its numbers run through kernels first."""
    stored = load_file(path)
    named = list(ResAnDi(RECIPE.architecture).named_parameters())
    order = [n for n, p in named if p.ndim > 1] + [n for n, p in named if p.ndim <= 1]
    return {name: stored[f"optimizer.{i}.exp_avg"] for i, name in enumerate(order)}


def test_alone_there_is_nothing_to_agree_on(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    alone = Processes.of_environment()
    assert (alone.rank, alone.count) == (0, 1)
    assert alone.agree(3.5) == 3.5
    network = torch.nn.Linear(1, 1)
    network(torch.ones(1, 1)).sum().backward()
    alone.average_gradients(network)  # no process group is needed
    assert network.weight.grad == 1
    assert local_device("cuda") == "cuda"


def test_the_cpu_stays_the_cpu_under_torchrun(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert local_device("cpu") == "cpu"
    seen = []
    monkeypatch.setattr(torch.cuda, "set_device", seen.append)
    assert local_device("cuda") == "cuda:1"
    assert seen == [1]


def test_a_gpu_is_taken_where_torch_can_use_it(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(devices, "why_not_torch_cuda", lambda: "")
    assert [pick_device(device) for device in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    monkeypatch.setattr(devices, "why_not_torch_cuda", lambda: "no driver")
    assert [pick_device(device) for device in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(SptError, match="device='cuda': torch can't use it here: no driver"):
        pick_device("cuda")
