import numpy as np
import torch
from safetensors.numpy import load_file

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.network import ResAnDi
from spt_explain.resandi.quantise import dequantise
from spt_explain.training.batches import batches
from spt_explain.training.export import export
from spt_explain.training.recipe import Recipe


def test_statistics_are_those_of_the_stored_weights(tmp_path):
    """In the first normalisation, the stored mean is that of the first convolution's output."""
    torch.manual_seed(0)
    architecture = Architecture(width=8, window=64)
    recipe = Recipe(name="t", window=64, pool=512, seed=3)
    network = ResAnDi(architecture)
    tensors = {k: v.numpy() for k, v in network.state_dict().items() if "num_batches" not in k}
    files = export(tensors, architecture, recipe, tmp_path, n_batches=8, batch_size=64)
    stored = {}
    for file in files:
        stored.update(load_file(file))
    stored = dequantise(stored)
    for name in ("conv1.weight", "fc.weight", "bn1.weight"):
        np.testing.assert_allclose(stored[name], tensors[name], atol=0.05)
    kernel = torch.from_numpy(stored["conv1.weight"])
    generator = torch.Generator().manual_seed(99)  # other trajectories than the export's
    stream = batches(recipe.model_copy(update={"batch_size": 512}), generator)
    inputs = next(stream)[0][:, :, None]
    outputs = torch.nn.functional.conv2d(inputs, kernel, stride=(1, 2), padding=(0, 17))
    deviation = outputs.std(dim=(0, 2, 3)).numpy()
    difference = outputs.mean(dim=(0, 2, 3)).numpy() - stored["bn1.running_mean"]
    assert (np.abs(difference) < 0.15 * deviation).all()
    ratio = np.sqrt(stored["bn1.running_var"]) / deviation
    assert ((ratio > 0.8) & (ratio < 1.25)).all()
