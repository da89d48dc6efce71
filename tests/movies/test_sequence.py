from pathlib import Path

import numpy as np
import pytest
import tifffile

from spt_explain.errors import SptError
from spt_explain.movies.sequence import find_movies
from spt_explain.movies.stack import Stack

MOVIE = np.random.default_rng(0).integers(0, 4000, (6, 20, 24)).astype(np.uint16)


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("b10.tif", "b9.tif"):
        tifffile.imwrite(folder / name, MOVIE)
    (folder / "readme.txt").write_text("x")
    (folder / "b9.tracks.csv").write_text("particle,frame,x,y\n")
    (folder / ".hidden.tif").write_bytes(b"II*\0")
    tifffile.imwrite(folder / "snapshot.tif", MOVIE[0])
    (folder / "frames").mkdir()
    for k, frame in enumerate(MOVIE):
        tifffile.imwrite(folder / "frames" / f"f{k}.tif", frame, metadata=None)
    return folder


def test_a_folder_of_movies(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    found = find_movies([str(folder)])
    assert [movie.name for movie in found] == [
        str(folder / "b9.tif"),
        str(folder / "b10.tif"),
        str(folder / "frames"),
    ]
    assert not any(movie.explicit for movie in found)
    assert sorted(Path(name).name for name in found.left_out) == ["readme.txt", "snapshot.tif"]
    for movie in found:
        with Stack(movie.source) as stack:
            np.testing.assert_array_equal(np.array(list(stack)), MOVIE)
            assert stack.name == movie.name


def test_a_file_named_twice_is_one_movie(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    one = str(folder / "b9.tif")
    found = find_movies([one, str(folder / "*.tif"), one])
    assert [(Path(m.name).name, m.explicit) for m in found] == [
        ("b9.tif", True),
        ("b10.tif", False),
    ]


def test_frames_named_one_by_one_are_one_movie(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    names = [str(folder / "frames" / f"f{k}.tif") for k in range(6)]
    for given in (names, [str(folder / "frames" / "f*.tif")]):
        (movie,) = find_movies(given)
        with Stack(movie.source) as stack:
            np.testing.assert_array_equal(np.array(list(stack)), MOVIE)


def test_frames_of_other_sizes_are_other_movies(tmp_path: Path) -> None:
    for k, frame in enumerate(MOVIE):
        tifffile.imwrite(tmp_path / f"small{k}.tif", frame[:10], metadata=None)
        tifffile.imwrite(tmp_path / f"large{k}.tif", frame, metadata=None)
    found = find_movies([str(tmp_path)])
    assert [Path(m.name).name for m in found] == ["large", "small"]
    with Stack(found[1].source) as stack:
        assert stack.height == 10


def test_names_without_numbers_are_frames_too(tmp_path: Path) -> None:
    for name, frame in zip("abc", MOVIE, strict=False):
        tifffile.imwrite(tmp_path / f"{name}.tif", frame, metadata=None)
    (movie,) = find_movies([str(tmp_path)])
    with Stack(movie.source) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), MOVIE[:3])
        assert any("in the order of their names" in note for note in stack.notes)


def test_parts_of_one_ome_tiff_are_one_movie(tmp_path: Path) -> None:
    paths = [tmp_path / "a.ome.tif", tmp_path / "b.ome.tif"]
    uuids = [f"urn:uuid:{k}2345678-0000-1000-8000-000000000000" for k in (1, 2)]
    blocks = "".join(
        f'<TiffData FirstT="{t}" IFD="{t % 3}" PlaneCount="1"><UUID FileName="{paths[t // 3].name}"'
        f">{uuids[t // 3]}</UUID></TiffData>"
        for t in range(6)
    )
    for path, uuid, part in zip(paths, uuids, (MOVIE[:3], MOVIE[3:]), strict=True):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/'
            f'Schemas/OME/2016-06" UUID="{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint16" SizeX="24" SizeY="20" SizeZ="1" SizeC="1" '
            f'SizeT="6"><Channel ID="Channel:0:0"/>{blocks}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(path) as tif:
            for k, frame in enumerate(part):
                tif.write(frame, description=xml if k == 0 else None, metadata=None)
    (movie,) = find_movies([str(tmp_path)])
    assert movie.name == str(paths[0])
    with Stack(movie.source) as stack:
        np.testing.assert_array_equal(np.array(list(stack)), MOVIE)
        assert stack.origin(4) == ((str(paths[1]), 1),)


def test_a_file_named_by_the_user_is_kept_whatever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tracks.csv"
    path.write_text("particle,frame,x,y\n")
    (movie,) = find_movies([str(path)])
    assert movie.explicit
    with pytest.raises(SptError, match="is no TIFF"):
        Stack(movie.source)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.tif", "was not found"),
        ("empty", "folder without movies"),
        ("*.nd2", "matches no movie"),
        ("a\0b", "was not found"),
    ],
)
def test_names_that_hold_no_movie(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(SptError, match=message):
        find_movies([str(tmp_path / name)])


def test_folders_that_form_a_loop(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "frames" / "up").symlink_to(folder, target_is_directory=True)
    assert len(find_movies([str(folder)])) == 3


def test_a_damaged_stack_in_a_folder_is_a_movie_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "cut.tif").write_bytes(b"II*\0\x08\0\0\0")
    tifffile.imwrite(tmp_path / "good.tif", MOVIE)
    bad, good = find_movies([str(tmp_path)])
    assert Path(good.name).name == "good.tif"
    with pytest.raises(SptError, match="damaged"):
        Stack(bad.source)


def test_our_own_maps_and_true_masks_are_no_movies(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "b9.relevance").mkdir()
    tifffile.imwrite(folder / "b9.relevance" / "relevance.tif", MOVIE)
    for name, files in {
        "under another name": ("explain.json", "relevance.tif"),
        "samples": ("generate.json", "sample-0001.tif"),
    }.items():
        (folder / name).mkdir()
        for file in files:
            (folder / name / file).write_bytes(b"II*\0")
    (folder / "simulated" / "truth").mkdir(parents=True)
    (folder / "simulated" / "settings.json").write_text("{}")
    tifffile.imwrite(folder / "simulated" / "movie-0000.tif", MOVIE)
    tifffile.imwrite(folder / "simulated" / "truth" / "area-0000.tif", MOVIE)
    wanted = ["b9.tif", "b10.tif", "frames", "movie-0000.tif"]
    assert [Path(movie.name).name for movie in find_movies([str(folder)])] == wanted
    by_shell = sorted(str(path) for path in folder.iterdir() if not path.name.startswith("."))
    found = find_movies([name for name in by_shell if not name.endswith((".txt", ".csv"))])
    assert {Path(movie.name).name for movie in found} == {*wanted, "snapshot.tif"}
    several = find_movies([str(folder / "**" / "*.tif")])
    assert "relevance.tif" not in {Path(movie.name).name for movie in several}
    # whoever names the masks wants them
    (mask,) = find_movies([str(folder / "simulated" / "truth")])
    assert Path(mask.name).name == "area-0000.tif"
    with pytest.raises(SptError, match="own results"):
        find_movies([str(folder / "b9.relevance")])
