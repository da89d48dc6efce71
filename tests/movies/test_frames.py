import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile

from spt_explain.errors import SptError
from spt_explain.movies.frames import gather
from spt_explain.movies.sequence import find_movies
from spt_explain.movies.stack import Stack

MOVIE = np.random.default_rng(0).integers(0, 4000, (12, 20, 24)).astype(np.uint16)


def _frames(folder: Path, pattern: str = "img_{}.tif", movie: np.ndarray = MOVIE) -> list[str]:
    folder.mkdir(exist_ok=True)
    names = [str(folder / pattern.format(k)) for k in range(len(movie))]
    for name, frame in zip(names, movie, strict=True):
        tifffile.imwrite(name, frame, metadata=None)
    return names


def test_a_folder_of_frames_is_one_movie_in_natural_order(tmp_path: Path) -> None:
    names = _frames(tmp_path / "run")  # img_10 after img_9, not after img_1
    (tmp_path / "run" / "notes.txt").write_text("laser at 20 %")
    (tmp_path / "run" / ".DS_Store").write_bytes(b"x")
    with Stack(tmp_path / "run") as stack:
        np.testing.assert_array_equal(np.array(list(stack)), MOVIE)
        assert stack.name == str(tmp_path / "run")
        assert stack.origin(10) == ((names[10], 0),)
        assert stack.saturation == 65535
        said = " ".join(stack.notes)
        options = pickle.loads(pickle.dumps(stack.options))
    assert "12 files of one frame each" in said
    assert "1 other files" in said
    assert "missing" not in said
    with Stack(*options) as again:
        np.testing.assert_array_equal(again.frame(11), MOVIE[11])


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_files_is_sorted(kind: type, tmp_path: Path) -> None:
    names = _frames(tmp_path)
    with Stack(kind(names[::-1])) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), MOVIE)


def test_missing_numbers_are_said(tmp_path: Path) -> None:
    names = _frames(tmp_path / "run", "img_{:04d}.tif")
    for k in (3, 7, 8):
        Path(names[k]).unlink()
    with Stack(tmp_path / "run") as stack:
        assert stack.n_frames == 9
        note = next(note for note in stack.notes if "missing" in note)
    assert "3 are missing (3, 7, 8)" in note


def test_every_second_number_is_no_gap(tmp_path: Path) -> None:
    names = _frames(tmp_path / "run", "img_{:04d}.tif")
    for name in names[1::2]:
        Path(name).unlink()
    assert not any("missing" in note for note in gather(str(tmp_path / "run")).notes)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (MOVIE[0, :10], "10 × 24 pixels of uint16; expected 20 × 24"),
        (MOVIE[0].astype(np.uint8), "pixels of uint8"),
        (MOVIE, "folder or list of stacks"),
    ],
)
def test_frames_that_do_not_belong_together(
    other: np.ndarray, message: str, tmp_path: Path
) -> None:
    names = _frames(tmp_path / "run")
    tifffile.imwrite(names[4], other)
    with pytest.raises(SptError, match=message) as caught:
        Stack(tmp_path / "run")
    assert "img_4.tif" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"particle,frame\n", b"II*\0\x08\0\0\0"])
def test_a_list_with_a_file_that_is_no_frame(content: bytes, tmp_path: Path) -> None:
    names = _frames(tmp_path)
    Path(names[2]).write_bytes(content)
    with pytest.raises(SptError, match=r"img_2\.tif"):
        Stack(names)


def test_a_frame_that_changed_since(tmp_path: Path) -> None:
    names = _frames(tmp_path)
    with Stack(names) as stack:
        tifffile.imwrite(names[5], MOVIE[0, :5])
        with pytest.raises(SptError, match=r"img_5\.tif is not like the other frames"):
            stack.frame(5)
        Path(names[6]).write_bytes(Path(names[7]).read_bytes()[:300])
        with pytest.raises(SptError, match=r"img_6.tif .*damaged"):
            stack.frame(6)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_frames(n: int, tmp_path: Path) -> None:
    names = _frames(tmp_path / "run", movie=MOVIE[:n])
    with pytest.raises(SptError, match="one frame" if n else "no frame"):
        Stack(tmp_path / "run")
    with pytest.raises(SptError, match="at least two"):
        Stack(names)


