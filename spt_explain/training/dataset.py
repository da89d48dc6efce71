"""A fixed data set: trajectories of known class that are trained on again and again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spt_explain.diffusion.measurement import lose_frames, measure
from spt_explain.errors import SptError
from spt_explain.resandi.windows import place_windows
from spt_explain.training.batches import Batch, build_inputs, condition_index, seeded, simulate_pool
from spt_explain.training.conditions import Conditions
from spt_explain.training.labelled import LABEL_COLUMN, join, read_labelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture
    from spt_explain.tracks.quality import QualityPolicy
    from spt_explain.training.labelled import LabelledTracks
    from spt_explain.training.recipe import Recipe

_POINTS_AT_ONCE = 2_000_000
_KNOWN = ("label", "alpha", "noise", "exposure")


@dataclass(frozen=True, eq=False)
class Trajectories:
    """m trajectories of known class, one after the other.

    Attributes
    ----------
    positions : torch.Tensor, shape (n_points, 2), float32
        x and y in any unit, which may differ between trajectories; each begins near the origin.
    offsets : torch.Tensor, shape (m + 1,), int64
        Trajectory *i* is ``positions[offsets[i]:offsets[i + 1]]``; always on the CPU.
    label : torch.Tensor, shape (m,), int64
        Classes.
    alpha, noise, exposure : torch.Tensor, shape (m,)
        Anomalous exponent, localisation noise in units of the displacement's standard deviation
        (1/SNR), and share of the frame that the shutter is open; NaN where not known.
    """

    positions: torch.Tensor
    offsets: torch.Tensor
    label: torch.Tensor
    alpha: torch.Tensor
    noise: torch.Tensor
    exposure: torch.Tensor

    def __len__(self) -> int:
        return len(self.label)

    @property
    def length(self) -> torch.Tensor:
        """Points of each trajectory, shape (m,), on the CPU."""
        return self.offsets.diff()

    @property
    def device(self) -> torch.device:
        """Where the positions are."""
        return self.positions.device

    def to(self, device: torch.device | str) -> Trajectories:
        """Return the same on another device."""
        known = {name: value.to(device) for name, value in self.known().items()}
        return Trajectories(self.positions.to(device), self.offsets, **known)

    def known(self, index: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Return label, α, noise and exposure of all, or of some."""
        if index is not None:
            index = index.to(self.device)
        every = {name: getattr(self, name) for name in _KNOWN}
        return {name: v if index is None else v[index] for name, v in every.items()}

    def padded(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return some of them as positions (n, t, 2), of any value after the last, and length (n,).

        Parameters
        ----------
        index : torch.Tensor, shape (n,), int64
            Which, on the CPU.
        """
        length = self.length[index]
        frame = torch.arange(int(length.max()), device=self.device)
        rows = self.offsets[index].to(self.device)[:, None] + frame
        points = self.positions[rows.clamp(max=len(self.positions) - 1)]
        return points, length.to(self.device)

    def take(self, index: torch.Tensor) -> Trajectories:
        """Return some of them, in the given order; `index`, (n,), is on the CPU."""
        if not len(index):
            none = torch.zeros(1, dtype=torch.int64)
            return Trajectories(self.positions[:0], none, **self.known(index))
        return join_trajectories(
            [
                from_padded(*self.padded(some), **self.known(some))
                for some in torch.split(index, self.at_once())
            ]
        )

    def at_once(self) -> int:
        """Return how many of them are handled together when all of them are."""
        return max(1, _POINTS_AT_ONCE // max(1, int(self.length.max())))


def from_padded(
    positions: torch.Tensor,
    length: torch.Tensor,
    label: torch.Tensor,
    alpha: torch.Tensor | None = None,
    noise: torch.Tensor | None = None,
    exposure: torch.Tensor | None = None,
) -> Trajectories:
    """Return trajectories from positions (n, t, 2), each from the first frame to its length."""
    inside = torch.arange(positions.size(1), device=positions.device) < length[:, None]
    unknown = torch.full((len(label),), torch.nan, device=positions.device)
    return Trajectories(
        positions[inside].float(),
        _offsets(length.cpu()),
        label,
        *(unknown if value is None else value.float() for value in (alpha, noise, exposure)),
    )


def join_trajectories(parts: Sequence[Trajectories]) -> Trajectories:
    """Return the trajectories of all parts, one part after the other."""
    return Trajectories(
        torch.cat([part.positions for part in parts]),
        _offsets(torch.cat([part.length for part in parts])),
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in _KNOWN},
    )


def _offsets(length: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(length.cumsum(0), (1, 0))


@dataclass(frozen=True, eq=False)
class Dataset:
    """What is trained on, and what tells when to stop.

    Attributes
    ----------
    training, validation : Trajectories
        No track is in both, nor are segments or windows of one.
    extra : Trajectories or None
        More of the same kind, for the network that scores the training set.
    report : dict
        Where they came from, for the card.
    notes : tuple of str
        Sentences a user must know.
    """

    training: Trajectories
    validation: Trajectories
    extra: Trajectories | None = None
    report: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to(self, device: torch.device | str) -> Dataset:
        """Return the same on another device."""
        return Dataset(
            self.training.to(device),
            self.validation.to(device),
            None if self.extra is None else self.extra.to(device),
            self.report,
            self.notes,
        )


def shape_batch(
    trajectories: Trajectories, index: torch.Tensor, architecture: Architecture
) -> Batch:
    """Return the network's inputs of some trajectories, by the length they are padded to.

    Parameters
    ----------
    trajectories : Trajectories
        None longer than the window.
    index : torch.Tensor, shape (n,), int64
        Which, on the CPU.
    architecture : Architecture
        Kind of inputs, padding, lengths.

    Returns
    -------
    Batch
        In the order of `index` within each group; a condition that is not known is −1.
    """
    which = torch.searchsorted(torch.tensor(architecture.lengths), trajectories.length[index])
    order = which.argsort(stable=True)
    groups, sizes = [], torch.bincount(which, minlength=len(architecture.lengths)).tolist()
    for some, padded in zip(torch.split(index[order], sizes), architecture.lengths, strict=True):
        if len(some):
            positions, length = trajectories.padded(some)
            groups.append(
                build_inputs(
                    positions, length, architecture.inputs, architecture.padding, padded=padded
                )
            )
    ordered = index[order]
    known = trajectories.known(ordered)
    condition = torch.zeros_like(known["label"])
    if architecture.n_conditions > 1:
        noise, exposure = known["noise"], known["exposure"]
        found = condition_index(architecture, noise.nan_to_num(), exposure.nan_to_num())
        condition = torch.where(noise.isnan() | exposure.isnan(), -1, found)
    length = trajectories.length[ordered].to(trajectories.device)
    return Batch(groups, known["label"], known["alpha"], length, condition)


def dataset_batches(
    recipe: Recipe,
    dataset: Dataset | Trajectories,
    device: torch.device | str,
    *,
    batch_size: int = 256,
    seed: int | None = None,
) -> Iterator[Batch]:
    """Yield batches of a fixed data set without end, in a new random order each time through.

    Parameters
    ----------
    recipe : Recipe
        Shape of the network, and the seed.
    dataset : Dataset or Trajectories
        The training set of a data set, or any trajectories, such as ``state.trained_on``.
    device : torch.device or str
        Where.
    batch_size : int
        Trajectories; an incomplete batch is left out where there is a complete one.
    seed : int, optional
        That of the recipe, by default.
    """
    trajectories = dataset.training if isinstance(dataset, Dataset) else dataset
    trajectories = trajectories.to(device)
    n = len(trajectories)
    size = min(batch_size, n)
    turn = 0
    while True:
        generator = seeded("cpu", recipe.seed if seed is None else seed, "batches", turn)
        order = torch.randperm(n, generator=generator)
        for start in range(0, n - size + 1, size):
            yield shape_batch(trajectories, order[start : start + size], recipe.architecture)
        turn += 1


def simulated_dataset(recipe: Recipe, *, device: torch.device | str = "cpu") -> Dataset:
    """Simulate the data set of a recipe with a fixed one, as many trajectories of each class.

    Lengths, noise, gaps and blur follow the recipe's ``[data]``. Everything follows from the seed,
    on one kind of device; training, validation and extra trajectories have streams of their own.

    Parameters
    ----------
    recipe : Recipe
        With a ``[fixed]`` section.
    device : torch.device or str
        Where they are simulated and stay.

    Returns
    -------
    Dataset
    """
    fixed = recipe.fixed
    if fixed is None:
        raise ValueError("the recipe has no fixed data set")
    more = (fixed.score_trajectories or 0) - fixed.trajectories
    extra = None
    if fixed.augment == "gradcam" and more > 0:
        extra = _simulate(recipe, more, "extra", device)
    return Dataset(
        _simulate(recipe, fixed.trajectories, "training", device),
        _simulate(recipe, fixed.validation, "validation", device),
        extra,
        report={"source": "simulated", "seed": recipe.seed},
    )


def _simulate(recipe: Recipe, n: int, stream: str, device: torch.device | str) -> Trajectories:
    conditions = Conditions(recipe.data)
    window = recipe.network.window
    at_once = 8 * max(1, _POINTS_AT_ONCE // (8 * window))
    parts = []
    for start in range(0, n, at_once):
        generator = seeded(device, recipe.seed, "fixed", stream, start)
        some = min(at_once, n - start)
        length = conditions.draw_lengths(some, recipe.data.min_points, window, generator)
        pool = simulate_pool(
            some, length, window, conditions.blur_share, generator, conditions.exposures
        )
        noise = conditions.draw_noise(some, generator)
        path = measure(pool.steps, length, noise, generator)
        path = lose_frames(path, length, conditions.draw_missed(some, generator), generator)
        sigma = (noise**2).mean(1).sqrt()
        parts.append(from_padded(path, length, pool.label, pool.alpha, sigma, pool.exposure))
    return join_trajectories(parts)


def labelled_dataset(
    recipe: Recipe,
    files: Sequence[str | Path],
    *,
    label_column: str = LABEL_COLUMN,
    policy: QualityPolicy | None = None,
) -> Dataset:
    """Read the data set from files of labelled tracks; see `training.labelled.read_labelled`.

    Parameters
    ----------
    recipe : Recipe
        With a ``[fixed]`` section, which says the share that validates.
    files : sequence of str or pathlib.Path
        Tables of tracks with a column of classes, or NumPy archives.
    label_column : str
        Name of that column.
    policy : QualityPolicy, optional
        Minimum length, gaps, branches.

    Returns
    -------
    Dataset
        On the CPU.

    Raises
    ------
    SptError
        If a file can't be read, or there are too few tracks to train on some and validate on
        others.
    """
    if recipe.fixed is None:
        raise ValueError("the recipe has no fixed data set")
    classes = recipe.architecture.classes
    parts = [
        read_labelled(name, label_column=label_column, classes=classes, policy=policy)
        for name in files
    ]
    groups, next_group = [], 0
    for part in parts:
        own = np.unique(_tracks_of(part), return_inverse=True)[1]
        groups.append(own + next_group)
        next_group += int(own.max(initial=-1)) + 1
    dataset = split_labelled(
        join(parts), np.concatenate(groups), recipe, shown=", ".join(str(name) for name in files)
    )
    report = {"source": "files", "files": [part.report for part in parts], **dataset.report}
    return Dataset(dataset.training, dataset.validation, report=report, notes=dataset.notes)


def _tracks_of(labelled: LabelledTracks) -> NDArray[np.int64]:
    """Return which track each trajectory is a segment of; each its own where that is not known."""
    return np.arange(len(labelled)) if labelled.track is None else labelled.track


def split_labelled(
    labelled: LabelledTracks, track: NDArray[np.int64], recipe: Recipe, *, shown: str = "the data"
) -> Dataset:
    """Split labelled trajectories into training and validation, track by track, class by class.

    Trajectories that are longer than the network's window become windows that overlap by about a
    half, all on one side of the split. Each is scaled by its own extent, which the network's inputs
    do not depend on.

    Parameters
    ----------
    labelled : LabelledTracks
        Trajectories.
    track : numpy.ndarray, shape (m,)
        Which track each is a segment of.
    recipe : Recipe
        Validation takes ``validation / (trajectories + validation)`` of the tracks of each class
        that has two or more, at least one.
    shown : str
        What to call the data in a message.

    Raises
    ------
    SptError
        If there are not two classes, or there is nothing to validate on.
    """
    fixed = recipe.fixed
    if fixed is None:
        raise ValueError("the recipe has no fixed data set")
    present = np.unique(labelled.label)
    names = recipe.architecture.classes
    if len(present) < 2:
        found = names[int(present[0])] if len(present) else "none"
        raise SptError(
            f"{shown}: its tracks are of one class only ({found}); training needs at least two to "
            "tell apart."
        )
    share = fixed.validation / (fixed.trajectories + fixed.validation)
    rng = np.random.default_rng([recipe.seed % 2**63, 0x5B17])
    validating, single = [], []
    for label in present:
        tracks = rng.permutation(np.unique(track[labelled.label == label]))
        if len(tracks) < 2:
            single.append(names[int(label)])
            continue
        validating.append(tracks[: min(max(1, round(share * len(tracks))), len(tracks) - 1)])
    if not validating:
        raise SptError(
            f"{shown}: one track of each class; expected at least two of one, so that one can be "
            "trained on and the other can tell when to stop."
        )
    notes = list(labelled.notes)
    absent = [name for i, name in enumerate(names) if i not in present]
    if absent:
        notes.append(f"no track of {', '.join(absent)}: the network unlearns what is not shown.")
    if single:
        notes.append(f"one track of {', '.join(single)}: trained on, not validated on.")
    starts, stops, owner = place_windows(labelled.offsets, recipe.network.window)
    aside = np.isin(track, np.concatenate(validating))[owner]
    made = [
        _normalised(labelled, starts[which], stops[which], owner[which])
        for which in (np.flatnonzero(~aside), np.flatnonzero(aside))
    ]
    counts = {name: int((labelled.label == i).sum()) for i, name in enumerate(names)}
    report = {
        "tracks": len(np.unique(track)),
        "by_class": {name: n for name, n in counts.items() if n},
        "training": len(made[0]),
        "validation": len(made[1]),
    }
    return Dataset(made[0], made[1], report=report, notes=tuple(notes))


def _normalised(
    labelled: LabelledTracks,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    owner: NDArray[np.int64],
) -> Trajectories:
    """Return windows of labelled trajectories from the origin on, at most 1 in extent."""
    lengths = stops - starts
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    rows = np.repeat(starts - firsts, lengths) + np.arange(int(lengths.sum()))
    path = labelled.positions[rows] - np.repeat(labelled.positions[starts], lengths, axis=0)
    reach = np.maximum.reduceat(np.abs(path).max(axis=1), firsts)
    path /= np.repeat(np.where(reach > 0, reach, 1.0), lengths)[:, None]
    return Trajectories(
        torch.from_numpy(path.astype(np.float32)),
        _offsets(torch.from_numpy(lengths.astype(np.int64))),
        torch.from_numpy(labelled.label[owner].astype(np.int64)),
        torch.from_numpy(labelled.alpha[owner].astype(np.float32)),
        torch.from_numpy(labelled.noise[owner].astype(np.float32)),
        torch.full((len(owner),), torch.nan),
    )
