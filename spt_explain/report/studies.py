"""The folder of results of ``spt-explain study``: tables, figures, and how they were made."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from spt_explain.report.folders import refuse_folder, write_results
from spt_explain.report.provenance import made_by
from spt_explain.report.style import FIGURE_FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from spt_explain.studies.record import Record
    from spt_explain.tracks.policy import QualityPolicy

JSON_NAME = "study.json"
STUDIES = ("erasure", "sensitivity", "embedding", "correlation", "gallery")
LARGE = ("points", "samples", "examples", "responses")
"""Tables that are not repeated in the JSON document."""
_OURS = (
    *("methods", "deciles", "examples", "widths", "nodes", "responses", "blocks", "classes"),
    *("points", "correlations", "remarks", "samples"),
)
_FIGURES = (
    *("fig2-", "fig3-", "methods", "figS4-", "widths-by-block", "fig6-", "neighbours"),
    *("fig7-", "figS5-", "remarks"),
)


class Study(Protocol):
    """What every study is."""

    @property
    def record(self) -> Record:
        """How it was made."""
        ...

    @property
    def sentences(self) -> tuple[str, ...]:
        """What came out, in words."""
        ...

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name."""
        ...


def check_study_folder(folder: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse, before any work, a folder that can't be made or would cost the user something.

    Raises
    ------
    SptError
        See `refuse_folder`.
    """

    def ours(name: str) -> bool:
        stem, _, ending = name.rpartition(".")
        if ending == "csv":
            return stem in _OURS
        return name == JSON_NAME or (ending in FIGURE_FORMATS and stem.startswith(_FIGURES))

    refuse_folder(folder, inputs, overwrite=overwrite, ours=ours)


def study_provenance(
    record: Record,
    *,
    version: str = "",
    command: Sequence[str] = (),
    policy: QualityPolicy | None = None,
    reading: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return everything that is needed to make a study again."""
    said = {
        **asdict(record),
        "policy": policy.model_dump() if policy is not None else None,
        "reading": reading,
    }
    return made_by(said, version=version, command=command)


def study_figures(study: Study) -> dict[str, Callable[[], Figure]]:
    """Return what can be drawn of a study, by file name; each is drawn when called."""
    from spt_explain.report import study_figures as plots
    from spt_explain.report import study_maps as maps

    draw: dict[str, Callable[[Any], dict[str, Callable[[], Figure]]]] = {
        "erasure": plots.erasure_figures,
        "sensitivity": plots.sensitivity_figures,
        "embedding": maps.embedding_figures,
        "correlation": maps.correlation_figures,
        "gallery": maps.gallery_figures,
    }
    return draw[study.record.study](study)


def write_study(
    study: Study, folder: Path, made: dict[str, Any], *, formats: Sequence[str] = ("png", "svg")
) -> list[Path]:
    """Write tables, figures and ``study.json``; the folder appears whole or not at all.

    Parameters
    ----------
    study : Study
        What to write.
    folder, formats
        See `write_results`.
    made : dict
        The `study_provenance`.

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
        {"provenance": made, **summary_of(study)},
        {name: table for name, table in study.tables().items() if len(table)},
        partial(study_figures, study),
        formats=formats,
    )


def summary_of(study: Study) -> dict[str, Any]:
    """Return what came out, in words and as tables of plain values; missing ones are null."""
    tables = {
        name: json.loads(table.to_json(orient="records"))
        for name, table in study.tables().items()
        if name not in LARGE
    }
    return {"study": study.record.study, "sentences": list(study.sentences), **tables}
