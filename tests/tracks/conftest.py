import pandas as pd
import pytest

from spt_explain.tracks import Calibration, Source, Tracks


@pytest.fixture(scope="session")
def make_tracks():
    """A function from rows (particle, frame, x, y) to Tracks."""

    def make(rows, *, name="tracks.csv", branching=None, links=None):
        table = pd.DataFrame(rows, columns=["particle", "frame", "x", "y"]).astype(
            {"particle": "int64", "frame": "int64", "x": "float64", "y": "float64"}
        )
        table = table.sort_values(["particle", "frame"], kind="stable", ignore_index=True)
        if links is not None:
            links = pd.DataFrame(links, columns=["particle", "source", "target"], dtype="int64")
        return Tracks(table, Calibration(), Source(name, "a table"), branching or {}, links)

    return make