def test_letters_in_names_are_axes(tmp_path: Path) -> None:
    movie = MOVIE.reshape(2, 3, 2, 20, 24)
    for t, c, z in np.ndindex(2, 3, 2):
        name = tmp_path / f"img_channel{c:03d}_position000_time{t:09d}_z{z:03d}.tif"
        tifffile.imwrite(name, movie[t, c, z], metadata=None)
    with Stack(tmp_path, channel=3, z="max") as stack:
        np.testing.assert_array_equal(np.array(list(stack)), movie[:, 2].max(axis=1))
        assert "C 3, T 2, Z 2" in " ".join(stack.notes)
        files = {Path(name).name for name, _ in stack.origin(1)}
    assert files == {f"img_channel002_position000_time000000001_z{z:03d}.tif" for z in (0, 1)}


def test_a_stopped_recording_ends_with_its_last_whole_frame(tmp_path: Path) -> None:
    for t, c in list(np.ndindex(6, 2))[:-1]:
        tifffile.imwrite(tmp_path / f"a_t{t}_c{c}.tif", MOVIE[2 * t + c], metadata=None)
    with Stack(tmp_path, channel=2) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), MOVIE[1:10:2])
        assert any("Of 6 frames planned, frame 6 is not" in note for note in stack.notes)
    with Stack(tmp_path, channel=1) as stack:
        assert stack.n_frames == 6


def test_a_clock_in_names_beside_the_count(tmp_path: Path) -> None:
    for k, frame in enumerate(MOVIE):
        tifffile.imwrite(tmp_path / f"cam_{1200 + 7 * k}_{k:03d}.tif", frame, metadata=None)
    with Stack(tmp_path) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), MOVIE)


def test_slices_in_names_are_said(tmp_path: Path) -> None:
    _frames(tmp_path / "run", "cell_z{:03d}.tif")
    with Stack(tmp_path / "run") as stack:
        assert any("axis (Z, depth" in note for note in stack.notes)


def test_frames_of_two_channels_in_one_folder(tmp_path: Path) -> None:
    _frames(tmp_path / "run", "img_{:03d}_GFP.tif", MOVIE[:6])
    _frames(tmp_path / "run", "img_{:03d}_RFP.tif", MOVIE[6:])
    with pytest.raises(SptError, match="frames of 2 movies"):
        Stack(tmp_path / "run")
    found = find_movies([str(tmp_path / "run")])
    assert len(found) == 2
    assert [Path(movie.name).name for movie in found] == ["img_GFP", "img_RFP"]
    with Stack(found[1].source) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), MOVIE[6:])


def test_colour_and_compressed_frames(tmp_path: Path) -> None:
    for k, frame in enumerate(MOVIE):
        colour = np.stack([frame % 256, frame % 128, frame % 64], -1).astype(np.uint8)
        tifffile.imwrite(
            tmp_path / f"{k}.tif", colour, photometric="rgb", compression="zlib", metadata=None
        )
    with Stack(tmp_path, channel=1) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), MOVIE % 256)


def test_frames_of_several_channels_a_file(tmp_path: Path) -> None:
    for k in range(4):
        pair = MOVIE[2 * k : 2 * k + 2]
        tifffile.imwrite(tmp_path / f"{k}.tif", pair, imagej=True, metadata={"axes": "CYX"})
    with Stack(tmp_path, channel=2) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), MOVIE[1:8:2])
        assert stack.origin(3) == ((str(tmp_path / "3.tif"), 1),)


def test_pixel_size_comes_from_the_first_frame_and_no_interval(tmp_path: Path) -> None:
    for k, frame in enumerate(MOVIE):
        tifffile.imwrite(
            tmp_path / f"{k}.tif",
            frame,
            imagej=True,
            resolution=(10, 10),
            metadata={"unit": "um", "finterval": 0.03},
        )
    with Stack(tmp_path) as stack:
        assert stack.units.pixel_size_um == pytest.approx(0.1)
        assert stack.units.frame_interval_s is None


@pytest.mark.parametrize("pattern", ["cell{}_{:03d}.tif", "cell{}_t{:03d}.tif", "p{}_t{}.tif"])
def test_several_places_are_several_movies(pattern: str, tmp_path: Path) -> None:
    movie = MOVIE.reshape(2, 6, 20, 24)
    for place, t in np.ndindex(2, 6):
        tifffile.imwrite(tmp_path / pattern.format(place + 1, t), movie[place, t], metadata=None)
    with Stack(tmp_path) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), movie[0])
        assert any("first of 2 entries of axis P" in note for note in stack.notes)
    found = find_movies([str(tmp_path)])
    assert len({one.name for one in found}) == 2
    for one, expected in zip(found, movie, strict=True):
        with Stack(one.source) as stack:
            np.testing.assert_array_equal(np.array(list(stack)), expected)
