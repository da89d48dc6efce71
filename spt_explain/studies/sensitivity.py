"""How far each node of the network sees: its response to a change at one frame (Fig. S4).

The particle rests for the whole input; then it is elsewhere at one frame ("impulse": scaled
positions are 0, and 1 at that frame, the paper's change) or from that frame on ("step"). The
response of a node of a stage to a change at frame i is the difference of its outputs, with the
change and without. Networks that also see displacements see those of the change.

Supplement D takes 225 frames for one node of the last stage, where the mean of the output's
differences over the channels passes 0.9. The authors' program measures that on a network that has
just been made, with random weights and in training mode, where batch normalisation divides by the
spread over the one input; 0.9 means nothing for trained networks, whose outputs have another scale.
So the same is measured here on such a network (`UNTRAINED`), and on the weights at hand how many
frames hold 90 % of a node's response, and over how many it is above half of its largest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.graph import BLOCKS
from spt_explain.studies.options import SensitivityOptions
from spt_explain.studies.published import SENSITIVITY_THRESHOLD, WINDOW_FRAMES
from spt_explain.studies.record import Record, record_of, timed
from spt_explain.studies.sources import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

Change = Literal["impulse", "step"]
CHANGES: tuple[Change, ...] = get_args(Change)
UNTRAINED = "untrained"
"""The paper's architecture with random weights, in training mode, as in the authors' program."""
SHOWN = 3
"""Nodes of each stage whose responses are kept: the first, the middle, the last."""
HELD = 0.9


@dataclass(frozen=True, eq=False)
class SensitivityStudy:
    """What came out.

    Attributes
    ----------
    widths : pandas.DataFrame
        A row for each network (name of the weights, or "untrained"), change and stage:
        ``network, change, block, frames_per_node, nodes, receptive_field`` (frames that can reach
        a node at all), and medians over its nodes: ``holding_90`` (frames that hold 90 % of the
        response), ``above_half`` (of its largest), ``above_threshold`` (mean difference above
        `SENSITIVITY_THRESHOLD`), ``published`` (225, for the last stage).
    nodes : pandas.DataFrame
        The same for each node of the last stage: ``network, change, node, peak_frame, peak,
        holding_90, above_half, above_threshold``.
    responses : pandas.DataFrame
        Of the first, the middle and the last node of each stage: ``network, change, block, node,
        frame, response`` (mean over channels of the difference), ``size`` (of its absolute value).
    record : Record
        How it was made.
    """

    widths: pd.DataFrame
    nodes: pd.DataFrame
    responses: pd.DataFrame
    record: Record

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name."""
        return {"widths": self.widths, "nodes": self.nodes, "responses": self.responses}

    @property
    def sentences(self) -> tuple[str, ...]:
        """What came out, in words."""
        out = []
        last = self.widths[self.widths["block"] == BLOCKS[-1]]
        for _, row in last.iterrows():
            if row["network"] == UNTRAINED:
                own = self.nodes[self.nodes["network"] == UNTRAINED]["above_threshold"]
                out.append(
                    f"As the paper's program measures it, on an untrained network: the response "
                    f"passes {SENSITIVITY_THRESHOLD:g} over {own.min():.0f} to {own.max():.0f} "
                    f"frames, {row['above_threshold']:.0f} in the median (paper: "
                    f"{WINDOW_FRAMES})."
                )
            else:
                out.append(
                    f"{row['network']}, {row['change']}: 90 % of a last-stage node's response lies "
                    f"in {row['holding_90']:.0f} frames, {row['above_half']:.0f} are above half of "
                    f"its largest (medians)."
                )
        return tuple(out)


