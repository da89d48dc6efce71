"""The parts of the page that need no script: fractions, correlations, where all came from."""

from __future__ import annotations

import json
import math
import shlex
from html import escape
from typing import TYPE_CHECKING, Any

from spt_explain.report.page.content import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

_SETTINGS = {
    "method": "Method",
    "layer": "Layer, for methods that have one",
    "class_name": "Class explained",
    "against": "Contrast with",
    "of": "The score is of the",
    "draws": "Erasures at random, a track",
    "share": "Share of the frames erased",
    "erase": "Frames are erased by",
    "seed": "Seed of the erasures",
}
_FRACTIONS = ("class", "fraction", "low", "high", "n_tracks", "note")


def group_populations(populations: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the fractions of each condition as plain values.

    Parameters
    ----------
    populations : pandas.DataFrame, optional
        What `spt_explain.populations` returns; columns beside its own name the condition.

    Returns
    -------
    list of dict
        ``name`` of the condition (empty where there is one only), ``rows`` of (class, fraction,
        low, high) with None for what is not known, ``n_tracks``, ``note``.
    """
    if populations is None or not len(populations):
        return []
    keys = [name for name in populations.columns if name not in _FRACTIONS]
    groups: dict[str, dict[str, Any]] = {}
    for row in populations.to_dict("records"):
        name = " · ".join(str(row[key]) for key in keys)
        group = groups.setdefault(
            name,
            {"name": name, "rows": [], "n_tracks": row.get("n_tracks"), "note": row.get("note")},
        )
        shares = [_finite(row.get(column)) for column in ("fraction", "low", "high")]
        group["rows"].append([str(row.get("class", "")), *shares])
    for group in groups.values():
        count = _finite(group["n_tracks"])
        group["n_tracks"] = None if count is None else int(count)
        group["note"] = group["note"] if isinstance(group["note"], str) else ""
    return list(groups.values())


def populations_html(groups: Sequence[Mapping[str, Any]]) -> str:
    """Return the fractions as tables, one for each condition."""
    if not groups:
        return "<p>No fractions were estimated for these tracks.</p>"
    parts = []
    for group in groups:
        rows = [
            [name, _percent(fraction), f"{_percent(low)} to {_percent(high)}"]
            for name, fraction, low, high in group["rows"]
        ]
        count = group["n_tracks"]
        caption = "" if count is None else f"{count:,} track{'' if count == 1 else 's'} counted"
        caption = " · ".join(text for text in (group["name"], caption, group["note"]) if text)
        parts.append(_table(("Class", "Fraction", "95 % interval"), rows, caption))
    return "\n".join(parts)


def correlations_html(correlations: pd.DataFrame | None) -> str:
    """Return how scores and statistics go together, a row a class and statistic."""
    if correlations is None or not len(correlations):
        return "<p>There were too few windows to correlate scores with statistics.</p>"
    if "variant" in correlations:  # over all windows of a class, as in the paper's Fig. 7
        correlations = correlations[correlations["variant"] == "pooled"]
    rows = []
    for row in correlations.to_dict("records"):
        statistic = str(row.get("statistic", ""))
        rows.append(
            [
                str(row.get("class", "")),
                statistic,
                STATISTICS.get(statistic, ""),
                _signed(row.get("pearson")),
                _signed(row.get("spearman")),
                _count(row.get("n_windows")),
                _count(row.get("n_tracks")),
            ]
        )
    head = ("Class", "Statistic", "Meaning", "Pearson", "Spearman", "Windows", "Tracks")
    return _table(head, rows, "Correlation of score and statistic over windows")


def provenance_html(provenance: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> str:
    """Return what was used to make the page: the main points as a list, the rest as JSON."""
    known = dict(provenance or {})
    points: list[tuple[str, str]] = []
    weights = known.get("weights")
    if isinstance(weights, dict):
        name = " ".join(str(weights[key]) for key in ("name", "version") if weights.get(key))
        points.append(("Weights", name))
        points.append(("SHA-256 of the weights", str(weights.get("sha256") or "not known")))
    elif weights:
        points.append(("Weights", str(weights)))
    program = " ".join(str(known[key]) for key in ("program", "version") if known.get(key))
    points.append(("Program", program))
    command = known.get("command")
    if isinstance(command, (list, tuple)):
        command = shlex.join(str(word) for word in command)
    points.append(("Command", str(command or "")))
    points.append(("Made", str(known.get("created") or "")))
    points.append(("Device", str(known.get("device") or "")))
    inputs = known.get("inputs")
    for one in inputs if isinstance(inputs, (list, tuple)) else []:
        points.append(("Input", _input(one)))
    points += [
        (_SETTINGS.get(key, f"Explanation: {key.replace('_', ' ')}"), _plain(value))
        for key, value in settings.items()
    ]
    listed = "\n".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in points if value
    )
    text = json.dumps(known, indent=1, ensure_ascii=False, default=str)
    rest = (
        "<details><summary>Everything that is needed to run it again (JSON)</summary>"
        f'<pre tabindex="0" aria-label="Provenance as JSON">{escape(text)}</pre></details>'
        if known
        else ""
    )
    return f"<dl>\n{listed}\n</dl>\n{rest}"


def _input(one: object) -> str:
    if not isinstance(one, dict):
        return str(one)
    unit = {"um": "µm", "px": "pixel"}.get(str(one.get("length_unit")), one.get("length_unit"))
    interval = one.get("frame_interval_s")
    parts = [
        one.get("path") or one.get("name"),
        one.get("format"),
        unit and f"positions in {unit} ({one.get('length_source') or 'source not known'})",
        f"{interval:g} s between frames ({one.get('time_source') or 'source not known'})"
        if isinstance(interval, (int, float))
        else unit and "time between frames not known",
        one.get("sha256") and f"SHA-256 {one['sha256']}",
    ]
    return " · ".join(str(part) for part in parts if part)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], caption: str) -> str:
    top = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = []
    for first, *others in rows:
        cells = "".join(f"<td>{escape(text)}</td>" for text in others)
        body.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption or "Table")}">'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _plain(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "not given" if value is None else str(value)


def _finite(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{100 * value:.1f} %"


def _signed(value: object) -> str:
    number = _finite(value)
    return "–" if number is None else f"{number:+.2f}".replace("-", "−")


def _count(value: object) -> str:
    number = _finite(value)
    return "–" if number is None else f"{number:,.0f}"
