"""ND2 and CZI: ND2 files as the format is described, CZI files from Zeiss's own library."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.movies.calibration import microscope_units
from spt_explain.movies.stack import Stack, is_stack
from spt_explain.movies.zeiss import czi_units, time_stamps

_SPEC = importlib.util.spec_from_file_location(
    "microscope_files", Path(__file__).with_name("microscopes.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
files = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(files)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 4000, (6, 3, 2, 20, 24)).astype(np.uint16)  # T, Z, C, Y, X
ND2 = IMAGES.transpose(0, 1, 3, 4, 2).reshape(18, 20, 24, 2)
CZI = {(t, z, c): IMAGES[t, z, c] for t, z, c in np.ndindex(6, 3, 2)}
LOOPS = [("T", 6), ("Z", 3)]
CHOICES = {
    (1, "max"): IMAGES[:, :, 0].max(1),
    (2, "mean"): IMAGES[:, :, 1].mean(1),
    (2, 3): IMAGES[:, 2, 1],
}


@pytest.fixture
def nd2() -> None:
    pytest.importorskip("nd2")


@pytest.fixture
def czi() -> None:
    pytest.importorskip("pylibCZIrw")


@pytest.mark.usefixtures("nd2")
class TestNd2:
    @pytest.mark.parametrize("choice", CHOICES)
    @pytest.mark.parametrize("compressed", [False, True])
    def test_frames(self, choice: tuple[int, str | int], compressed: bool, tmp_path: Path) -> None:
        path = files.write_nd2(tmp_path / "m.nd2", ND2, loops=LOOPS, compressed=compressed)
        assert is_stack(path.read_bytes()[:16])
        channel, z = choice
        with Stack(path, channel=channel, z=z) as stack:
            assert stack.axes == "T 6, Z 3, C 2, Y 20, X 24"
            np.testing.assert_allclose(np.array(list(stack)), CHOICES[choice])
            assert f"Channel {channel} of 2" in " ".join(stack.notes)
            with Stack(*stack.options) as again:
                np.testing.assert_array_equal(again.frame(2), stack.frame(2))

    def test_origin_is_the_image_in_the_file(self, tmp_path: Path) -> None:
        path = files.write_nd2(tmp_path / "m.nd2", ND2, loops=LOOPS)
        with Stack(path, channel=2) as stack:
            assert stack.origin(4) == tuple((str(path), k) for k in (12, 13, 14))

    def test_units_from_calibration_and_frame_times(self, tmp_path: Path) -> None:
        times = np.repeat(np.arange(6) * 31.0, 3) + np.tile([0, 9, 18], 6)
        path = files.write_nd2(
            tmp_path / "m.nd2",
            ND2,
            loops=LOOPS,
            calibration_um=0.11,
            times_ms=list(times),
            period_ms=30.0,
            bits=12,
        )
        with Stack(path) as stack:
            assert stack.units.pixel_size_um == pytest.approx(0.11)
            assert stack.units.frame_interval_s == pytest.approx(0.031)
            assert "ND2 frame times" in stack.units.time_source
            assert stack.saturation == 4095

    def test_units_as_planned_and_none(self, tmp_path: Path) -> None:
        planned = files.write_nd2(tmp_path / "a.nd2", ND2, loops=LOOPS, period_ms=30.0)
        with Stack(planned) as stack:
            assert stack.units.pixel_size_um is None
            assert stack.units.frame_interval_s == pytest.approx(0.03)
            assert "ND2 period" in stack.units.time_source
        none = files.write_nd2(tmp_path / "b.nd2", ND2, loops=LOOPS)
        with Stack(none) as stack:
            assert stack.units.frame_interval_s is None

    def test_one_channel_and_no_depth(self, tmp_path: Path) -> None:
        path = files.write_nd2(tmp_path / "m.nd2", ND2[..., :1], loops=[("T", 18)])
        with Stack(path) as stack:
            np.testing.assert_array_equal(np.array(list(stack)), ND2[..., 0])
            assert stack.notes == ()

    def test_depth_without_time(self, tmp_path: Path) -> None:
        path = files.write_nd2(tmp_path / "m.nd2", ND2, loops=[("Z", 18)])
        with pytest.raises(SptError, match=r"Z-stack without time \(ND2"):
            Stack(path)

    def test_one_frame(self, tmp_path: Path) -> None:
        with pytest.raises(SptError, match="one frame"):
            Stack(files.write_nd2(tmp_path / "m.nd2", ND2[:1, ..., :1]))

    def test_a_stopped_recording(self, tmp_path: Path) -> None:
        # The library hands out zeros for images that aren't there.
        path = files.write_nd2(tmp_path / "m.nd2", ND2, loops=LOOPS, skip=range(14, 18))
        with Stack(path, channel=1, z=1) as stack:
            np.testing.assert_array_equal(np.array(list(stack)), IMAGES[:5, 0, 0])
        with Stack(path) as stack:
            assert stack.n_frames == 4
            assert any("Of 6 frames planned, frame 5 is not" in note for note in stack.notes)

    def test_memory_is_a_frame_at_a_time(self, tmp_path: Path) -> None:
        import tracemalloc

        images = np.zeros((100, 128, 128, 1), np.uint16)
        path = files.write_nd2(tmp_path / "m.nd2", images, loops=[("T", 100)])
        tracemalloc.start()
        with Stack(path) as stack:
            for frame in stack:
                assert frame.shape == (128, 128)
            peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < images.nbytes / 2


@pytest.mark.usefixtures("czi")
class TestCzi:
    @pytest.mark.parametrize("choice", CHOICES)
    @pytest.mark.parametrize("compression", [None, "zstd1:ExplicitLevel=2"])
    def test_frames(
        self, choice: tuple[int, str | int], compression: str | None, tmp_path: Path
    ) -> None:
        path = files.write_czi(tmp_path / "m.czi", CZI, compression=compression)
        assert is_stack(path.read_bytes()[:16])
        channel, z = choice
        with Stack(path, channel=channel, z=z) as stack:
            assert stack.axes == "T 6, Z 3, C 2, Y 20, X 24"
            np.testing.assert_allclose(np.array(list(stack)), CHOICES[choice])
            with Stack(*stack.options) as again:
                np.testing.assert_array_equal(again.frame(2), stack.frame(2))

    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_pixel_types(self, dtype: str, tmp_path: Path) -> None:
        planes = {(t, 0, 0): (IMAGES[t, 0, 0] % 250).astype(dtype) for t in range(6)}
        with Stack(files.write_czi(tmp_path / "m.czi", planes)) as stack:
            np.testing.assert_array_equal(np.array(list(stack)), IMAGES[:, 0, 0] % 250)
            assert stack.saturation == {"uint8": 255, "float32": None}[dtype]

    def test_colours_are_red_green_blue(self, tmp_path: Path) -> None:
        colours = (IMAGES[:, :, 0] % 250).astype(np.uint8).transpose(0, 2, 3, 1)
        planes = {(t, 0, 0): colours[t, ..., ::-1] for t in range(6)}  # stored as blue, green, red
        with Stack(files.write_czi(tmp_path / "m.czi", planes), channel=1) as stack:
            np.testing.assert_array_equal(np.array(list(stack)), colours[..., 0])

    def test_units_from_scaling_and_time_stamps(self, tmp_path: Path) -> None:
        stamps = [0.0, 0.03, 0.06, 0.1, 0.13, 0.16]
        path = files.write_czi(tmp_path / "m.czi", CZI, pixel_um=0.107, times_s=stamps)
        assert time_stamps(str(path)) == stamps
        with Stack(path) as stack:
            assert stack.units.pixel_size_um == pytest.approx(0.107)
            assert stack.units.frame_interval_s == pytest.approx(0.03)
            assert "TimeStamps" in stack.units.time_source

    def test_the_first_of_two_scenes_is_read(self, tmp_path: Path) -> None:
        path = files.write_czi(tmp_path / "m.czi", CZI, scenes=(0, 1))
        with Stack(path, channel=2, z=3) as stack:
            assert stack.width == 24
            np.testing.assert_array_equal(np.array(list(stack)), CHOICES[2, 3])
            assert any("2 scenes" in note for note in stack.notes)

    def test_depth_without_time(self, tmp_path: Path) -> None:
        planes = {(0, z, 0): IMAGES[z, 0, 0] for z in range(6)}
        with pytest.raises(SptError, match=r"Z-stack without time \(CZI"):
            Stack(files.write_czi(tmp_path / "m.czi", planes))

    def test_a_stopped_recording(self, tmp_path: Path) -> None:
        planes = {key: image for key, image in CZI.items() if key[0] < 4 or key[1] == 0}
        with Stack(files.write_czi(tmp_path / "m.czi", planes)) as stack:
            np.testing.assert_array_equal(np.array(list(stack)), CHOICES[1, "max"][:4])
            assert any("Of 6 frames planned, frame 5 is not" in note for note in stack.notes)

    def test_a_name_with_letters_of_all_kinds(self, tmp_path: Path) -> None:
        with Stack(files.write_czi(tmp_path / "Zelle µ 細胞.czi", CZI)) as stack:
            assert stack.n_frames == 6


@pytest.mark.parametrize("kind", ["nd2", "czi"])
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(part=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_never_read_as_a_shorter_one(
    kind: str, part: float, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(kind)
    path = tmp_path / f"m.{kind}"
    if path.exists():
        path.unlink()
    if kind == "nd2":
        files.write_nd2(path, ND2[:, ..., :1], loops=[("T", 18)])
    else:
        files.write_czi(path, {(t, 0, 0): IMAGES[t, 0, 0] for t in range(6)}, times_s=[0, 1, 2])
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    expected = ND2[..., 0] if kind == "nd2" else IMAGES[:, 0, 0]
    try:
        with Stack(path) as stack:
            frames = np.array(list(stack))
    except SptError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize(
    ("head", "module", "kind"),
    [
        (b"\xda\xce\xbe\x0a" + bytes(60), "nd2", "Nikon ND2"),
        (b"ZISRAWFILE" + bytes(60), "pylibCZIrw", "Zeiss CZI"),
    ],
)
def test_a_reader_that_is_not_installed_is_named(
    head: bytes, module: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "movie"
    path.write_bytes(head)
    with pytest.raises(SptError, match=kind) as caught:
        Stack(path)
    assert 'pip install "spt-explain[microscopes]"' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_interval_of_czi_metadata() -> None:
    xml = (
        "<ImageDocument><Metadata><Information><Image><Dimensions><T><Positions><Interval>"
        "<Increment>0.05</Increment></Interval></Positions></T></Dimensions></Image>"
        "</Information><Scaling><Items><Distance Id='X'><Value>1e-7</Value></Distance>"
        "<Distance Id='Y'><Value>1e-7</Value></Distance></Items></Scaling></Metadata>"
        "</ImageDocument>"
    )
    units = czi_units(xml, [])
    assert units.pixel_size_um == pytest.approx(0.1)
    assert units.frame_interval_s == 0.05
    assert czi_units(xml, [0, 0.2, 0.4]).frame_interval_s == pytest.approx(0.2)
    assert czi_units("<broken", []).pixel_size_um is None


def test_units_that_are_no_microscopes_are_not_used() -> None:
    units = microscope_units(1.0, 1.0, "ND2 calibration", 1e9, "ND2 frame times", 0.03, "plan")
    assert units.pixel_size_um is None
    assert "exactly 1 µm" in units.notes[0]
    assert units.frame_interval_s == 0.03
    assert units.time_source == "file: plan, 0.03 s"
    assert not any("--frame-interval-s" in note for note in units.notes)


@given(st.binary(max_size=400))
def test_time_stamps_of_junk(content: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile(delete=False) as stream:
        stream.write(b"ZISRAWFILE" + content)
    path = Path(stream.name)
    try:
        time_stamps(str(path))
    finally:
        path.unlink()
