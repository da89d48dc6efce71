"""What goes into the page: the tables of an explanation as a few arrays, and words for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from spt_explain.diffusion.classes import CLASSES
from spt_explain.diffusion.msd import FEWEST_LAGS, MOST_LAGS, POINTS_PER_LAG
from spt_explain.report.page.pack import MISSING_8, MISSING_16, Pack, quantise, ranges
from spt_explain.report.style import NEUTRAL, SIGNED_COLOURS, colour_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

KEYS = ("file", "particle", "segment")
"""Columns that say which track a row is about."""
STATISTICS = {
    "AC": "memory from step to step",
    "CS": "memory, times how much turns vary",
    "NG": "steps that are not Gaussian",
    "SG": "sudden changes of step size",
    "VD": "steps that grow (+) or shrink (−)",
}
"""The paper's statistics in windows and what they are called in the page."""
SHARE = 0.2
"""Share of the frames that the check erases, where the settings do not say."""
MAP_SHARE = 0.98
"""The colours of the map span this share of the scores: a few outliers would make all others grey.
"""
_NUMBERS = (
    "n_points", "nodes", "resolution_frames", "loss_top", "loss_random", "loss_random_sd",
    "probability", "alpha", "alpha_low", "alpha_high", "alpha_msd", "D_um2_s", "sigma_loc_um",
    "inv_snr",
)  # fmt: skip
_WORDS = ("file", "label", "status", "reason", "check", "method", "layer", "remark")
_CLASSES = ("class", "runner_up", "explained", "against")


class ReasonsLike(Protocol):
    """What the page is made of: tables of an explanation, see `spt_explain.explain.reasons`."""

    @property
    def tracks(self) -> pd.DataFrame:
        """A row a track."""

    @property
    def frames(self) -> pd.DataFrame:
        """A row a frame of each explained track, in order."""

    @property
    def windows(self) -> pd.DataFrame:
        """A row a window."""

    @property
    def correlations(self) -> pd.DataFrame:
        """A row for each class and statistic."""

    @property
    def timeline(self) -> pd.DataFrame:
        """A row a window of each long track; may be empty."""

    @property
    def unit(self) -> str:
        """Unit of the positions."""

    @property
    def frame_interval_s(self) -> float | None:
        """Time between frames in s."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """How the explanation was made."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the network's classes."""


def pack_reasons(reasons: ReasonsLike, *, y_down: bool) -> tuple[dict[str, Any], str]:
    """Return what the page's script reads.

    Parameters
    ----------
    reasons : ReasonsLike
        Columns that are missing count as unknown.
    y_down : bool
        Whether y grows downwards, as in a movie.

    Returns
    -------
    words : dict
        Names, colours, units and where the arrays lie; plain values for JSON.
    numbers : str
        The arrays, see `Pack`.
    """
    tracks = reasons.tracks.reset_index(drop=True)
    classes = _class_names(reasons, tracks)
    pack = Pack()
    words: dict[str, Any] = {}
    for name in _WORDS:
        codes, words[name] = _words(tracks, name)
        pack.add_whole(name, codes)
    for name in _CLASSES:
        pack.add(name, "u1", _class_codes(tracks, name, classes))
    for name in _NUMBERS:
        pack.add(name, "f4", _numbers(tracks, name))
    for name in ("particle", "segment"):
        pack.add(name, "f8", _numbers(tracks, name))
    pack.add("p", "u2", _probabilities(tracks, classes))
    overlay = _flags(tracks, "overlay", unknown=True)
    pack.add("overlay", "u1", overlay)

    where = _Rows(tracks)
    first = _numbers(tracks, "first_frame")
    first = _pack_frames(pack, reasons.frames, where, first)
    statistics = _pack_windows(pack, reasons.windows, where, first)
    _pack_timeline(pack, reasons.timeline, where, first, classes)
    pack.add("first", "f8", first)
    last = _numbers(tracks, "last_frame")
    pack.add("last_frame", "f8", np.where(np.isfinite(last), last, np.nan))

    interval = reasons.frame_interval_s
    described = {one.name: one.description for one in CLASSES}
    meta = {
        "n": len(tracks),
        "classes": [
            {
                "name": name,
                "colour": colour_of(name, classes),
                "description": described.get(name, ""),
                "output": name in reasons.classes,
            }
            for name in classes
        ],
        "words": words,
        "files": short_names(words["file"]),
        "statistics": [[name, STATISTICS[name]] for name in statistics],
        "unit": str(reasons.unit),
        "interval": float(interval) if interval and np.isfinite(interval) else None,
        "y_down": y_down,
        "signed": list(SIGNED_COLOURS),
        "neutral": NEUTRAL,
        "msd": [FEWEST_LAGS, MOST_LAGS, POINTS_PER_LAG],
        "share": _share(reasons.settings),
        "limit": _map_limit(reasons.frames, where, overlay),
        "columns": [name for name in _NUMBERS if name in tracks],
        "arrays": pack.directory,
    }
    return meta, pack.text()


