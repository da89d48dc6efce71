"""The regressor that measures maps: fitted with random pixels missing, and the same for all maps.

A regressor that has only seen whole clips is asked for what it has never seen when pixels are set
to the reference, and its answers tell little of which pixels matter (REAL-X: Jethani et al. 2021,
arXiv:2103.01890).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spt_explain.xddpm.evaluate.arrays import Predict
    from spt_explain.xddpm.network import Regressor

STEPS, BATCH, RATE, WIDTH, BLOCKS = 1500, 32, 3e-3, 16, 0.5


@dataclass(frozen=True, eq=False)
class Yardstick:
    """A regressor fitted with random pixels missing.

    Attributes
    ----------
    network : Regressor
        Scaled clips to standardised signals.
    r2, r2_half : float
        R² on clips that it was not fitted on: whole ones, and with half of the pixels missing.
    """

    network: Regressor
    r2: float
    r2_half: float

    @property
    def predict(self) -> Predict:
        """The regressor as a function of arrays."""
        from spt_explain.xddpm.evaluate.probes import as_predict

        return as_predict(self.network)

    def to_bytes(self) -> bytes:
        """Return it as a file's content, for `of_bytes`."""
        from safetensors.torch import save

        tensors = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        shape = self.network.shape
        said = {k: str(v) for k, v in shape.to_dict().items()}
        return bytes(save(tensors, said | {"r2": repr(self.r2), "r2_half": repr(self.r2_half)}))

    @classmethod
    def of_bytes(cls, data: bytes, *, device: str = "cpu") -> Yardstick:
        """Read what `to_bytes` gave.

        Raises
        ------
        SptError
            If it is something else.
        """
        import json

        from safetensors import SafetensorError
        from safetensors.torch import load

        from spt_explain.xddpm.network import Regressor, Shape

        try:
            head = io.BytesIO(data)
            length = int.from_bytes(head.read(8), "little")
            said = json.loads(head.read(length))["__metadata__"]
            shape = Shape(
                outputs=int(said["outputs"]),
                per_frame=said["per_frame"] == "True",
                width=int(said["width"]),
                mask_width=int(said["mask_width"]),
                coordinates=said["coordinates"] == "True",
                norm="batch" if said["norm"] == "batch" else "group",
            )
            network = Regressor(shape)
            network.load_state_dict(load(data))
            return cls(network.to(device).eval(), float(said["r2"]), float(said["r2_half"]))
        except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise SptError(
                "the regressor to measure with is damaged; fit it again.", code="unreadable"
            ) from error


def fit_yardstick(
    clips: NDArray[np.float32],
    targets: NDArray[np.float32],
    *,
    per_frame: bool,
    held_out: tuple[NDArray[np.float32], NDArray[np.float32]],
    steps: int = STEPS,
    batch: int = BATCH,
    rate: float = RATE,
    width: int = WIDTH,
    blocks: float = BLOCKS,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda *_: None,
) -> Yardstick:
    """Fit the regressor that Sensitivity-n, insertion and deletion are asked of.

    Parameters
    ----------
    clips : numpy.ndarray, shape (clips, frames, height, width)
        Scaled: 0 is what a missing pixel holds.
    targets : numpy.ndarray, shape (clips, columns)
        Standardised signals, as `Signal.encode` gives them.
    per_frame : bool
        Whether each frame has values of its own.
    held_out : (numpy.ndarray, numpy.ndarray)
        Clips and targets to say how good it is with; not fitted on.
    steps, batch, rate, seed, device, report
        See `probes.fit_probe`.
    width : int
        Of `Regressor`.
    blocks : float
        See `modules.RandomMask`.

    Raises
    ------
    SptError
    """
    import torch

    from spt_explain.xddpm.evaluate.modules import RandomMask
    from spt_explain.xddpm.evaluate.probes import as_predict, fit_probe, r_squared
    from spt_explain.xddpm.network import Regressor, Shape

    frames = clips.shape[1]
    outputs = targets.shape[1] // frames if per_frame else targets.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Regressor(Shape(outputs, per_frame, width))
    fit_probe(
        RandomMask(network, blocks=blocks),
        clips,
        targets,
        steps=steps,
        batch=batch,
        rate=rate,
        seed=seed,
        device=device,
        report=report,
    )
    predict = as_predict(network)
    shown, wanted = held_out
    half = shown * (np.random.default_rng(seed).random(shown.shape) < 0.5)

    def told(some: NDArray[np.float32]) -> NDArray[np.floating]:
        return np.concatenate([predict(some[at : at + 64]) for at in range(0, len(some), 64)])

    r2, r2_half = (r_squared(told(part), wanted) for part in (shown, half.astype(np.float32)))
    return Yardstick(network.eval(), r2, r2_half)
