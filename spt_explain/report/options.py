"""What a user may decide about figures and folders of results."""

from __future__ import annotations

from typing import ClassVar, Literal

from spt_explain.core.config import Options, Several, setting

FigureFormat = Literal["png", "svg", "pdf"]
_FORMATS: tuple[FigureFormat, ...] = ("png", "svg")


class FigureOptions(Options):
    """Whether figures are drawn beside the tables, and as what.

    Attributes
    ----------
    plot : bool
        Draw figures, or only tables.
    figure_format : tuple of {"png", "svg", "pdf"}
        Formats of each figure.
    """

    heading: ClassVar[str] = "Results"

    plot: bool = setting(True, "Draw figures, or only tables.")
    figure_format: Several[FigureFormat] = setting(
        _FORMATS, "Format of the figures; may be given several times."
    )

    @property
    def formats(self) -> tuple[FigureFormat, ...]:
        """Formats of the figures; none for no figures."""
        return self.figure_format if self.plot else ()


class EvaluationFiles(FigureOptions):
    """Where the results of an evaluation go, and whether with figures.

    Attributes
    ----------
    output : str or None
        Folder; None for one of the name of the weights or the data.
    """

    output: str | None = setting(
        None,
        "Folder for tables, figures and evaluation.json. Default: WEIGHTS.evaluation here, or "
        "NAME.evaluation beside the first file of {data}.",
        metavar="FOLDER",
    )


class StudyFiles(FigureOptions):
    """Where the results of a study go, and whether with figures.

    Attributes
    ----------
    output : str or None
        Folder; None for one of the study's name.
    """

    output: str | None = setting(
        None,
        "Folder for tables, figures and study.json. Default: NAME.study here.",
        metavar="FOLDER",
    )
