import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.graph import build_model
from spt_explain.resandi.inputs import build_inputs as shape_arrays
from spt_explain.resandi.network import BatchNorm, ResAnDi
from spt_explain.training.batches import build_inputs

LENGTHS = (64, 128, 256, 512, 1024)
ALPHA = (0.05, 0.5, 0.95)


def make(seed=0, **values):
    """A network as training leaves it: its normalisations are not the identity."""
    torch.manual_seed(seed)
    network = ResAnDi(Architecture(**{"width": 8, **values}))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.3, 0.8)
                module.bias.normal_(0, 0.2)
    return network


def masked(**values):
    return make(padding="masked", lengths=LENGTHS, alpha_levels=ALPHA, **values)


def trajectories(lengths, padded, padding="masked", seed=0):
    """Inputs of random walks of these lengths; the same walks whatever they are padded to."""
    rng = np.random.default_rng(seed)
    paths = np.zeros((len(lengths), max(lengths), 2), np.float32)
    for i, n in enumerate(lengths):
        paths[i, :n] = rng.normal(size=(n, 2)).cumsum(0)
    return build_inputs(
        torch.from_numpy(paths),
        torch.tensor(lengths),
        "positions+displacements",
        padding,
        padded=padded,
    )


def statistics(network):
    return {k: v.clone() for k, v in network.state_dict().items() if "running" in k}


def test_published_shape():
    """Table I of the paper, and the size of the published network."""
    network = ResAnDi(Architecture(inputs="positions")).eval()
    sizes = []

    def note(_, __, out):  # rows of one trajectory: (positions, channels)
        rows = out[0] if isinstance(out, tuple) else out
        sizes.append((rows.shape[1], rows.shape[0]))

    for module in (network.bn1, *(stage[1] for stage in network.stages)):
        module.register_forward_hook(note)
    with torch.inference_mode():
        maps, inside = network.features([torch.zeros(1, 2, 1000)])
    assert sizes == [(64, 500), (64, 250), (128, 125), (256, 63), (512, 32)]
    assert maps[0].shape == (1, 512, 32)
    assert inside == [None]
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(18.5, abs=0.05)
    assert network.conv1.weight.shape == (64, 2, 1, 35)
    others = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m is not network.conv1]
    kernels = {m.kernel_size for m in others}
    assert kernels == {(1, 15), (1, 1)}


# --- the plain network of the paper, from torch's own layers


