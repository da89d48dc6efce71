"""The folder of results of ``spt-explain evaluate``: tables, figures, and how they were made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from spt_explain.report.evaluation_figures import figures
from spt_explain.report.folders import refuse_folder, write_results
from spt_explain.report.provenance import made_by
from spt_explain.report.style import FIGURE_FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from spt_explain.tracks.policy import QualityPolicy
    from spt_explain.training.testing import TestRun

JSON_NAME = "evaluation.json"
TABLES = (
    "summary", "by_noise", "by_class", "by_length", "by_alpha", "confusion", "calibration",
)  # fmt: skip
FIGURES = (
    "fig5-accuracy-by-noise", "figS2-confusion", "figS3-confidence-by-alpha",
    "accuracy-by-length", "reliability", "alpha",
)  # fmt: skip
_OURS = {
    JSON_NAME,
    *(f"{name}.csv" for name in TABLES),
    *(f"{name}.{fmt}" for name in FIGURES for fmt in FIGURE_FORMATS),
}
DEFINITIONS = {
    "accuracy": "share of trajectories whose most probable class is the true one",
    "macro_f1": "mean F1 of the classes that occur, each counting the same",
    "ece": "expected calibration error: 15 bins of equal width of the best class's probability, "
    "sum over bins of their share of the trajectories times |accuracy - mean probability|",
    "ece_expected": "what ece would be by chance alone, for perfectly calibrated probabilities",
    "ece_debiased": "ece less the part that is chance; 0 on average for perfectly calibrated "
    "probabilities, so it can be negative",
    "undetermined": "share whose best class is less probable than the threshold",
    "alpha_mae": "mean of |median predicted alpha - true alpha|",
    "alpha_bias": "mean of median predicted alpha - true alpha",
    "alpha_coverage": "share whose interval of 5 to 95 % holds the true alpha; 0.9 is right",
    "intervals": "_se: standard error; _low, _high: 95 % interval (Wilson's for shares)",
    "noise": "standard deviation of the localisation noise over that of one displacement along "
    "one axis (1/SNR)",
}


def check_folder(folder: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse, before any work, a folder that can't be made or would cost the user something.

    Raises
    ------
    SptError
        See `refuse_folder`.
    """
    refuse_folder(folder, inputs, overwrite=overwrite, ours=_OURS.__contains__)


def provenance(
    run: TestRun,
    *,
    version: str = "",
    command: Sequence[str] = (),
    policy: QualityPolicy | None = None,
    reading: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return everything that is needed to run a test again."""
    said = {
        "weights": run.weights,
        "backend": run.backend,
        "device": run.device,
        "data": run.data,
        **run.settings,
        "policy": policy.model_dump() if policy is not None else None,
        "reading": reading,
        "notes": list(run.notes),
        "seconds": run.seconds,
    }
    return made_by(said, version=version, command=command)


def write_evaluation(
    run: TestRun, folder: Path, made: dict[str, Any], *, formats: Sequence[str] = ("png", "svg")
) -> list[Path]:
    """Write tables, figures and ``evaluation.json``; the folder appears whole or not at all.

    Parameters
    ----------
    run : TestRun
        What to write.
    folder, formats
        See `write_results`.
    made : dict
        The `provenance`.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    SptError
        See `write_results`.
    """
    return write_results(
        folder,
        JSON_NAME,
        {"provenance": made, "definitions": DEFINITIONS, **run.evaluation.to_dict()},
        run.evaluation.tables(),
        partial(figures, run.evaluation, compare=run.published),
        formats=formats,
        digits="%.6f",
    )