def sensitivity(*, watcher: Watcher | None = None, **options: Any) -> SensitivityStudy:
    """Measure how each node responds to a change at each frame.

    Parameters
    ----------
    watcher : Watcher, optional
        Told what happens.
    **options
        every, length, threshold, untrained, seed: see `SensitivityOptions`; and of `Classifier`:
        weights, backend, device, batch_size, jobs.

    Returns
    -------
    SensitivityStudy

    Raises
    ------
    SptError
        For weights or options that can't be used.
    """
    import pandas as pd

    watcher = watcher or Watcher()
    wanted, network = SensitivityOptions.split_from(options)
    every, length = wanted.every, wanted.length
    classifier = Classifier(**network, taps=BLOCKS)
    for name, value, most, unit in (
        ("length", length, classifier.weights.architecture.window, "points, at least 2"),
        ("every", every, length - 1, "frames, at least 1"),
    ):
        if value > most:
            raise SptError(f"{option(name, value)}: expected at most {most} {unit}.", option=name)
    at = np.arange(0, length, every)
    words = f"a particle at rest for {length} frames, and a change at {len(at)} of them"
    watcher.ready(classifier, words)
    seconds: dict[str, float] = {}
    total = len(at) * (len(CHANGES) + wanted.untrained)
    done = 0

    def step(n: int) -> None:
        nonlocal done
        done += n
        watcher.progress("changing frames", done, total)

    rows, nodes, responses = [], [], []
    with timed(seconds, "all"):
        for name, change, shape, found in _all(classifier, at, wanted, step):
            fields = receptive_fields(shape)
            for block in BLOCKS:
                mean, size = found[block]
                stride = 4 * 2 ** BLOCKS.index(block)
                own = _widths(mean, size, at, every, wanted.threshold)
                keys = {"network": name, "change": change}
                rows.append(
                    {
                        **keys,
                        "block": block,
                        "frames_per_node": stride,
                        "nodes": mean.shape[1],
                        "receptive_field": fields[block],
                        **{k: own[k].median() for k in ("holding_90", "above_half")},
                        "above_threshold": own["above_threshold"].median(),
                        "published": WINDOW_FRAMES if block == BLOCKS[-1] else np.nan,
                    }
                )
                if block == BLOCKS[-1]:
                    nodes.append(own.assign(**keys))
                for node in np.unique(np.linspace(0, mean.shape[1] - 1, SHOWN).astype(int)):
                    responses.append(
                        pd.DataFrame(
                            {
                                **keys,
                                "block": block,
                                "node": node,
                                "frame": at,
                                "response": mean[:, node],
                                "size": size[:, node],
                            }
                        )
                    )
    each = pd.concat(nodes, ignore_index=True)
    first = ["network", "change", "node"]
    each = each[[*first, *(c for c in each.columns if c not in first)]]
    notes = (
        f"{WINDOW_FRAMES} frames at a stride of 25 give the 32 windows that the paper compares "
        "with 32 nodes; the program measures Fig. S4 on a network with random weights.",
    )
    record = record_of("sensitivity", classifier, data={"simulated": "a particle at rest"},
                       words=words, settings=dict(wanted), notes=notes,
                       seconds=seconds)  # fmt: skip
    return SensitivityStudy(
        pd.DataFrame(rows), each, pd.concat(responses, ignore_index=True), record
    )


def receptive_fields(shape: Architecture) -> dict[str, int]:
    """Return how many frames can reach a node of each stage, by the sizes of the kernels."""
    reach, apart = shape.stem_kernel, 2
    reach, apart = reach + 2 * apart, 2 * apart  # the pooling
    found = {}
    for stage, block in enumerate(BLOCKS):
        for convolution in range(4):
            reach += (shape.kernel - 1) * apart
            if stage and not convolution:
                apart *= 2
        found[block] = reach
    return found


_Found = dict[str, tuple["Floats", "Floats"]]


