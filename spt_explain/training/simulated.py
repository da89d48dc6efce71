"""The test set of the paper's protocol, from our own simulators, as much of it as is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.core.config import setting
from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError, option
from spt_explain.training.evaluation import LENGTH_EDGES, length_bands
from spt_explain.training.labelled import LabelledTracks, join
from spt_explain.training.options import SimulatedOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

NOISE_LEVELS = tuple(round(i / 10, 1) for i in range(11))
"""The paper's noise levels (Fig. 5), 1/SNR."""
TRACKS = 1000
_POINTS_AT_ONCE = 2_000_000


class Protocol(SimulatedOptions):
    """How the test trajectories of each noise level are made: see `SimulatedOptions`.

    Gaussian noise is added to every position. Each noise level has a stream of random numbers of
    its own.

    Attributes
    ----------
    tracks : int
        Trajectories at each noise level, rounded up so that all classes have the same number.
    length, even_lengths, exposure, missing, seed
        See `SimulatedOptions`.
    """

    tracks: int = setting(TRACKS, "Trajectories at each noise level.", unit="tracks", ge=1)

    @property
    def published(self) -> bool:
        """Whether the paper's figures can be compared with: lengths 10–1000, nothing else."""
        return self == Protocol(tracks=self.tracks, seed=self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for the provenance."""
        return {"tracks": self.tracks} | dict(self)

    def per_class(self, n_classes: int) -> int:
        """Return the trajectories of each class at each noise level."""
        return -(-self.tracks // n_classes)


def simulate_test(
    protocol: Protocol, noise: float = 0.0, *, classes: Sequence[str] = CLASS_NAMES
) -> Iterator[LabelledTracks]:
    """Simulate the test trajectories of one noise level, some millions of points at a time.

    Parameters
    ----------
    protocol : Protocol
        How many, how long.
    noise : float
        Standard deviation of the noise in units of the displacement's (1/SNR).
    classes : sequence of str
        Which classes, in the order of the labels.

    Yields
    ------
    LabelledTracks
        On the CPU, so that a seed gives the same trajectories on every machine.

    Raises
    ------
    SptError
        If one of the classes can't be simulated.
    """
    import torch

    unknown = [name for name in classes if name not in CLASS_NAMES]
    if unknown:
        raise SptError(
            f"these weights know the class {unknown[0]!r}, which can't be simulated: expected some "
            f"of {', '.join(CLASS_NAMES)}. Give labelled tracks with {option('data')}.",
            option="data",
        )
    stream = np.random.SeedSequence([protocol.seed, round(noise * 1e6)])
    generator = torch.Generator().manual_seed(int(stream.generate_state(1, np.uint64)[0] >> 1))
    waiting: list[LabelledTracks] = []
    each = protocol.per_class(len(classes))
    for label, name in enumerate(classes):
        length = _draw_lengths(protocol, each, generator)
        at_once = max(1, _POINTS_AT_ONCE // int(length.max()))
        for start in range(0, each, at_once):
            part = length[start : start + at_once]
            waiting.append(
                _simulate(CLASS_NAMES.index(name), label, part, noise, protocol, generator)
            )
            if sum(len(one.positions) for one in waiting) >= _POINTS_AT_ONCE:
                yield join(waiting)
                waiting = []
    if waiting:
        yield join(waiting)


def _draw_lengths(protocol: Protocol, n: int, generator: torch.Generator) -> torch.Tensor:
    """Return lengths in points, (n,), uniform or as many in each band."""
    import torch

    low, high = protocol.length
    bands = [(low, high)]
    if protocol.even_lengths:
        edges = [(a, high if b is None else b) for a, b in length_bands(LENGTH_EDGES)]
        bands = [(max(a, low), min(b, high)) for a, b in edges if max(a, low) <= min(b, high)]
    first, last = torch.tensor(bands).T
    band = torch.arange(n) % len(bands)
    u = torch.rand(n, generator=generator, dtype=torch.float64)
    drawn: torch.Tensor = first[band] + (u * (last - first + 1)[band]).long()
    return drawn


def _simulate(
    index: int,
    label: int,
    length: torch.Tensor,
    noise: float,
    protocol: Protocol,
    generator: torch.Generator,
) -> LabelledTracks:
    import torch

    from spt_explain.diffusion.measurement import lose_frames, measure
    from spt_explain.diffusion.simulate import simulate_steps

    n, t = len(length), int(length.max())
    steps, alpha = simulate_steps(
        index,
        n,
        t,
        generator=generator,
        exposure=torch.full((n,), protocol.exposure) if protocol.exposure else None,
        moves_within=length,
    )
    path = measure(steps, length, torch.full((n,), float(noise)), generator)
    if protocol.missing:
        path = lose_frames(path, length, torch.full((n,), protocol.missing), generator)
    inside = torch.arange(t) < length[:, None]
    lengths = length.numpy()
    return LabelledTracks(
        path[inside].numpy().astype(np.float64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.full(n, label, dtype=np.int64),
        alpha.numpy().astype(np.float64),
        np.full(n, float(noise)),
        report={"name": "simulated", "protocol": protocol.to_dict()},
    )
