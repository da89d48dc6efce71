import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from spt_explain.errors import SptError
from spt_explain.tracks import QualityPolicy, Tracks, apply_policy


def walk(particle, frames, seed=0):
    """Rows of a track that moves on steadily, so that it is never taken for immobile."""
    rng = np.random.default_rng(seed)
    return [(particle, f, float(f) + 0.1 * rng.random(), 2.0 * f) for f in frames]


def rows_of(segments):
    """The summary as a list of dicts, and each segment's frames."""
    return segments.summary.to_dict("records")


def frames_of(segments, i):
    return (
        segments.points["frame"].to_numpy()[segments.offsets[i] : segments.offsets[i + 1]].tolist()
    )


def statuses(segments):
    return segments.summary["status"].tolist()


# --- what comes out -------------------------------------------------------------------------


def test_columns_types_and_offsets(make_tracks):
    tracks = make_tracks(walk(3, range(12)) + walk(5, range(4)) + walk(9, range(100, 115)))
    got = apply_policy(tracks)
    points = {name: str(kind) for name, kind in got.points.dtypes.items()}
    assert points == {
        "segment_id": "int64",
        "frame": "int64",
        "x": "float64",
        "y": "float64",
        "interpolated": "bool",
    }
    assert list(got.summary) == [
        "particle",
        "segment",
        "n_points",
        "n_observed",
        "first_frame",
        "last_frame",
        "n_gaps",
        "n_filled",
        "status",
        "reason",
        "segment_id",
    ]
    assert got.offsets.dtype == np.int64
    assert got.offsets.tolist() == [0, 12, 27]
    assert len(got) == 2
    assert got.summary["segment_id"].tolist() == [0, -1, 1]
    assert rows_of(got)[1] == {
        "particle": 5,
        "segment": 0,
        "n_points": 4,
        "n_observed": 4,
        "first_frame": 0,
        "last_frame": 3,
        "n_gaps": 0,
        "n_filled": 0,
        "status": "too short",
        "reason": "4 points; at least 10 are needed (min_length=)",
        "segment_id": -1,
    }
    assert (got.counts["tracks"], got.counts["segments"], got.counts["too_short"]) == (3, 2, 1)
    assert (got.counts["points"], got.counts["classified_tracks"]) == (31, 2)


def test_the_input_is_left_as_it_was(make_tracks):
    tracks = make_tracks(walk(1, [0, 1, 3, *range(4, 14)]) + walk(2, [0, 0, 1]))
    before = tracks.table.copy(deep=True)
    got = apply_policy(tracks)
    got.points["x"] = 0.0
    assert tracks.table.equals(before)


def test_positions_pass_through_unchanged(make_tracks):
    tracks = make_tracks(walk(1, range(20)))
    got = apply_policy(tracks).points
    assert_array_equal(got[["x", "y"]], tracks.table[["x", "y"]])


# --- length ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("points", "status"), [(1, "too short"), (9, "too short"), (10, "")])
def test_minimum_length(make_tracks, points, status):
    got = apply_policy(make_tracks(walk(7, range(points))))
    assert statuses(got) == [status]
    if points == 1:
        assert rows_of(got)[0]["reason"] == "1 point; at least 10 are needed (min_length=)"


def test_filled_frames_count_towards_the_length(make_tracks):
    rows = walk(1, [0, 1, 2, 3, 4, 6, 7, 8, 9]) + walk(2, [0, 1, 3])
    got = apply_policy(make_tracks(rows))
    assert statuses(got) == ["", "too short"]
    assert rows_of(got)[1]["reason"].startswith("4 points (1 of them filled in); at least 10")


# --- gaps -----------------------------------------------------------------------------------

GAPPED = [*range(12), *range(14, 20), *range(23, 33)]  # 2, then 3 missing frames


def test_fill_interpolates_short_gaps_and_splits_at_longer_ones(make_tracks):
    got = apply_policy(make_tracks(walk(4, GAPPED)))
    first, second = rows_of(got)
    assert (first["particle"], first["segment"], first["segment_id"]) == (4, 0, 0)
    assert (second["particle"], second["segment"], second["segment_id"]) == (4, 1, 1)
    assert (first["n_points"], first["n_observed"], first["n_gaps"], first["n_filled"]) == (
        20,
        18,
        1,
        2,
    )
    assert (first["first_frame"], first["last_frame"]) == (0, 19)
    assert (second["n_points"], second["n_gaps"], second["first_frame"]) == (10, 0, 23)
    assert frames_of(got, 0) == list(range(20))
    assert got.points["frame"][got.points["interpolated"]].tolist() == [12, 13]
    assert_allclose(got.points["y"][:20], 2.0 * np.arange(20))
    counts = got.counts
    assert (counts["gaps_filled"], counts["frames_filled"]) == (1, 2)
    assert counts["tracks_split_at_gaps"] == 1