def _all(
    classifier: Classifier, at: Ints, wanted: SensitivityOptions, step: Callable[[int], None]
) -> Iterator[tuple[str, Change, Architecture, _Found]]:  # fmt: skip
    name = classifier.weights.name
    for change in CHANGES:
        shape = classifier.weights.architecture
        yield name, change, shape, _responses(classifier, at, wanted.length, change, step)
    if wanted.untrained:
        shape = Architecture(inputs="positions", window=wanted.length)
        yield UNTRAINED, "impulse", shape, _untrained(shape, at, wanted.seed, step)


def _responses(
    classifier: Classifier, at: Ints, length: int, change: Change, step: Callable[[int], None]
) -> _Found:
    """Return mean difference and mean absolute difference, (changes, nodes) each, of each stage."""
    rest = classifier.run(np.zeros((length, 2)), np.array([0, length]))
    base = {block: rest.taps[0][1][block][0] for block in BLOCKS}
    first = (rest.taps[0][1][BLOCKS[-1]].shape[2] * 32 - length) // 32
    parts: dict[str, list[tuple[Floats, Floats]]] = {block: [] for block in BLOCKS}
    frame = np.arange(length)
    for start in range(0, len(at), classifier.batch_size):
        some = at[start : start + classifier.batch_size, None]
        moved = (frame == some) if change == "impulse" else (frame >= some)
        path = np.repeat(moved.reshape(-1, 1).astype(np.float64), 2, axis=1)
        ran = classifier.run(path, np.arange(len(some) + 1) * length)
        for _, taps in ran.taps:
            for block in BLOCKS:
                difference = taps[block].astype(np.float64) - base[block]
                parts[block].append((difference.mean(1), np.abs(difference).mean(1)))
        step(len(some))
    found = {}
    for block, each in parts.items():
        skip = first * 32 // (4 * 2 ** BLOCKS.index(block))  # nodes before the trajectory
        mean, size = (np.concatenate(v)[:, skip:] for v in zip(*each, strict=True))
        found[block] = (mean, size)
    return found


def _untrained(shape: Architecture, at: Ints, seed: int, step: Callable[[int], None]) -> _Found:
    """Return the same of a network as it is made: random weights, training mode."""
    import torch

    from spt_explain.resandi.network import ResAnDi

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = ResAnDi(shape).train()

        def stages(x: torch.Tensor) -> list[Floats]:
            return [maps[0][0].double().numpy() for maps, _ in network.stage_features([x])]

        base = stages(torch.zeros(1, 2, shape.window))
        rows: list[list[tuple[Floats, Floats]]] = [[] for _ in BLOCKS]
        for i in at:
            x = torch.zeros(1, 2, shape.window)
            x[0, :, i] = 1
            for row, now, before in zip(rows, stages(x), base, strict=True):
                row.append(((now - before).mean(0), np.abs(now - before).mean(0)))
            step(1)
    return {
        block: (np.stack([m for m, _ in row]), np.stack([s for _, s in row]))
        for block, row in zip(BLOCKS, rows, strict=True)
    }


def _widths(mean: Floats, size: Floats, at: Ints, every: int, threshold: float) -> pd.DataFrame:
    """Return over how many frames each node responds."""
    import pandas as pd

    rows = []
    for node in range(size.shape[1]):
        own = size[:, node]
        rows.append(
            {
                "node": node,
                "peak_frame": int(at[own.argmax()]),
                "peak": own.max(),
                "holding_90": frames_holding(own, HELD) * every,
                "above_half": int((own >= own.max() / 2).sum()) * every if own.max() > 0 else 0,
                "above_threshold": int((mean[:, node] > threshold).sum()) * every,
            }
        )
    return pd.DataFrame(rows)


def frames_holding(size: Floats, share: float) -> int:
    """Return the fewest values in a row that make up a share of the sum of all; 0 if that is 0."""
    total = float(size.sum())
    if not total > 0:
        return 0
    sums = np.concatenate([[0.0], np.cumsum(size)])
    stops = np.searchsorted(sums, sums + share * total * (1 - 1e-12))
    widths = stops - np.arange(len(sums))
    return int(widths[stops < len(sums)].min())
