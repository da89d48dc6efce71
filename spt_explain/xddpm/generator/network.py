"""The denoiser: a U-Net over frames, with the noise and the mask as outputs."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn import functional

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from torch import Tensor

_GROUPS = 8
INSTALL = 'pip install "spt-explain[generator]"'


@dataclass(frozen=True)
class DenoiserShape:
    """Shape of the U-Net.

    Attributes
    ----------
    frames : int
        Frames of a clip: channels of the U-Net.
    width : int
        Channels at full resolution.
    multipliers : tuple of int
        Of the width, at each resolution; each is half of the one before.
    layers : int
        Residual blocks of each resolution.
    attention : bool
        Whether the coarsest resolution has attention.
    """

    frames: int
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 8)
    layers: int = 2
    attention: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class Denoiser(nn.Module):
    """`diffusers.UNet2DModel` with frames as channels and twice as many outputs."""

    def __init__(self, shape: DenoiserShape) -> None:
        super().__init__()
        self.shape = shape
        levels = len(shape.multipliers)
        down, up = ["DownBlock2D"] * levels, ["UpBlock2D"] * levels
        if shape.attention:
            down[-1], up[0] = "AttnDownBlock2D", "AttnUpBlock2D"
        self.unet = unet_class()(
            sample_size=None,
            in_channels=shape.frames,
            out_channels=2 * shape.frames,
            block_out_channels=tuple(shape.width * m for m in shape.multipliers),
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            layers_per_block=shape.layers,
            norm_num_groups=_GROUPS,
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the noise, then the logits of the mask, (batch, 2 · frames, height, width).

        Parameters
        ----------
        x : torch.Tensor, shape (batch, frames, height, width)
            Noisy clips; sides that can't be halved often enough are padded meanwhile.
        t : torch.Tensor, shape (batch,)
            Steps of the chain.
        """
        least = 2 ** (len(self.shape.multipliers) - 1)
        height, width = x.shape[2:]
        below, right = -height % least, -width % least
        if below or right:
            x = functional.pad(x, (0, right, 0, below), mode="replicate")
        out: Tensor = self.unet(x, t, return_dict=False)[0]
        return out[:, :, :height, :width] if below or right else out


def unet_class() -> Any:
    """Return `diffusers.UNet2DModel`; diffusers is imported without what it does not need here.

    Raises
    ------
    SptError
        If diffusers is not installed, or can't be imported.
    """
    insist_on_diffusers()
    try:
        spare_imports()
        from diffusers import UNet2DModel
    except (ImportError, RuntimeError) as error:  # RuntimeError: its lazy imports raise it
        raise SptError(
            f"the package diffusers can't be imported ({str(error).splitlines()[0]:.120}). "
            f"Install it anew: {INSTALL}",
            code="unavailable",
        ) from error
    return UNet2DModel


def insist_on_diffusers() -> None:
    """Check, without importing it, that there is diffusers; before anything takes time.

    Raises
    ------
    SptError
        If there is not.
    """
    if "diffusers" in sys.modules:
        there = sys.modules["diffusers"] is not None
    else:
        there = importlib.util.find_spec("diffusers") is not None
    if not there:
        raise SptError(
            "a generator needs the package diffusers, which is not installed. Install it: "
            f"{INSTALL}",
            code="unavailable",
        )


def spare_imports() -> None:
    """Hide transformers and peft from diffusers: it imports them where they are, for seconds."""
    if "diffusers" in sys.modules:
        return
    hidden = [name for name in ("transformers", "peft") if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
