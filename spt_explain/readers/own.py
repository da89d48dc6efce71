"""What our own tables of tracks hold besides tracks: the static localisation error of each spot."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spt_explain.readers.inputs import Input
    from spt_explain.tracks.table import Tracks

COLUMN = "sigma_static"
_X = re.compile(r"x \[(µm|px)\]")


def with_static_error(tracks: Tracks, source: Input) -> Tracks:
    """Return tracks with their static localisation error, where the file is ours and holds it.

    Parameters
    ----------
    tracks : Tracks
        As read from `source`.
    source : Input
        A table that ``spt-explain track`` wrote as CSV, or any other file.

    Returns
    -------
    Tracks
        With a further column ``sigma_static`` in the unit of ``x``, or as they were.
    """
    names = source.head.partition(b"\n")[0].decode(errors="replace").strip().split(",")
    x = next((name for name in names if _X.fullmatch(name)), None)
    if x is None or not {"particle", "frame", COLUMN} <= set(names):
        return tracks
    import pandas as pd
    from pyarrow import ArrowInvalid, csv

    try:
        with source.open() as stream:
            found = csv.read_csv(
                stream,
                convert_options=csv.ConvertOptions(
                    include_columns=["particle", "frame", COLUMN],
                    column_types={"particle": "int64", "frame": "int64", COLUMN: "float64"},
                ),
            ).to_pandas()
    except ArrowInvalid:  # changed by hand since: what was read stays
        return tracks
    key = ["particle", "frame"]
    if found.duplicated(key).any():
        return tracks
    there = pd.MultiIndex.from_frame(tracks.table[key])
    error = found.set_index(key)[COLUMN].reindex(there).to_numpy()
    calibration = tracks.calibration
    if x == "x [px]" and calibration.length_unit == "um" and calibration.pixel_size_um:
        error = error * calibration.pixel_size_um
    return replace(tracks, table=tracks.table.assign(**{COLUMN: error}))
