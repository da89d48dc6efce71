import pytest

from spt_explain.errors import SptError
from spt_explain.tracks import QualityPolicy, apply_policy, require_some
from spt_explain.tracks.reasons import number


def refusal(tracks, **policy):
    with pytest.raises(SptError) as error:
        require_some(apply_policy(tracks, QualityPolicy(**policy)), tracks)
    said = str(error.value)
    assert "\n" not in said
    assert error.value.exit_code == 2
    return said


def line(particle, frames):
    return [(particle, f, float(f), 0.0) for f in frames]


def test_something_to_classify_passes(make_tracks):
    tracks = make_tracks(line(1, range(10)) + line(2, range(3)))
    require_some(apply_policy(tracks), tracks)


def test_all_too_short(make_tracks):
    rows = [row for p in range(1200) for row in line(p, range(3 + (p == 5) * 4))]
    assert refusal(make_tracks(rows)) == (
        "tracks.csv: all its 1,200 tracks are too short: the longest has 7 points, and at least "
        "10 are needed (min_length=). Give min_length=7 or less, or link the tracks again to "
        "make longer ones."
    )


def test_the_only_track_too_short_after_splitting(make_tracks):
    said = refusal(make_tracks(line(1, [*range(8), *range(20, 25)])))
    assert "its only track has at most 8 points once split at gaps" in said


def test_single_points_need_linking(make_tracks):
    said = refusal(make_tracks([(p, 0, 0.0, 0.0) for p in range(3)]))
    assert "the longest has 1 point, and" in said
    assert "Link them to tracks first" in said


def test_all_branched(make_tracks):
    rows = line(1, range(20)) + line(2, range(20))
    branching = {1: "splits", 2: "merges"}
    said = refusal(make_tracks(rows, branching=branching, links=[(1, 0, 1)]))
    assert "all its 2 tracks split or merge" in said
    assert "branches='split'" in said
    for policy in ("skip", "split"):
        said = refusal(make_tracks(rows, branching=branching), branches=policy)
        assert "full XML" in said
        assert "branches='split'" in said


def test_all_pieces_of_branched_tracks_too_short(make_tracks):
    tracks = make_tracks(line(1, range(8)), branching={1: "splits"}, links=[(1, 0, 1)])
    said = refusal(tracks, branches="split")
    assert "its only track has at most 2 points once cut at branches" in said


def test_all_duplicated(make_tracks):
    rows = [(p, f, float(i), 0.0) for p in (7, 8) for i in range(3) for f in range(20)]
    said = refusal(make_tracks(rows))
    assert "(track 7: 3 points in frame 0 (and 19 more frames))" in said
    assert "columns={'particle': 'NAME'}" in said


def test_one_id_for_every_row(make_tracks):
    rows = [(0, f, float(i), 0.0) for i in range(3) for f in range(20)]
    said = refusal(make_tracks(rows, name="-"))
    assert said.startswith("standard input has one track id for all rows")
    assert "columns={'particle': 'NAME'}" in said


def test_all_gapped_and_all_still(make_tracks):
    assert "gaps='fill'" in refusal(make_tracks(line(1, [0, 2])), gaps="drop")
    said = refusal(make_tracks([(p, f, 0.0, 0.0) for p in (1, 2) for f in range(12)]))
    assert "all its 2 tracks stand still" in said


def test_a_mixture_is_counted_by_track(make_tracks):
    rows = line(1, range(3)) + line(2, range(4)) + line(3, range(20))
    rows += line(4, [0]) + [(4, 0, 9.0, 9.0)] + [(5, f, 0.0, 0.0) for f in range(12)]
    rows += [(5, f, 0.0, 0.0) for f in range(30, 34)]
    assert refusal(make_tracks(rows, branching={3: "splits"})) == (
        "tracks.csv: none of its 5 tracks can be classified: 2 too short (min_length=10), "
        "1 without any motion, 1 with several points in one frame, 1 branched (branches=)."
    )


def test_no_tracks_at_all(make_tracks):
    assert refusal(make_tracks([])) == "tracks.csv holds no tracks: expected at least one."


def test_numbers_agree_with_their_nouns():
    assert (number(1, "gap"), number(1234, "gap")) == ("1 gap", "1,234 gaps")
