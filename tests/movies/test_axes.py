import pytest

from spt_explain.errors import SptError
from spt_explain.movies.axes import plan_axes


@pytest.mark.parametrize(
    ("axes", "shape", "planes", "said"),
    [
        ("TYX", (3, 8, 8), [[0], [1], [2]], ""),
        ("ZYX", (3, 8, 8), [[0], [1], [2]], "taken as time"),
        ("QYX", (3, 8, 8), [[0], [1], [2]], "taken as time"),
        ("IYX", (3, 8, 8), [[0], [1], [2]], "taken as time"),
        ("TCYX", (2, 2, 8, 8), [[0], [2]], "axis C"),
        ("TZYX", (2, 2, 8, 8), [[0, 1], [2, 3]], "brightest"),
        ("CTYX", (2, 2, 8, 8), [[0], [1]], "axis C"),
        ("ZCYX", (2, 3, 8, 8), [[0], [3]], "taken as time"),
        ("CYX", (9, 8, 8), [[k] for k in range(9)], "taken as time"),
        ("QQYX", (2, 2, 8, 8), [[0], [2]], "axis Q"),
        ("TZCYXS", (3, 1, 1, 8, 8, 3), [[0], [1], [2]], "red, green"),
    ],
)
def test_which_axis_is_time(
    axes: str, shape: tuple[int, ...], planes: list[list[int]], said: str
) -> None:
    plan = plan_axes(axes, shape, "m.tif")
    assert plan.planes.tolist() == planes
    assert said in " ".join(plan.notes)
    assert bool(said) == bool(plan.notes)


@pytest.mark.parametrize(
    ("axes", "shape"), [("YX", (8, 8)), ("YXS", (8, 8, 3)), ("CYX", (3, 8, 8)), ("TYX", (1, 8, 8))]
)
def test_one_frame_is_no_movie(axes: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(SptError, match="no motion can be tracked"):
        plan_axes(axes, shape, "m.tif")


@pytest.mark.parametrize("axes", ["YXT", "YTX", "TXQ", "TY"])
def test_axes_that_make_no_frames_are_refused(axes: str) -> None:
    with pytest.raises(SptError, match="order that can't be read"):
        plan_axes(axes, (4, 5, 6)[: len(axes)], "m.tif")


@pytest.mark.parametrize(
    ("channel", "z", "planes"),
    [
        (None, "max", [[0, 3], [6, 9]]),
        (3, "max", [[2, 5], [8, 11]]),
        (2, 2, [[4], [10]]),
        (1, "mean", [[0, 3], [6, 9]]),
    ],
)
def test_channel_and_plane_are_counted_from_one(
    channel: int | None, z: str | int, planes: list[list[int]]
) -> None:
    plan = plan_axes("TZCYX", (2, 2, 3, 8, 8), "m.tif", channel=channel, z=z)
    assert plan.planes.tolist() == planes
    said = " ".join(plan.notes)
    assert f"Channel {channel or 1} of 3" in said
    assert ("channel=" in said) == (channel is None)
    assert {"max": "brightest", "mean": "mean over 2", 2: "Plane 2 of 2"}[z] in said
    assert plan.projection == ("mean" if z == "mean" else "max")


@pytest.mark.parametrize(
    ("axes", "shape", "channel", "z", "message"),
    [
        ("TCYX", (4, 2, 8, 8), 3, "max", "has 2 channels. Give 1 to 2"),
        ("TYX", (4, 8, 8), 2, "max", "has one channel. Leave channel= out"),
        ("TYXS", (4, 8, 8, 4), 4, "max", "has 3 channels"),
        ("TZYX", (4, 5, 8, 8), None, 6, "has 5 planes of depth. Give 1 to 5"),
        ("TYX", (4, 8, 8), None, 2, "one plane of depth"),
        ("TYX", (4, 8, 8), 0, "max", "channel= is 0: expected a whole number from 1"),
        ("TYX", (4, 8, 8), None, 0, "z= is 0"),
        ("TYX", (4, 8, 8), None, "min", "z= is min: expected max"),
        ("CYX", (9, 8, 8), 2, "max", "one frame of 9 channels"),
        ("ZYX", (9, 8, 8), None, 2, "Z-stack without time"),
    ],
)
def test_choices_that_the_file_has_not(
    axes: str, shape: tuple[int, ...], channel: int | None, z: str | int, message: str
) -> None:
    with pytest.raises(SptError, match=message):
        plan_axes(axes, shape, "m.tif", channel=channel, z=z)


def test_channel_1_of_1_and_plane_1_of_1_may_be_given() -> None:
    assert plan_axes("TYX", (4, 8, 8), "m.tif", channel=1, z=1).notes == ()


def test_a_colour_can_be_chosen() -> None:
    plan = plan_axes("TYXS", (4, 8, 8, 3), "m.tif", channel=2)
    assert plan.colour == 1
    assert "green" in plan.notes[-1]


@pytest.mark.parametrize(("axes", "shape"), [("ZYX", (5, 8, 8)), ("ZCYX", (5, 2, 8, 8))])
def test_depth_without_time_where_the_file_is_sure(axes: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(SptError, match=r"Z-stack without time \(OME SizeZ=5") as caught:
        plan_axes(axes, shape, "m.tif", depth_from="OME SizeZ=5, SizeT=1")
    assert "swap slices and frames" in str(caught.value)


def test_depth_is_kept_where_another_axis_can_be_time() -> None:
    plan = plan_axes("PZYX", (4, 3, 8, 8), "m.nd2", depth_from="ND2")
    assert plan.planes.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert "axis (P, position" in plan.notes[0]


def test_how_to_object_to_slices_taken_as_time_is_said() -> None:
    assert "If these are planes of depth" in plan_axes("ZYX", (5, 8, 8), "m.tif").notes[0]
