import gzip
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.movies.stack import Stack, is_stack

MOVIE = np.random.default_rng(0).integers(0, 4000, (6, 20, 24)).astype(np.uint16)


def _frames(path: Path) -> np.ndarray:
    with Stack(path) as stack:
        assert stack.n_frames == len(list(stack))
        return np.array(list(stack))


def _write(path: Path, data: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, data, **options)
    return path


def _one_by_one(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        for frame in MOVIE:
            tif.write(frame, contiguous=False, metadata=None)


LAYOUTS: dict[str, Callable[[Path], Any]] = {
    "imagej": lambda p: _write(p, MOVIE, imagej=True, metadata={"axes": "TYX"}),
    "imagej slices": lambda p: _write(p, MOVIE, imagej=True, metadata={"axes": "ZYX"}),
    "imagej in one piece": lambda p: _write(
        p, MOVIE, imagej=True, truncate=True, metadata={"axes": "TYX"}
    ),
    "ome": lambda p: _write(p, MOVIE, ome=True, metadata={"axes": "TYX"}),
    "ome zlib": lambda p: _write(p, MOVIE, ome=True, compression="zlib", metadata={"axes": "TYX"}),
    "shaped": lambda p: _write(p, MOVIE),
    "shaped in one piece": lambda p: _write(p, MOVIE, truncate=True),
    "pages": lambda p: _write(p, MOVIE, metadata=None),
    "pages one by one": _one_by_one,
    "big": lambda p: _write(p, MOVIE, bigtiff=True, metadata=None),
    "big-endian": lambda p: _write(p, MOVIE, byteorder=">", metadata=None),
    "zlib": lambda p: _write(p, MOVIE, compression="zlib", predictor=True),
    "tiles": lambda p: _write(p, MOVIE, tile=(16, 16)),
    "strips": lambda p: _write(p, MOVIE, rowsperstrip=3),
    "volume": lambda p: _write(p, MOVIE, volumetric=True, metadata=None),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_frames(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    LAYOUTS[layout](path)
    assert is_stack(path.read_bytes()[:16])
    np.testing.assert_array_equal(_frames(path), MOVIE)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "float32", "float64", "?"])
def test_pixel_types(dtype: str, tmp_path: Path) -> None:
    movie = (MOVIE % 100).astype(dtype)
    if movie.dtype.kind in "if":
        movie = movie - movie.dtype.type(50)
    path = _write(tmp_path / "movie.tif", movie, photometric="minisblack")
    np.testing.assert_array_equal(_frames(path), movie.astype(float))


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "movie.tif", MOVIE.astype(np.complex64))
    with pytest.raises(SptError, match="complex64"):
        Stack(path)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_is_averaged_and_said(planar: str, tmp_path: Path) -> None:
    movie = np.stack([MOVIE % 256, MOVIE % 128, MOVIE % 64], -1).astype(np.uint8)
    stored = movie if planar == "contig" else np.moveaxis(movie, -1, 1)
    path = _write(tmp_path / "m.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_allclose(_frames(path), movie.mean(-1))
    with Stack(path) as stack:
        assert any("mean of red, green and blue" in note for note in stack.notes)


def test_transparency_is_left_out(tmp_path: Path) -> None:
    movie = np.stack([*[MOVIE % 256] * 3, np.full_like(MOVIE, 255)], -1).astype(np.uint8)
    path = _write(tmp_path / "m.tif", movie, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_allclose(_frames(path), MOVIE % 256)


def test_first_channel_and_brightest_depth(tmp_path: Path) -> None:
    movie = np.random.default_rng(1).integers(0, 99, (5, 3, 2, 16, 18)).astype(np.uint16)
    path = _write(tmp_path / "m.tif", movie, imagej=True, metadata={"axes": "TZCYX"})
    np.testing.assert_array_equal(_frames(path), movie[:, :, 0].max(axis=1))
    with Stack(path) as stack:
        assert any("depth" in note for note in stack.notes)
        assert any("Channel 1 of 2" in note for note in stack.notes)


def test_time_as_last_of_the_outer_axes(tmp_path: Path) -> None:
    movie = np.random.default_rng(1).integers(0, 99, (3, 5, 16, 18)).astype(np.uint16)
    path = _write(tmp_path / "m.ome.tif", movie, ome=True, metadata={"axes": "CTYX"})
    np.testing.assert_array_equal(_frames(path), movie[0])


def test_a_single_image_file(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.tif", MOVIE[0])
    with pytest.raises(SptError, match="one frame"):
        Stack(path)


def test_not_a_number_becomes_the_median_of_the_frame(tmp_path: Path) -> None:
    movie = MOVIE.astype(np.float32)
    movie[2, 3, 4] = np.nan
    movie[2, 3, 5] = np.inf
    movie[4] = np.nan
    path = _write(tmp_path / "m.tif", movie)
    with Stack(path) as stack:
        frames = np.array(list(stack))
        assert stack.n_not_finite == 2 + 20 * 24
    expected = np.median(np.delete(MOVIE[2].ravel(), [3 * 24 + 4, 3 * 24 + 5]))
    assert frames[2, 3, 4] == frames[2, 3, 5] == expected
    assert (frames[4] == 0).all()


def test_units_come_from_imagej(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "m.tif",
        MOVIE,
        imagej=True,
        resolution=(1 / 0.107, 1 / 0.107),
        metadata={"axes": "TYX", "unit": "um", "finterval": 0.03},
    )
    with Stack(path) as stack:
        assert stack.units.pixel_size_um == pytest.approx(0.107, rel=1e-4)
        assert stack.units.frame_interval_s == 0.03


def test_units_come_from_ome(tmp_path: Path) -> None:
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.107, "PhysicalSizeY": 0.107}
    path = _write(
        tmp_path / "m.ome.tif", MOVIE, ome=True, metadata={**metadata, "TimeIncrement": 0.03}
    )
    with Stack(path) as stack:
        assert stack.format == "OME-TIFF"
        assert stack.units.pixel_size_um == 0.107
        assert stack.units.frame_interval_s == 0.03


def test_of_several_series_the_longest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.zeros((64, 64), np.uint8))
        tif.write(MOVIE)
    np.testing.assert_array_equal(_frames(path), MOVIE)
    with Stack(path) as stack:
        assert "number 2 (the longest)" in stack.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"particle,frame,x,y\n1,0,2,3\n", "is no TIFF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is no TIFF"),
        (gzip.compress(b"II*\0", mtime=0), "unzip"),
        (b"II*\0", "damaged"),
        (b"II*\0\xff\xff\xff\xff", "damaged"),
        (b"II*\0\x08\0\0\0" + bytes(40), "damaged"),
        (b"II+\0" + bytes(60), "damaged"),
    ],
)
def test_what_is_no_stack(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    path.write_bytes(content)
    with pytest.raises(SptError, match=message):
        Stack(path)


def test_names_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(SptError, match="was not found"):
        Stack(tmp_path / "absent.tif")
    with pytest.raises(SptError, match="is a folder with no frame as TIFF"):
        Stack(tmp_path)
    with pytest.raises(SptError, match="standard input"):
        Stack("-")
    with pytest.raises(SptError, match="no file name"):
        Stack("a\0b.tif")


def test_what_starts_like_a_stack() -> None:
    heads = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\xda\xce\xbe\x0a ", b"ZISRAWFILE\0")
    assert all(is_stack(head) for head in heads)
    assert not any(is_stack(head) for head in (b"", b"II", b"MM*\0", b"<?xml", b"\x1f\x8b\x08\0"))


@pytest.mark.parametrize("layout", ["imagej", "shaped in one piece", "pages one by one", "zlib"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(part=st.floats(0, 1, exclude_max=True))
def test_a_truncated_stack_is_never_read_as_a_shorter_one(
    layout: str, part: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.tif"
    LAYOUTS[layout](path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    try:
        frames = _frames(path)
    except SptError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        np.testing.assert_array_equal(frames, MOVIE)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("layout", ["imagej", "ome", "pages", "zlib"])
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_broken_bytes_give_frames_or_an_error_to_mend(
    layout: str, data: st.DataObject, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.tif"
    LAYOUTS[layout](path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(4, min(700, len(content) - 1)))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(content)
    try:
        frames = _frames(path)
    except SptError:
        pass
    else:
        assert frames.ndim == 3
        assert np.isfinite(frames).all()
    assert capfd.readouterr() == ("", "")


def test_a_part_of_a_stack_of_several_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a.ome.tif", tmp_path / "b.ome.tif"
    uuids = [f"urn:uuid:{k}2345678-0000-1000-8000-000000000000" for k in (1, 2)]
    blocks = "".join(
        f'<TiffData FirstT="{t}" IFD="{t % 3}" PlaneCount="1"><UUID FileName="{p.name}">{u}</UUID>'
        "</TiffData>"
        for t, (p, u) in enumerate([(first, uuids[0])] * 3 + [(second, uuids[1])] * 3)
    )
    for path, uuid, part in ((first, uuids[0], MOVIE[:3]), (second, uuids[1], MOVIE[3:])):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/'
            f'Schemas/OME/2016-06" UUID="{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint16" SizeX="24" SizeY="20" SizeZ="1" SizeC="1" '
            f'SizeT="6"><Channel ID="Channel:0:0"/>{blocks}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(path) as tif:
            for k, frame in enumerate(part):
                tif.write(frame, description=xml if k == 0 else None, metadata=None)
    np.testing.assert_array_equal(_frames(first), MOVIE)
    second.unlink()
    with pytest.raises(SptError, match="several files"):
        _frames(first)


def test_compression_without_its_package_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.tif", MOVIE, compression="zlib", metadata=None)
    content = path.read_bytes()
    # Tag 259 (compression), one SHORT: from 8 (zlib) to 50002 (JPEG-XL), which needs imagecodecs.
    old, new = (b"\x03\x01\x03\0\x01\0\0\0" + n.to_bytes(4, "little") for n in (8, 50002))
    assert content.count(old) == len(MOVIE)
    path.write_bytes(content.replace(old, new))
    with Stack(path) as stack, pytest.raises(SptError, match=r"imagecodecs|can't be read"):
        stack.frame(0)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_memory_does_not_grow_with_the_movie(compression: str | None, tmp_path: Path) -> None:
    movie = np.zeros((150, 128, 128), np.uint16)
    path = _write(tmp_path / "m.tif", movie, compression=compression, metadata=None)
    with Stack(path) as stack:
        stack.frame(0)
        tracemalloc.start()
        for frame in stack:
            assert frame.shape == (128, 128)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < movie.nbytes / 4


def test_depth_as_mean_and_as_one_plane_of_a_channel(tmp_path: Path) -> None:
    movie = np.random.default_rng(1).integers(0, 99, (5, 3, 2, 16, 18)).astype(np.uint16)
    path = _write(tmp_path / "m.tif", movie, imagej=True, metadata={"axes": "TZCYX"})
    with Stack(path, channel=2, z="mean") as stack:
        np.testing.assert_allclose(np.array(list(stack)), movie[:, :, 1].mean(axis=1))
    with Stack(path, channel=2, z=3) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), movie[:, 2, 1])


@pytest.mark.parametrize("z", ["max", "mean"])
def test_depth_leaves_out_what_is_no_number(z: str, tmp_path: Path) -> None:
    movie = np.random.default_rng(1).normal(0, 9, (4, 3, 16, 18)).astype(np.float32)
    movie[1, 0, 2, 3] = np.nan
    movie[2, :, 4, 5] = np.nan
    path = _write(tmp_path / "m.tif", movie, imagej=True, metadata={"axes": "TZYX"})
    with Stack(path, z=z) as stack:
        frames = np.array(list(stack))
        assert stack.n_not_finite == 1
    expected = {"max": np.fmax.reduce, "mean": np.nanmean}[z](movie[1].astype(float), axis=0)
    np.testing.assert_allclose(frames[1], expected)
    assert np.isfinite(frames).all()


def test_one_colour_of_colour_frames(tmp_path: Path) -> None:
    movie = np.stack([MOVIE % 256, MOVIE % 128, MOVIE % 64], -1).astype(np.uint8)
    path = _write(tmp_path / "m.tif", movie, photometric="rgb")
    with Stack(path, channel=3) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), movie[..., 2])


def test_options_open_the_same_stack_again(tmp_path: Path) -> None:
    movie = np.random.default_rng(1).integers(0, 99, (5, 3, 2, 16, 18)).astype(np.uint16)
    path = _write(tmp_path / "m.tif", movie, imagej=True, metadata={"axes": "TZCYX"})
    with Stack(path, channel=2, z="mean") as stack:
        options = pickle.loads(pickle.dumps(stack.options))
        assert options == (str(path), 2, "mean")
        with Stack(*options) as again:
            np.testing.assert_array_equal(again.frame(3), stack.frame(3))
            assert again.notes == stack.notes


@pytest.mark.parametrize("layout", ["imagej", "imagej in one piece", "zlib", "pages one by one"])
def test_origin_names_the_page_of_a_frame(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    LAYOUTS[layout](path)
    with Stack(path) as stack:
        assert [stack.origin(k) for k in (0, 5)] == [((str(path), 0),), ((str(path), 5),)]


def test_origin_counts_channels_and_depth(tmp_path: Path) -> None:
    movie = np.random.default_rng(1).integers(0, 99, (5, 3, 2, 16, 18)).astype(np.uint16)
    path = _write(tmp_path / "m.tif", movie, imagej=True, metadata={"axes": "TZCYX"})
    with Stack(path, channel=2) as stack:
        pages = [page for _, page in stack.origin(4)]
    assert pages == [25, 27, 29]
    with tifffile.TiffFile(path) as tif:
        expected = np.max([tif.pages[page].asarray() for page in pages], axis=0)
    np.testing.assert_array_equal(movie[4, :, 1].max(axis=0), expected)


def test_origin_in_a_later_series(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.zeros((64, 64), np.uint8))
        tif.write(MOVIE)
    with Stack(path) as stack:
        ((_, page),) = stack.origin(2)
    with tifffile.TiffFile(path) as tif:
        np.testing.assert_array_equal(tif.pages[page].asarray(), MOVIE[2])


def test_an_ome_z_stack_has_no_time(tmp_path: Path) -> None:
    path = _write(tmp_path / "m.ome.tif", MOVIE, ome=True, metadata={"axes": "ZYX"})
    with pytest.raises(SptError, match="Z-stack without time"):
        Stack(path)


def test_an_ome_stack_of_depth_with_a_frame_interval_is_a_movie(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "TimeIncrement": 0.03, "TimeIncrementUnit": "s"}
    path = _write(tmp_path / "m.ome.tif", MOVIE, ome=True, metadata=metadata)
    np.testing.assert_array_equal(_frames(path), MOVIE)


def test_a_part_that_points_to_the_master_file(tmp_path: Path) -> None:
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/'
        'OME/2016-06" UUID="urn:uuid:22345678-0000-1000-8000-000000000000"><BinaryOnly '
        'MetadataFile="all.ome.tif" UUID="urn:uuid:12345678-0000-1000-8000-000000000000"/></OME>'
    )
    path = _write(tmp_path / "b.ome.tif", MOVIE, description=xml, metadata=None)
    with pytest.raises(SptError, match=r"Give the file that describes them all: all\.ome\.tif"):
        Stack(path)


_MEMORY = """
import resource, sys
from spt_explain.movies.stack import Stack
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
with Stack(sys.argv[1]) as stack:
    n = stack.n_frames
    stack.frame(0)
    before = peak()
    found = [stack.frame(k).mean() for k in (0, n // 2, n - 1)]
    for k in range(0, n, n // 50):
        stack.frame(k)
    print(n, *found, (peak() - before) / stack.frame(0).nbytes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
@pytest.mark.parametrize("metadata", [{}, None])
def test_a_file_far_larger_than_memory_allows(
    metadata: dict[str, Any] | None, tmp_path: Path
) -> None:
    n, shape = 6000, (512, 512)
    path = tmp_path / "m.tif"
    tifffile.imwrite(
        path, shape=(n, *shape), dtype=np.uint16, bigtiff=True, metadata=metadata
    )  # a hole, 3 GB long
    if path.stat().st_blocks * 512 > 1e8:
        pytest.skip("this disk knows no holes in files")
    with tifffile.TiffFile(path) as tif:
        start = tif.series[0].dataoffset
    with path.open("r+b") as stream:
        for number, value in ((0, 7), (n // 2, 8), (n - 1, 9)):
            stream.seek(start + number * 2 * shape[0] * shape[1])
            stream.write(np.full(shape, value, np.uint16).tobytes())
    said = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    frames, *means, growth = map(float, said.stdout.split())
    assert (frames, means) == (n, [7, 8, 9])
    assert growth < 10  # frames' worth of memory, whatever the length
