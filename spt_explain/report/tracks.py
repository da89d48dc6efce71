"""Tables of tracks on disk, as CSV, Parquet or JSON, with their units in the headers."""

from __future__ import annotations

import io
import json
import math
from csv import writer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from spt_explain.tracks.table import Tracks

_TIME_DIGITS = 9


def with_units(tracks: Tracks) -> pd.DataFrame:
    """Return the table as it is written: units in the names, and a time beside each frame.

    Parameters
    ----------
    tracks : Tracks
        Its further columns are kept.

    Returns
    -------
    pandas.DataFrame
        Columns ``particle``, ``frame``, ``t [s]`` where the frame interval is known, ``x [µm]``,
        ``y [µm]`` (or ``[px]``), ``z`` likewise, then the others. Our readers, and people, take
        the units from there. Another column of such a name gets the suffix ``_source``.
    """
    import numpy as np

    from spt_explain.tracks.columns import unique_names

    unit = "µm" if tracks.calibration.length_unit == "um" else "px"
    axes = {axis: f"{axis} [{unit}]" for axis in "xyz"}
    interval = tracks.calibration.frame_interval_s
    ours = {"particle", "frame", *axes.values()} | ({"t [s]"} if interval is not None else set())
    others = tracks.extra_columns
    renamed = dict(zip(others, unique_names(others, ours), strict=True))
    table = tracks.table.rename(columns=axes | renamed)
    if interval is not None:
        decimals = _TIME_DIGITS - math.floor(math.log10(interval))
        time = table["frame"].to_numpy() * interval
        table.insert(2, "t [s]", np.round(time, decimals) if decimals < 300 else time)
    return table


def encode_tracks(tracks: Tracks, fmt: str, provenance: dict[str, Any]) -> bytes:
    """Return a table of tracks as the bytes of a file; the same table gives the same bytes.

    Parameters
    ----------
    tracks : Tracks
        What to write.
    fmt : {"csv", "parquet", "json"}
        As what. Numbers are written with all their digits; what is unknown is empty (null).
    provenance : dict
        How it was made; only JSON holds it.
    """
    table = with_units(tracks)
    if fmt == "json":
        rows = json.loads(table.to_json(orient="records", double_precision=15, force_ascii=False))
        document = {"provenance": provenance, "tracks": rows}
        return (json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n").encode()
    stream = io.BytesIO()
    if fmt == "parquet":
        table.to_parquet(stream, index=False)
        return stream.getvalue()
    import pyarrow as pa
    from pyarrow import csv

    header = io.StringIO()
    writer(header, lineterminator="\n").writerow(table.columns)
    stream.write(header.getvalue().encode())
    # Arrow puts quotes around all text or none: text that needs them makes all of it quoted.
    special = any(
        column.astype("str").str.contains('[,"\n\r]', na=False).any()
        for _, column in table.select_dtypes(["object", "str", "category"]).items()
    )
    style = "needed" if special else "none"
    options = csv.WriteOptions(include_header=False, quoting_style=style)
    csv.write_csv(pa.Table.from_pandas(table, preserve_index=False), stream, options)
    return stream.getvalue()