def test_split_cuts_at_every_gap(make_tracks):
    got = apply_policy(make_tracks(walk(4, GAPPED)), QualityPolicy(gaps="split"))
    assert statuses(got) == ["", "too short", ""]
    assert got.summary["segment"].tolist() == [0, 1, 2]
    assert got.summary["segment_id"].tolist() == [0, -1, 1]
    assert rows_of(got)[1]["reason"] == "piece of 6 points; at least 10 are needed (min_length=)"
    assert not got.points["interpolated"].any()
    assert got.counts["too_short_tracks"] == 0


def test_keep_takes_points_as_consecutive(make_tracks):
    got = apply_policy(make_tracks(walk(4, GAPPED)), QualityPolicy(gaps="keep"))
    (row,) = rows_of(got)
    assert (row["n_points"], row["n_gaps"], row["n_filled"], row["last_frame"]) == (28, 2, 0, 32)
    assert frames_of(got, 0) == GAPPED


def test_drop_leaves_gapped_tracks_out(make_tracks):
    rows = walk(4, GAPPED) + walk(5, range(10)) + walk(6, [0, 2])
    got = apply_policy(make_tracks(rows), QualityPolicy(gaps="drop"))
    assert statuses(got) == ["gapped", "", "gapped"]
    assert rows_of(got)[0]["reason"].startswith("2 gaps in its frames")
    assert rows_of(got)[2]["reason"].startswith("1 gap in its frames")
    assert got.counts["gapped"] == 2


def test_max_gap_zero_fills_nothing(make_tracks):
    tracks = make_tracks(walk(4, GAPPED))
    none, split = (
        apply_policy(tracks, policy)
        for policy in (QualityPolicy(max_gap=0), QualityPolicy(gaps="split"))
    )
    assert none.summary.equals(split.summary)
    assert none.points.equals(split.points)


@pytest.mark.parametrize("gaps", ["fill", "split", "keep"])
def test_frames_at_the_ends_of_int64(make_tracks, gaps):
    lowest, highest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    frames = [lowest + i for i in range(10)] + [highest - 9 + i for i in range(10)]
    rows = [(0, f, float(i), float(i)) for i, f in enumerate(frames)]
    got = apply_policy(make_tracks(rows), QualityPolicy(gaps=gaps))
    if gaps == "keep":
        assert (len(got), rows_of(got)[0]["n_gaps"]) == (1, 1)
    else:
        assert len(got) == 2
    assert got.points["frame"].tolist() == frames


def test_a_gap_of_millions_allocates_nothing_and_too_much_filling_is_refused(make_tracks):
    frames = [*range(10), *range(50_000_000, 50_000_010)]
    got = apply_policy(make_tracks(walk(1, frames)))
    assert len(got.points) == 20
    ragged = make_tracks(walk(1, range(0, 20_000_000, 900_000)))
    with pytest.raises(SptError, match="max_gap=1000000: filling gaps") as error:
        apply_policy(ragged, QualityPolicy(max_gap=1_000_000))
    assert "\n" not in str(error.value)


# --- duplicates -----------------------------------------------------------------------------


def test_duplicate_frames_are_left_out_with_the_first_of_them(make_tracks):
    rows = [*walk(1, range(20)), (1, 14, 0.0, 0.0)]
    rows += walk(2, [*range(12), 3, 3, 5, 7, 7, 9], seed=1)
    rows[-6:] = [(2, f, -1.0 - i, 0.0) for i, f in enumerate([3, 3, 5, 7, 7, 9])]
    got = apply_policy(make_tracks(rows + walk(3, range(10))))
    assert statuses(got) == ["duplicate frames", "duplicate frames", ""]
    assert got.summary["reason"].tolist() == [
        "2 points in frame 14",
        "3 points in frame 3 (and 3 more frames)",
        "",
    ]
    assert got.summary["n_observed"].tolist() == [21, 18, 10]
    assert got.counts["duplicate_frames"] == 2