class _Rows:
    """Finds the rows of each track in other tables."""

    def __init__(self, tracks: pd.DataFrame) -> None:
        self.n = len(tracks)
        self._keys = _keys(tracks)
        self._keys["track"] = np.arange(self.n)
        self._keys = self._keys.drop_duplicates(list(KEYS))

    def find(self, table: pd.DataFrame) -> tuple[pd.DataFrame, Ints, Ints]:
        """Return the table in the order of the tracks, each track's first row and their number.

        Rows that belong to no track are left out; a track's rows keep their order.
        """
        found = _keys(table).merge(self._keys, on=list(KEYS), how="left", sort=False)["track"]
        track = found.fillna(-1).to_numpy(np.int64)
        order = np.argsort(track, kind="stable")
        order = order[np.searchsorted(track[order], 0) :]
        track = track[order]
        start = np.searchsorted(track, np.arange(self.n))
        count = np.searchsorted(track, np.arange(self.n), side="right") - start
        return table.iloc[order], start.astype(np.int64), count.astype(np.int64)


def _keys(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    keys = pd.DataFrame(index=np.arange(len(table)))
    codes, texts = _words(table, "file")
    keys["file"] = pd.Series(np.array(texts, dtype=object)[codes], dtype=object)
    for name in ("particle", "segment"):
        values = table[name] if name in table else pd.Series(0, index=table.index)
        if values.dtype.kind not in "iu":
            values = pd.to_numeric(values, errors="coerce").fillna(-1)
        keys[name] = values.to_numpy(np.int64)
    return keys


def _pack_frames(pack: Pack, table: pd.DataFrame, where: _Rows, first: Floats) -> Floats:
    """Add paths and scores; return the frame that each track's frames are counted from."""
    rows, start, count = where.find(table)
    pack.add("frame_start", "u4", start)
    pack.add("frame_count", "u4", count)
    frame = _numbers(rows, "frame")
    some = count > 0
    first = first.copy()
    if some.any():
        first[some] = np.fmin.reduceat(frame, start[some])
    first = np.where(np.isfinite(first), first, 0.0)
    offsets = _offsets(frame, np.repeat(first, count))
    in_order = np.arange(len(rows)) - np.repeat(start, count)
    # nearly always without a gap: then the page counts by itself
    pack.add_whole("frame", [] if np.array_equal(offsets, in_order) else offsets)
    for axis in ("x", "y"):
        values = _numbers(rows, axis)
        low, span = ranges(values, start, count)
        pack.add(f"{axis}_low", "f8", low)
        pack.add(f"{axis}_span", "f8", np.where(np.isfinite(span), span, 0.0))
        steps = quantise(values, np.repeat(low, count), np.repeat(span, count), MISSING_16 - 1)
        pack.add(axis, "u2", steps)
    for name in ("score", "score_contrast"):
        values = _numbers(rows, name)
        low, span = ranges(np.abs(values), start, count)
        size = low + span
        pack.add(f"{name}_size", "f8", size)
        # 0…65534 for −size…size: 0 lies exactly at 32767
        lowest, width = np.repeat(-size, count), np.repeat(2 * size, count)
        steps = quantise(values, lowest, width, MISSING_16 - 1)
        steps[(width == 0) & np.isfinite(values)] = (MISSING_16 - 1) // 2
        pack.add(name, "u2", steps)
    filled = _flags(rows, "filled", unknown=False)
    pack.add("filled", "u1", filled if filled.any() else [])
    return first


def _pack_windows(pack: Pack, table: pd.DataFrame, where: _Rows, first: Floats) -> list[str]:
    """Add the statistics in windows; return the names of those that the table has."""
    rows, start, count = where.find(table)
    pack.add("window_start", "u4", start)
    pack.add("window_count", "u4", count)
    for name in ("first_frame", "last_frame"):
        pack.add_whole(f"window_{name}", _offsets(_numbers(rows, name), np.repeat(first, count)))
    statistics = [name for name in STATISTICS if name in rows]
    for name in ("score", *statistics):
        values = _numbers(rows, name)
        low, span = ranges(values, start, count)
        pack.add(f"window_{name}_low", "f4", low)
        pack.add(f"window_{name}_span", "f4", span)
        steps = quantise(values, np.repeat(low, count), np.repeat(span, count), MISSING_8 - 1)
        pack.add(f"window_{name}", "u1", steps)
    return statistics


def _pack_timeline(
    pack: Pack, table: pd.DataFrame, where: _Rows, first: Floats, classes: list[str]
) -> None:
    rows, start, count = where.find(table)
    pack.add("time_start", "u4", start)
    pack.add("time_count", "u4", count)
    for name in ("first_frame", "last_frame"):
        pack.add_whole(f"time_{name}", _offsets(_numbers(rows, name), np.repeat(first, count)))
    pack.add("time_class", "u1", _class_codes(rows, "class", classes))
    pack.add("time_p", "u2", _probabilities(rows, classes))
    pack.add("time_change", "u1", _flags(rows, "change", unknown=False))


def _offsets(frame: Floats, first: Floats) -> Floats:
    """Return frames counted from each track's first, as whole numbers of 32 bits."""
    return np.clip(np.nan_to_num(frame - first), 0, 2**32 - 1)


def _numbers(table: pd.DataFrame, name: str) -> Floats:
    """Return a column's numbers, NaN where it is missing, not a number or infinite."""
    import pandas as pd

    if name not in table:
        return np.full(len(table), np.nan)
    values = pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _flags(table: pd.DataFrame, name: str, *, unknown: bool) -> npt.NDArray[np.bool_]:
    """Return a column of true and false; `unknown` for all where the table has no such column."""
    if name not in table:
        return np.full(len(table), unknown)
    column = table[name].astype(object)
    return column.where(column.notna(), False).to_numpy(bool)


def _probabilities(table: pd.DataFrame, classes: list[str]) -> Ints:
    """Return the classes' probabilities of each row, one row after the other, in 16 bits."""
    p = np.zeros((len(table), len(classes)))
    for i, name in enumerate(classes):
        p[:, i] = _numbers(table, f"p_{name}")
    return quantise(p, np.zeros(p.shape), np.ones(p.shape), MISSING_16 - 1)


def _words(table: pd.DataFrame, name: str) -> tuple[Ints, list[str]]:
    """Return a column of text as the number of each row's text, and the texts by number."""
    import pandas as pd

    if name not in table:
        return np.zeros(len(table), np.int64), [""]
    # as objects: a name that UTF-8 can't hold is no pandas string
    codes, found = pd.factorize(table[name].astype(object), use_na_sentinel=False)
    number: dict[str, int] = {}
    texts = ("" if pd.isna(one) else str(one) for one in found)
    numbers = np.array([number.setdefault(text, len(number)) for text in texts], np.int64)
    return (numbers[codes] if len(codes) else codes.astype(np.int64)), list(number) or [""]


def _class_names(reasons: ReasonsLike, tracks: pd.DataFrame) -> list[str]:
    """Return the network's classes, then any others that the table names."""
    names = dict.fromkeys(str(name) for name in reasons.classes)
    for column in _CLASSES:
        names |= dict.fromkeys(text for text in _words(tracks, column)[1] if text)
    return list(names)[: MISSING_8 - 1]


def _class_codes(table: pd.DataFrame, name: str, classes: Iterable[str]) -> Ints:
    codes, texts = _words(table, name)
    number = {text: i for i, text in enumerate(classes)}
    of_text = np.array([number.get(text, MISSING_8) for text in texts], np.int64)
    return of_text[codes]


def short_names(files: list[str]) -> list[str]:
    """Return files without their folders, or as they are if that makes two the same."""
    names = [re.split(r"[/\\]", name)[-1] or name for name in files]
    return names if len(set(names)) == len(names) else files


def _share(settings: Mapping[str, Any]) -> float:
    """Return the share of the frames that the check erases."""
    share = settings.get("share")
    return float(share) if isinstance(share, (int, float)) and 0 < share < 1 else SHARE


def _map_limit(table: pd.DataFrame, where: _Rows, overlay: npt.NDArray[np.bool_]) -> float:
    """Return the score at the ends of the map's colours, the same for all tracks."""
    rows, _, count = where.find(table)
    size = np.abs(_numbers(rows, "score"))
    size = size[np.isfinite(size) & np.repeat(overlay, count)]
    limit = float(np.quantile(size, MAP_SHARE)) if len(size) else 0.0
    return limit or float(size.max(initial=0.0)) or 1.0
