"""Columns of a source beyond the positions: names, and values by row and by track."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.tracks.columns import (
    RESERVED,
    constant_in_tracks,
    rows_with_value,
    take,
    unique_names,
)
from spt_explain.tracks.policy import QualityPolicy
from spt_explain.tracks.quality import apply_policy
from spt_explain.tracks.table import Calibration, Source, Tracks


def test_names_of_ours_and_repeated_ones_are_told_apart() -> None:
    assert unique_names(["mass", "x", "frame", "mass", "mass"]) == [
        "mass", "x_source", "frame_source", "mass_2", "mass_3",
    ]  # fmt: skip
    # a column that is really called so keeps its name
    assert unique_names(["a", "a", "a_2"]) == ["a", "a_3", "a_2"]
    assert unique_names(["x", "x_source"]) == ["x_source_2", "x_source"]


@given(st.lists(st.sampled_from(["a", "a_2", "x", "x_source", "x_source_2", "frame", "A"])))
def test_names_are_distinct_and_none_is_ours(names: list[str]) -> None:
    found = unique_names(names)
    assert len(set(found)) == len(names)
    assert not set(found) & RESERVED
    for name, new in zip(names, found, strict=True):
        assert new.startswith(name)
        first = names.index(name) == found.index(new)
        assert (new == name) == (name not in RESERVED and first)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**60 + 1, 5, 7], "Int64"),
        ([True, False, True], "boolean"),
        ([0.5, 1.5, 2.5], "float64"),
        (["a", "b", "c"], "str"),
    ],
)
def test_what_is_taken_keeps_its_kind(values: list[object], kind: str) -> None:
    taken = pd.Series(take(pd.Series(values), np.array([2, -1, 0])))
    assert str(taken.dtype) == kind
    assert taken[[0, 2]].tolist() == [values[2], values[0]]
    assert taken.isna().tolist() == [False, True, False]
    whole = pd.Series(take(pd.Series(values), np.array([1])))
    assert whole.dtype == pd.Series(values).dtype


@given(
    st.lists(st.lists(st.sampled_from([None, 1, 2]), min_size=1, max_size=4), min_size=1),
    st.sampled_from(["Int64", "float64", "str"]),
)
def test_one_value_of_each_track(tracks: list[list[int | None]], kind: str) -> None:
    rows = [value for track in tracks for value in track]
    column = pd.Series([None if v is None else str(v) for v in rows], dtype="str")
    if kind != "str":
        column = pd.to_numeric(column).astype(kind)
    first = np.cumsum([0, *map(len, tracks[:-1])])
    sets = [{v for v in track if v is not None} for track in tracks]
    row, conflict = rows_with_value(column, first)
    found = constant_in_tracks(column, first)
    if any(len(one) > 1 for one in sets):
        assert found is None
        assert conflict is not None
        one, other = conflict
        assert rows[one] != rows[other]
        assert np.searchsorted(first, one, "right") == np.searchsorted(first, other, "right")
        return
    assert conflict is None
    assert found is not None
    for i, one in enumerate(sets):
        if one:
            assert float(found[i]) == one.pop()
            assert rows[row[i]] == float(found[i])
        else:
            assert pd.isna(found[i])


def tracks_of(table: pd.DataFrame, **more: object) -> Tracks:
    return Tracks(table, Calibration(), Source("t", "t"), **more)  # type: ignore[arg-type]


def points(frames: list[int], particle: int = 0) -> pd.DataFrame:
    n = len(frames)
    at = np.arange(n, dtype=float) ** 2
    table = pd.DataFrame({"particle": particle, "frame": frames, "x": at, "y": -at})
    table["spot"] = 100 * particle + np.array(frames)
    table["name"] = [f"{particle}/{frame}" for frame in frames]
    return table


def test_filled_frames_have_no_values_of_the_source() -> None:
    table = pd.concat([points([0, 1, 4, 5]), points([2, 3, 4], 1)], ignore_index=True)
    table["interpolated"] = table["spot"] / 8
    segments = apply_policy(tracks_of(table), QualityPolicy(min_length=3))
    found = segments.points
    assert found["frame"].tolist() == [0, 1, 2, 3, 4, 5, 2, 3, 4]
    filled = found["interpolated"]
    assert filled.tolist() == [False, False, True, True] + [False] * 5
    assert str(found["spot"].dtype) == "Int64"
    assert found["spot"][~filled].tolist() == [0, 1, 4, 5, 102, 103, 104]
    assert found["name"][~filled].tolist() == ["0/0", "0/1", "0/4", "0/5", "1/2", "1/3", "1/4"]
    assert found["interpolated_source"][~filled].tolist() == table["interpolated"].tolist()
    for name in ("spot", "name", "interpolated_source"):
        assert found[name][filled].isna().all()


def test_values_stay_with_their_points_where_rows_repeat() -> None:
    table = points([0, 1, 1, 2, 3])
    table.loc[2, ["x", "y"]] = table.loc[1, ["x", "y"]]
    segments = apply_policy(tracks_of(table), QualityPolicy(min_length=3))
    assert segments.counts["duplicate_rows"] == 1
    assert segments.points["name"].tolist() == ["0/0", "0/1", "0/2", "0/3"]


def test_values_stay_with_their_points_where_branches_are_cut() -> None:
    # one path of 0, 1, 2 splits at 2 into a (3, 4, 5) and b (3, 4, 5), whose rows interleave
    frames = [0, 1, 2, 3, 3, 4, 4, 5, 5]
    table = points(frames)
    table["name"] = ["s0", "s1", "s2", "a3", "b3", "a4", "b4", "a5", "b5"]
    links = pd.DataFrame(
        {
            "particle": 0,
            "source": [0, 1, 2, 2, 3, 4, 5, 6],
            "target": [1, 2, 3, 4, 5, 6, 7, 8],
        }
    )
    tracks = tracks_of(table, branching={0: "splits"}, links=links)
    segments = apply_policy(tracks, QualityPolicy(min_length=3, branches="split"))
    pieces = [
        segments.points["name"][a:b].tolist()
        for a, b in zip(segments.offsets[:-1], segments.offsets[1:], strict=True)
    ]
    assert sorted(pieces) == [["a3", "a4", "a5"], ["b3", "b4", "b5"], ["s0", "s1", "s2"]]


@given(st.data())
def test_values_stay_with_their_points_under_any_policy(data: st.DataObject) -> None:
    """Each observed point of a segment has the values of the row at its particle and frame."""
    n = data.draw(st.integers(1, 4))
    tables = [
        points(sorted(data.draw(st.sets(st.integers(0, 30), min_size=1, max_size=15))), i)
        for i in range(n)
    ]
    table = pd.concat(tables, ignore_index=True)
    policy = QualityPolicy(
        min_length=2,
        gaps=data.draw(st.sampled_from(["fill", "split", "keep", "drop"])),
        max_gap=data.draw(st.integers(0, 5)),
    )
    found = apply_policy(tracks_of(table), policy)
    summary = found.summary[found.summary["segment_id"] >= 0].set_index("segment_id")
    seen = found.points[~found.points["interpolated"]]
    particle = summary["particle"].reindex(seen["segment_id"]).to_numpy()
    assert seen["spot"].tolist() == (100 * particle + seen["frame"].to_numpy()).tolist()
    assert seen["name"].tolist() == [
        f"{i}/{f}" for i, f in zip(particle, seen["frame"], strict=True)
    ]
    assert found.points["name"].isna().tolist() == found.points["interpolated"].tolist()