def test_two_duplicate_frames_in_a_row_are_two(make_tracks):
    rows = [(1, f, float(i), 0.0) for i, f in enumerate([0, 0, 1, 1])]
    got = apply_policy(make_tracks([*rows, (2, 1, 0.0, 0.0)]))
    assert rows_of(got)[0]["reason"] == "2 points in frame 0 (and 1 more frame)"


def test_repeated_rows_are_collapsed_and_counted(make_tracks):
    rows = walk(1, range(10))
    got = apply_policy(make_tracks(rows + rows[3:6] + rows[3:4]))
    assert statuses(got) == [""]
    assert got.counts["duplicate_rows"] == 4
    assert frames_of(got, 0) == list(range(10))
    assert got.counts["points"] == 14


def test_repeated_rows_are_found_with_another_between_them(make_tracks):
    rows = [(1, 0, 5.0, 5.0), (1, 0, 1.0, 1.0), (1, 0, 5.0, 5.0), (1, 1, 0.0, 0.0)]
    got = apply_policy(make_tracks(rows))
    (row,) = rows_of(got)
    assert (row["status"], row["n_observed"]) == ("duplicate frames", 3)
    assert row["reason"] == "2 points in frame 0"
    assert got.counts["duplicate_rows"] == 1


# --- branches -------------------------------------------------------------------------------


def split_track(particle=1):
    """Frames 0–11, then two branches of frames 12–23; and its links as rows of the table."""
    stem = [(particle, f, float(f), 0.0) for f in range(12)]
    arms = [(particle, f, float(f), s * (f - 11.0)) for f in range(12, 24) for s in (1, -1)]
    links = [(particle, f, f + 1) for f in range(11)] + [(particle, 11, 12), (particle, 11, 13)]
    links += [(particle, i, i + 2) for i in range(12, 34)]
    return stem + arms, links


def test_branched_tracks_are_left_out_with_a_hint(make_tracks):
    rows, links = split_track()
    tracks = make_tracks(rows, branching={1: "splits at frame 11."}, links=links)
    got = apply_policy(tracks)
    (row,) = rows_of(got)
    assert (row["status"], row["n_observed"], row["n_points"]) == ("branched", 36, 36)
    assert (row["first_frame"], row["last_frame"], row["n_gaps"]) == (0, 23, 0)
    assert row["reason"] == (
        "splits at frame 11; branches='split' classifies its unbranched pieces"
    )
    assert (got.counts["branched"], got.counts["branch_pieces"]) == (1, 0)


def test_branched_tracks_are_cut_on_request(make_tracks):
    rows, links = split_track()
    rows = [(0, f, float(f), 1.0) for f in range(10)] + rows + walk(5, range(11))
    links = [(p, s + 10, t + 10) for p, s, t in links]
    tracks = make_tracks(rows, branching={1: "splits"}, links=links)
    got = apply_policy(tracks, QualityPolicy(branches="split"))
    assert got.summary["particle"].tolist() == [0, 1, 1, 1, 5]
    assert got.summary["segment"].tolist() == [0, 0, 1, 2, 0]
    assert got.summary["n_observed"].tolist() == [10, 12, 12, 12, 11]
    assert got.summary["segment_id"].tolist() == [0, 1, 2, 3, 4]
    ys = got.points["y"].to_numpy()
    assert frames_of(got, 1) == list(range(12))
    assert frames_of(got, 2) == frames_of(got, 3) == list(range(12, 24))
    assert_array_equal(ys[22:34], np.arange(1.0, 13))
    assert_array_equal(ys[34:46], -np.arange(1.0, 13))
    counts = got.counts
    assert (counts["branched"], counts["branched_split"], counts["branch_pieces"]) == (0, 1, 3)


def test_pieces_of_a_branched_track_go_through_the_gap_rule(make_tracks):
    rows = [(1, f, float(f), 0.0) for f in (*range(10), 13, *range(20, 30))]
    links = [(1, i, i + 1) for i in range(20)]
    rows += [(1, 30, 30.0, 1.0), (1, 30, 30.0, -1.0)]
    links += [(1, 20, 21), (1, 20, 22)]
    tracks = make_tracks(rows, branching={1: "splits"}, links=links)
    got = apply_policy(tracks, QualityPolicy(branches="split"))
    assert statuses(got) == ["", "too short", "", "too short", "too short"]
    assert got.summary["segment"].tolist() == [0, 1, 2, 3, 4]
    assert got.summary["reason"].iloc[3].startswith("piece of 1 point;")
    assert got.counts["branch_pieces"] == 3
    assert got.counts["tracks_split_at_gaps"] == 1


