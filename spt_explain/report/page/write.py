"""Writing the page: one file with its data, its style, its script and the plotting library."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.core.files import atomic_file
from spt_explain.report.page.content import STATISTICS, pack_reasons
from spt_explain.report.page.words import (
    correlations_html,
    group_populations,
    populations_html,
    provenance_html,
)
from spt_explain.report.tables import refuse_to_overwrite
from spt_explain.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from spt_explain.report.page.content import ReasonsLike

LIBRARY = "vendor/plotly-basic.min.js"
SCRIPTS = ("data.js", LIBRARY, "map.js", "figures.js", "detail.js", "app.js")
"""In the order in which they run."""


def write_page(
    path: str | Path,
    reasons: ReasonsLike,
    *,
    populations: pd.DataFrame | None = None,
    provenance: Mapping[str, Any] | None = None,
    title: str = "Why the network says so",
    y_down: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write a page that shows every explained track, to be opened in any browser, offline.

    The page needs no network, no server and no other file: its security policy lets it load
    nothing and run nothing but its own scripts.

    Parameters
    ----------
    path : str or pathlib.Path
        Where to.
    reasons : ReasonsLike
        The tables of an explanation. Columns that are missing and values that are NaN are shown
        as not known. Positions are kept to 1/65,534 of each track's extent, scores to 1/32,767 of
        each track's largest, statistics to 1/254 of each track's range: the tables hold them in
        full.
    populations : pandas.DataFrame, optional
        Fractions of the classes, as `spt_explain.populations` returns them.
    provenance : mapping, optional
        How the explanation was made, as in the sidecars.
    title : str
        Heading of the page.
    y_down : bool
        Whether y grows downwards, as in a movie.
    overwrite : bool
        Whether a file that exists is replaced.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    SptError
        If the file exists and `overwrite` is false, or it can't be written.
    """
    path = Path(path)
    refuse_to_overwrite([path], [], overwrite=overwrite)
    page = build_page(
        reasons, populations=populations, provenance=provenance, title=title, y_down=y_down
    )
    with atomic_file(path, option="output") as part:
        # a lone surrogate from an odd file name is shown as "?"
        part.write_bytes(page.encode("utf-8", errors="replace"))
    return path


def build_page(
    reasons: ReasonsLike,
    *,
    populations: pd.DataFrame | None,
    provenance: Mapping[str, Any] | None,
    title: str,
    y_down: bool,
) -> str:
    """Return the page as text; see `write_page`."""
    words, numbers = pack_reasons(reasons, y_down=y_down)
    groups = group_populations(populations)
    words["populations"] = groups
    scripts = [_resource(name) for name in SCRIPTS]
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    contents = {
        "policy": escape(policy),
        "title": escape(title),
        "style": _resource("style.css"),
        "summary": escape(_summary(words)),
        "statistics": escape("; ".join(f"{name}, {what}" for name, what in STATISTICS.items())),
        "populations": populations_html(groups),
        "correlations": correlations_html(reasons.correlations),
        "provenance": provenance_html(provenance, reasons.settings),
        "version": escape(__version__),
        # as text in a script element, only "<" could end it
        "words": json.dumps(words, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "numbers": numbers,
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: contents[match[1]], _resource("page.html"))


def _summary(words: Mapping[str, Any]) -> str:
    n, sources = words["n"], words["files"]
    tracks = f"{n:,} track{'' if n == 1 else 's'}"
    if not n:
        return "No track was explained."
    return f"{tracks} of {sources[0] if len(sources) == 1 else f'{len(sources):,} files'}"


def _resource(name: str) -> str:
    """Return a text file of this package."""
    return files("spt_explain.report.page").joinpath(*name.split("/")).read_text("utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