class Block(nn.Module):
    def __init__(self, c, d, kernel, stride):
        super().__init__()
        self.conv1 = nn.Conv1d(c, d, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm1d(d)
        self.conv2 = nn.Conv1d(d, d, kernel, 1, kernel // 2, bias=False)
        self.bn2 = nn.BatchNorm1d(d)
        self.downsample = None
        if stride != 1 or c != d:
            self.downsample = nn.Sequential(
                nn.Conv1d(c, d, 1, stride, bias=False), nn.BatchNorm1d(d)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Plain(nn.Module):
    """ResNet18 in one dimension, as torchvision builds it in two."""

    def __init__(self, channels, width, outputs):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, width, 35, 2, 17, bias=False)
        self.bn1 = nn.BatchNorm1d(width)
        self.pool = nn.MaxPool1d(3, 2, 1)
        stages, before = [], width
        for i in range(4):
            now = width * 2**i
            stages.append(
                nn.Sequential(Block(before, now, 15, 1 if i == 0 else 2), Block(now, now, 15, 1))
            )
            before = now
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(before, outputs)

    def features(self, x):
        return self.stages(self.pool(torch.relu(self.bn1(self.conv1(x)))))

    def forward(self, x):
        return self.fc(self.features(x).mean(2))


def plain_copy(network):
    """The plain network with the weights of ours."""
    architecture = network.architecture
    plain = Plain(architecture.channels, architecture.width, architecture.outputs)
    ours = network.state_dict()
    theirs = {k: v.squeeze(2) if v.ndim == 4 else v for k, v in ours.items()}
    missing, unexpected = plain.load_state_dict(theirs, strict=False)
    assert unexpected == []
    assert all(key.endswith("num_batches_tracked") for key in missing)
    return plain


@pytest.mark.parametrize("length", [1000, 128, 63])
def test_published_padding_is_a_plain_resnet(length):
    network = make(window=length).eval()
    plain = plain_copy(network).eval()
    x = torch.randn(5, 4, length, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(network(x), plain(x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            network.features([x])[0][0], plain.features(x), rtol=1e-4, atol=1e-5
        )


def test_gradients_and_statistics_in_training_are_those_of_a_plain_resnet():
    network = make(window=96, alpha_levels=ALPHA).train()
    plain = plain_copy(network).train()
    x = torch.randn(12, 4, 96, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(12, 11, generator=torch.Generator().manual_seed(2))
    for module in (network, plain):
        (module(x) * weight).sum().backward()
    theirs = dict(plain.named_parameters())
    for name, p in network.named_parameters():
        expected = theirs[name].grad.reshape(p.grad.shape)
        scale = expected.abs().max().item()
        torch.testing.assert_close(p.grad, expected, rtol=1e-3, atol=1e-4 * scale)
    # torch keeps the unbiased variance of the batch, ours the biased one that it normalises by;
    # with 36 values of a channel (3 nodes of 12 trajectories) they are 1/35 of a tenth apart
    stored = dict(plain.named_buffers())
    for name, value in statistics(network).items():
        if name.endswith("running_mean"):
            torch.testing.assert_close(value, stored[name], rtol=1e-4, atol=1e-5)
        else:
            torch.testing.assert_close(value, stored[name], rtol=0.01, atol=1e-5)
            assert not torch.equal(value, stored[name])


# --- batch normalisation


@pytest.mark.parametrize("inside", [None, "ones"])
def test_normalisation_is_that_of_torch_where_nothing_is_masked(inside):
    torch.manual_seed(0)
    n, channels, t = 7, 5, 9
    ours, theirs = BatchNorm(channels), nn.BatchNorm2d(channels)
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2)
        ours.bias.normal_()
        theirs.weight.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)
    mask = None if inside is None else torch.ones(n * t, 1)
    for _ in range(3):
        x = torch.randn(n, channels, 1, t) * 3 + 2
        rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
        found = ours(rows, mask).view(n, 1, t, channels).permute(0, 3, 1, 2)
        torch.testing.assert_close(found, theirs(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    # of the variance, ours is the biased one: by n/(n − 1) apart, but for the 1 it begins with
    count = n * t
    kept = 0.9**3
    unbiased = kept + (ours.running_var - kept) * count / (count - 1)
    torch.testing.assert_close(unbiased, theirs.running_var)
    assert not torch.equal(ours.running_var, theirs.running_var)
    ours.eval()
    theirs.eval()
    theirs.running_var.copy_(ours.running_var)
    found = ours(rows, None).view(n, 1, t, channels).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, theirs(x), rtol=1e-4, atol=1e-5)


def test_masked_rows_do_not_count():
    torch.manual_seed(1)
    x = torch.randn(60, 4) * 2 + 1
    inside = (torch.rand(60, 1) < 0.4).float()
    kept = x[inside[:, 0] > 0]
    ours, alone = BatchNorm(4), nn.BatchNorm1d(4)
    far = torch.where(inside > 0, x, 1e3)
    found = ours(far, inside)[inside[:, 0] > 0]
    torch.testing.assert_close(found, alone(kept), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.running_mean, alone.running_mean, rtol=1e-4, atol=1e-4)


def test_without_momentum_statistics_are_averages():
    norm = BatchNorm(3, momentum=None)
    norm.running_mean.fill_(7)
    norm.reset_running_stats()
    rows = [torch.randn(50, 3, generator=torch.Generator().manual_seed(i)) + i for i in range(5)]
    for x in rows:
        norm(x, None)
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in rows]).mean(0))
    variances = torch.stack([x.var(0, correction=0) for x in rows])
    torch.testing.assert_close(norm.running_var, variances.mean(0))
    norm.reset_running_stats()
    norm(rows[0], None)
    torch.testing.assert_close(norm.running_mean, rows[0].mean(0))
    assert "batches" not in norm.state_dict()  # nothing more to store


def test_half_precision_rows_are_normalised_in_single():
    """Means of many bf16 values would be far off in bf16."""
    x = (torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)) + 3).bfloat16()
    norm = BatchNorm(2)
    out = norm(x, None)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(norm.running_mean, 0.1 * x.double().mean(0).float())
    assert abs(out.float().mean().item()) < 1e-2


# --- masked padding


@pytest.mark.parametrize("shortest", [1, 2, 31, 33, 64])
def test_how_much_masked_padding_there_is_does_not_matter(shortest):
    network = masked().eval()
    lengths = [shortest, 2, 10, 45, 50, 63]
    with torch.inference_mode():
        expected = network(trajectories(lengths, 64))
        for padded in LENGTHS[1:]:
            found = network(trajectories(lengths, padded))
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert expected.std(dim=0).min() > 1e-3  # not because all outputs are alike


def test_longer_trajectories_too():
    network = masked().eval()
    lengths = [130, 200, 256, 255]
    with torch.inference_mode():
        expected = network(trajectories(lengths, 256))
        for padded in (512, 1024):
            torch.testing.assert_close(
                network(trajectories(lengths, padded)), expected, rtol=1e-5, atol=1e-5
            )


def test_published_padding_does_depend_on_it():
    """Which is why it has one length only."""
    network = make().eval()
    with torch.inference_mode():
        near, far = (network(trajectories([20, 50], p, "start")) for p in (64, 1024))
    assert (near - far).abs().max() > 0.01