def test_without_links_a_branched_track_stays_out(make_tracks):
    rows, links = split_track()
    for these in (None, [], [(7, s, t) for _, s, t in links]):
        tracks = make_tracks(rows, branching={1: "it merges"}, links=these)
        got = apply_policy(tracks, QualityPolicy(branches="split"))
        (row,) = rows_of(got)
        assert row["status"] == "branched"
        assert row["reason"] == (
            "it merges; branches='split' can't cut it, as the file holds no links for it"
        )


def test_branched_comes_before_duplicates_and_keeps_its_rows(make_tracks):
    rows = [(1, 0, 0.0, 0.0)] * 2 + [(1, 0, 1.0, 0.0), (2, 0, 0.0, 0.0)]
    got = apply_policy(make_tracks(rows, branching={1: "splits"}))
    assert statuses(got) == ["branched", "too short"]
    assert got.summary["n_observed"].tolist() == [3, 1]


# --- immobile -------------------------------------------------------------------------------


def test_identical_positions_can_not_be_classified(make_tracks):
    still = [(1, f, 0.1, 0.7) for f in (0, 1, 2, 4, 5, 6, 7, 8, 9)]
    got = apply_policy(make_tracks(still + walk(2, range(10)) + still[:0]))
    assert statuses(got) == ["immobile", ""]
    assert got.summary["segment_id"].tolist() == [-1, 0]
    assert rows_of(got)[0]["reason"].startswith("all 9 positions are identical")
    assert (got.counts["immobile"], got.counts["motionless"]) == (1, 1)
    assert len(got.points) == 10


def test_identical_positions_of_a_short_track_are_too_short(make_tracks):
    got = apply_policy(make_tracks([(1, f, 0.1, 0.7) for f in range(5)]))
    assert statuses(got) == ["too short"]


def test_noise_is_flagged_and_still_to_be_classified(make_tracks):
    rng = np.random.default_rng(11)
    noise = [(1, f, *rng.normal(size=2)) for f in range(60)]
    tracks = make_tracks(noise + walk(2, range(60)))
    got = apply_policy(tracks)
    assert statuses(got) == ["immobile", ""]
    assert got.summary["segment_id"].tolist() == [0, 1]
    assert "can't be told from localisation noise" in rows_of(got)[0]["reason"]
    assert statuses(apply_policy(tracks, QualityPolicy(flag_immobile=False))) == ["", ""]


def test_filled_frames_do_not_bias_the_flag(make_tracks):
    rng = np.random.default_rng(12)
    frames = [f for f in range(90) if f % 3]
    rows = [(p, f, *rng.normal(size=2)) for p in range(300) for f in frames]
    got = apply_policy(make_tracks(rows))
    assert got.counts["frames_filled"] > 0
    assert np.mean([status == "immobile" for status in statuses(got)]) > 0.93


# --- odd tables -----------------------------------------------------------------------------


def test_an_empty_table(make_tracks):
    got = apply_policy(make_tracks([]))
    assert len(got) == 0
    assert got.offsets.tolist() == [0]
    assert set(got.counts.values()) == {0}
    assert len(got.summary) == len(got.points) == 0


def test_an_unsorted_table_is_a_programming_error(make_tracks):
    tracks = make_tracks(walk(1, range(10)))
    upside_down = tracks.table[::-1].reset_index(drop=True)
    with pytest.raises(ValueError, match="sorted"):
        apply_policy(Tracks(upside_down, tracks.calibration, tracks.source))


def test_negative_ids_and_frames(make_tracks):
    got = apply_policy(make_tracks(walk(-5, range(-20, -8)) + walk(-(2**63), range(10))))
    assert got.summary["particle"].tolist() == [-(2**63), -5]
    assert got.summary["first_frame"].tolist() == [0, -20]


# --- any table ------------------------------------------------------------------------------

anywhere = st.lists(
    st.tuples(
        st.integers(-1, 3),
        st.one_of(st.integers(-3, 25), st.integers(0, 8)),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from([0.0, -2.0]),
    ),
    max_size=90,
)
any_policy = st.builds(
    QualityPolicy,
    min_length=st.integers(2, 6),
    gaps=st.sampled_from(["fill", "split", "keep", "drop"]),
    max_gap=st.integers(0, 4),
)


