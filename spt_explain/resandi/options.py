"""What a user may decide about the network and how it judges tracks."""

from __future__ import annotations

from typing import ClassVar, Literal

from spt_explain.core.config import Options, setting
from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.resandi import DEFAULT_THRESHOLD

Backend = Literal["auto", "onnx", "torch"]
Device = Literal["auto", "cuda", "mps", "cpu"]
Precision = Literal["auto", "float16", "tf32", "float32"]


class NetworkOptions(Options):
    """Which weights, run by what, where.

    Attributes
    ----------
    weights : str or None
        Name of the weights; None for the shipped default.
    backend : {"auto", "onnx", "torch"}
        What runs the network.
    device : {"auto", "cuda", "mps", "cpu"}
        Where it runs.
    precision : {"auto", "float16", "tf32", "float32"}
        Of multiplications on a GPU.
    batch_size : int or None
        Windows of 1024 frames at a time; None for the backend's default.
    jobs : int or None
        CPU threads; None for one a core.
    """

    heading: ClassVar[str] = "Network"

    weights: str | None = setting(
        None,
        "Weights to use; spt-explain weights list lists them. Default: the best shipped.",
        metavar="NAME",
    )
    backend: Backend = setting(
        "auto",
        "What runs the network: torch, ONNX Runtime, or whichever is faster: torch on an NVIDIA "
        "GPU, ONNX Runtime on the CPU.",
    )
    device: Device = setting("auto", "Where it runs; auto takes the GPU if it can be used.")
    precision: Precision = setting(
        "auto",
        "Of multiplications on a GPU; auto is float16, float32 the reference. Sums, and all on the "
        "CPU, are in float32.",
    )
    batch_size: int | None = setting(
        None,
        "Windows of 1024 frames at a time, shorter ones in proportion. Default: 64 on the CPU; on "
        "a GPU 2048 (torch) or 1024.",
        metavar="N",
        ge=1,
    )
    jobs: int | None = setting(None, "CPU threads. Default: all cores.", metavar="N", ge=1)


class JudgingOptions(Options):
    """How each track of a file is judged.

    Attributes
    ----------
    threshold : float
        A track whose best class is less probable than this is ``undetermined``.
    exposure : float
        Share of the frame that the shutter is open.
    alone : bool
        Judge each track without what the others of its file show of noise and motion blur.
    """

    heading: ClassVar[str] = "Verdicts"

    threshold: float = setting(
        DEFAULT_THRESHOLD,
        "A track whose best class is less probable than this is 'undetermined'.",
        metavar="P",
        ge=0,
        le=1,
    )
    exposure: float = setting(
        DEFAULT_EXPOSURE,
        "Share of the frame that the shutter is open, 0 to 1 (exposure time / frame interval): "
        "motion blur, which sigma_loc_um is corrected for. D_um2_s does not depend on it.",
        metavar="SHARE",
        ge=0,
        le=1,
    )
    alone: bool = setting(
        False,
        "Judge each track without what the file's other tracks show of noise and motion blur.",
    )


class ExportOptions(Options):
    """Where weights are exported to.

    Attributes
    ----------
    output : str or None
        A zip file, or a folder for it; None for one of their name in the current folder.
    """

    output: str | None = setting(
        None,
        "The zip file to write, or a folder for it. Default: NAME.zip in the current folder.",
        metavar="FILE|FOLDER",
    )


class ImportOptions(Options):
    """How weights that are imported are called.

    Attributes
    ----------
    name : str or None
        Their name; None for the one they have on their card.
    """

    name: str | None = setting(
        None, "Name for them here. Default: the one they have on their card.", metavar="NAME"
    )