def test_feature_maps_are_zero_in_the_padding_and_nodes_cover_their_frames():
    network = masked().eval()
    lengths = [1, 31, 32, 33, 64, 100]
    with torch.inference_mode():
        maps, inside = network.features([trajectories(lengths, 128)])
        shorter, _ = network.features([trajectories(lengths, 256)])
    assert maps[0].shape == (6, 64, 4)
    # each node covers 32 frames, counted from the end
    expected = [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1]]
    assert inside[0][:, 0].tolist() == expected
    assert (maps[0] * (1 - inside[0]) == 0).all()
    assert ((maps[0].abs().sum(1, keepdim=True) > 0) == (inside[0] > 0)).all()
    torch.testing.assert_close(shorter[0][..., -4:], maps[0], rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        logits = network.fc((maps[0]).sum(2) / inside[0].sum(2))
        torch.testing.assert_close(network(trajectories(lengths, 128)), logits)


def _groups():
    short, long = [10, 40, 64, 3, 22, 51], [70, 128, 100, 90]
    split = [trajectories(short, 64, seed=1), trajectories(long, 128, seed=2)]
    joined = torch.cat([trajectories(short, 256, seed=1), trajectories(long, 256, seed=2)])
    return split, joined


def test_groups_are_what_they_are_padded_to_one_length_in_evaluation():
    network = masked().eval()
    split, joined = _groups()
    with torch.inference_mode():
        torch.testing.assert_close(network(*split), network(joined), rtol=1e-5, atol=1e-5)
        apart = torch.cat([network(group) for group in split])
        torch.testing.assert_close(network(*split), apart, rtol=1e-5, atol=1e-5)
        maps, inside = network.features(split)
    assert [m.shape for m in maps] == [(6, 64, 2), (4, 64, 4)]
    assert [m.shape for m in inside] == [(6, 1, 2), (4, 1, 4)]


def test_groups_are_what_they_are_padded_to_one_length_in_training():
    """Outputs, statistics and gradients: a batch split by length is the same batch."""
    split, joined = _groups()
    weight = torch.randn(10, 11, generator=torch.Generator().manual_seed(3))
    one, other = masked().train(), masked().train()
    a, b = one(*split), other(joined)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    (a * weight).sum().backward()
    (b * weight).sum().backward()
    found, expected = statistics(one), statistics(other)
    before = statistics(masked())
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(value, before[name], rtol=1e-3)
    theirs = dict(other.named_parameters())
    for name, p in one.named_parameters():
        scale = theirs[name].grad.abs().max().item()
        torch.testing.assert_close(p.grad, theirs[name].grad, rtol=1e-3, atol=1e-3 * scale)
    # the known trap: each length by itself has other statistics
    apart = torch.cat([masked().train()(group) for group in split])
    assert (apart - a).abs().max() > 0.05


def test_published_padding_takes_groups_as_well():
    network = make().eval()
    split = [trajectories([20, 30], 64, "start"), trajectories([70, 90, 100], 128, "start")]
    with torch.inference_mode():
        apart = torch.cat([network(group) for group in split])
        torch.testing.assert_close(network(*split), apart, rtol=1e-5, atol=1e-5)


def test_a_single_trajectory_and_a_batch_give_the_same():
    network = masked().eval()
    x = trajectories([12, 60, 33], 64)
    with torch.inference_mode():
        alone = torch.cat([network(row[None]) for row in x])
        torch.testing.assert_close(network(x), alone, rtol=1e-5, atol=1e-5)


def test_a_margin_is_kept_before_each_trajectory_and_no_more_matters():
    architecture = Architecture(
        width=8, window=128, padding="masked", margin=40, lengths=(128, 256, 512)
    )
    torch.manual_seed(0)
    network = ResAnDi(architecture).eval()
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.bias.data.normal_(0, 0.2)  # or nothing would ever be in the margin
    rng = np.random.default_rng(0)
    lengths = np.array([10, 33, 80])
    positions = rng.normal(size=(lengths.sum(), 2)).cumsum(0)
    stops = lengths.cumsum()

    def outputs(some, padded):
        x = shape_arrays(
            positions,
            (stops - lengths)[some],
            stops[some],
            window=padded,
            kind=architecture.inputs,
            padding="masked",
        )
        with torch.no_grad():
            return network(torch.from_numpy(x)).numpy()

    every = np.arange(3)
    expected = outputs(every, 512)
    np.testing.assert_allclose(outputs(every, 128), expected, atol=1e-6)
    np.testing.assert_allclose(outputs(every[:1], 64), expected[:1], atol=1e-6)
    # 33 points and 40 of margin do not fit into 64
    assert np.abs(outputs(every[1:2], 64) - expected[1:2]).max() > 1e-5
    with torch.no_grad():
        x = shape_arrays(
            positions, stops - lengths, stops, window=128, kind=architecture.inputs,
            padding="masked",
        )  # fmt: skip
        _, (inside,) = network.features([torch.from_numpy(x)])
    session = ort.InferenceSession(
        build_model(architecture, {k: v.numpy() for k, v in network.state_dict().items()}),
        providers=["CPUExecutionProvider"],
    )
    found = session.run(["outputs"], {"trajectories": x})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    # the first frame is at 128 − n, the margin begins 40 before it, and nodes are 32 apart
    assert inside[:, 0].sum(1).tolist() == [4 - (128 - n - 40) // 32 for n in (10, 33, 80)]