def expected_rows(rows, policy):
    """The policy, track by track, in plain Python: (particle, segment, status, frames, filled)."""
    for particle in sorted({row[0] for row in rows}):
        unique = sorted({row[1:] for row in rows if row[0] == particle})
        frames = [row[0] for row in unique]
        gaps = [b - a - 1 for a, b in itertools.pairwise(frames)]
        if len(set(frames)) < len(frames):
            yield particle, 0, "duplicate frames", frames, 0
            continue
        if policy.gaps == "drop" and any(gaps):
            yield particle, 0, "gapped", frames, 0
            continue
        longest = {"fill": policy.max_gap, "split": 0}.get(policy.gaps, 10**9)
        pieces = [[0]]
        for i, gap in enumerate(gaps, start=1):
            if gap > longest:
                pieces.append([])
            pieces[-1].append(i)
        for segment, piece in enumerate(pieces):
            span = frames[piece[-1]] - frames[piece[0]] + 1
            filled = span - len(piece) if policy.gaps == "fill" else 0
            still = len({unique[i][1:] for i in piece}) == 1
            status = "immobile" if still else ""
            if len(piece) + filled < policy.min_length:
                status = "too short"
            yield particle, segment, status, [frames[i] for i in piece], filled


@given(anywhere, any_policy)
def test_any_table_agrees_with_the_rules_in_plain_python(make_tracks, rows, policy):
    policy = policy.changed(flag_immobile=False)
    got = apply_policy(make_tracks(rows), policy)
    expected = list(expected_rows(rows, policy))
    seen = [
        (r["particle"], r["segment"], r["status"], r["n_observed"], r["n_filled"])
        for r in rows_of(got)
    ]
    assert seen == [(p, s, status, len(f), n) for p, s, status, f, n in expected]
    ends = [(r["first_frame"], r["last_frame"]) for r in rows_of(got)]
    assert ends == [(f[0], f[-1]) for *_, f, _ in expected]
    gaps = [sum(b - a > 1 for a, b in itertools.pairwise(f)) for *_, f, _ in expected]
    assert got.summary["n_gaps"].tolist() == gaps
    kept = [frames for _, _, status, frames, _ in expected if status == ""]
    assert len(got) == len(kept)
    unique = {(p, f): (x, y) for p, f, x, y in rows}
    owners = got.summary.loc[got.summary["segment_id"] >= 0, "particle"].tolist()
    for i, (particle, frames) in enumerate(zip(owners, kept, strict=True)):
        part = got.points[got.offsets[i] : got.offsets[i + 1]]
        assert (part["segment_id"] == i).all()
        full = list(range(frames[0], frames[-1] + 1)) if policy.gaps == "fill" else frames
        assert part["frame"].tolist() == full
        assert part["frame"][~part["interpolated"]].tolist() == frames
        for axis, name in enumerate(("x", "y")):
            values = [unique[particle, f][axis] for f in frames]
            assert_allclose(part[name], np.interp(full, frames, values), atol=1e-12)


@given(anywhere, any_policy)
def test_nothing_is_lost(make_tracks, rows, policy):
    got = apply_policy(make_tracks(rows), policy)
    summary = got.summary
    assert set(summary["particle"]) == {row[0] for row in rows}
    assert summary["n_observed"].sum() == len(set(rows))
    assert got.counts["duplicate_rows"] == len(rows) - len(set(rows))
    assert (summary["n_points"] == summary["n_observed"] + summary["n_filled"]).all()
    assert got.offsets[-1] == len(got.points)
    kept = summary["segment_id"] >= 0
    assert np.diff(got.offsets).tolist() == summary.loc[kept, "n_points"].tolist()
    assert summary.loc[kept, "segment_id"].tolist() == list(range(len(got)))
    assert got.points["interpolated"].sum() == summary.loc[kept, "n_filled"].sum()
    assert ((summary["status"] == "") == (summary["reason"] == "")).all()
    by_status = summary["status"].value_counts()
    for status, count in {
        "too short": "too_short",
        "duplicate frames": "duplicate_frames",
        "gapped": "gapped",
        "immobile": "immobile",
    }.items():
        assert by_status.get(status, 0) == got.counts[count]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(-100, 10**6))
def test_all_gap_rules_agree_without_gaps(make_tracks, lengths, start):
    rows = [row for p, n in enumerate(lengths) for row in walk(p, range(start, start + n), seed=p)]
    results = [
        apply_policy(make_tracks(rows), QualityPolicy(gaps=gaps))
        for gaps in ("fill", "split", "keep", "drop")
    ]
    for other in results[1:]:
        assert other.summary.equals(results[0].summary)
        assert other.points.equals(results[0].points)
        assert other.counts == results[0].counts
