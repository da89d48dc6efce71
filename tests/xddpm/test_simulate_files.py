import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from spt_explain.errors import SptError
from spt_explain.movies.stack import Stack
from spt_explain.xddpm.simulate import KINDS, files, read_labelled, simulate, write_labelled


def _made(kind="spots", n=3):
    quick = {"grid": 32, "steps": 40, "settle": 0.2} if kind == "jellyfish" else {}
    return simulate(kind, n, frames=4, size=16, seed=1, settings=quick)


@pytest.mark.parametrize("kind", KINDS)
def test_reads_back_what_was_written(tmp_path, kind):
    made = _made(kind)
    write_labelled(made, tmp_path / "movies")
    again = read_labelled(tmp_path / "movies")
    np.testing.assert_array_equal(again.clips, made.clips)
    assert list(again.signals) == list(made.signals)
    for name, signal in made.signals.items():
        np.testing.assert_array_equal(again.signals[name], signal)
        np.testing.assert_array_equal(again.truth[name], made.truth[name])
    assert again.settings == json.loads(json.dumps(made.settings))


def test_files_are_imagej_stacks_and_tables(tmp_path):
    made = _made()
    written = write_labelled(made, tmp_path / "movies")
    assert {p for p in (tmp_path / "movies").rglob("*") if p.is_file()} == set(written)
    for signal in made.truth:
        masks = tifffile.imread(tmp_path / "movies" / "truth" / signal / "movie-0002.tif")
        assert masks.dtype == np.uint8
        np.testing.assert_array_equal(masks, 255 * made.truth[signal][2])
    with Stack(tmp_path / "movies" / "movie-0001.tif") as stack:
        assert (stack.n_frames, stack.height, stack.width) == (4, 16, 16)
        assert stack.format == "ImageJ TIFF"
        assert not stack.notes
        np.testing.assert_array_equal(stack.frame(2), made.clips[1, 2])
    with (tmp_path / "movies" / "signals-per-frame.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 12
    assert rows[7].keys() == {"movie", "frame", "intensity"}
    assert (rows[7]["movie"], rows[7]["frame"]) == ("movie-0001.tif", "3")
    assert np.float32(rows[7]["intensity"]) == made.signals["intensity"][1, 3]
    with (tmp_path / "movies" / "signals-per-movie.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows[2].keys() == {"movie", "count", "msd-d"}
    assert float(rows[2]["count"]) == made.signals["count"][2]


def test_a_folder_is_replaced_only_on_request_and_only_if_it_is_ours(tmp_path):
    target = tmp_path / "movies"
    write_labelled(_made(n=3), target)
    with pytest.raises(SptError, match="overwrite=True"):
        write_labelled(_made(n=2), target)
    write_labelled(_made(n=2), target, overwrite=True)
    assert len(list(target.glob("*.tif"))) == 2
    other = tmp_path / "thesis"
    other.mkdir()
    write_labelled(_made(n=2), other)  # empty: nothing is lost
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    with pytest.raises(SptError, match="left as it is"):
        write_labelled(_made(n=2), tmp_path / "photos", overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(SptError, match="no folder"):
        write_labelled(_made(n=2), tmp_path / "file", overwrite=True)
    with pytest.raises(SptError, match="there is no folder"):
        write_labelled(_made(n=2), tmp_path / "nowhere" / "movies")


def test_nothing_stays_after_a_failure(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    target = tmp_path / "movies"
    write_labelled(_made(n=3), target)
    monkeypatch.setattr(files, "_write_table", full)
    with pytest.raises(SptError, match="No space left"):
        write_labelled(_made(n=2), target, overwrite=True)
    assert len(list(target.glob("*.tif"))) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["movies"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()], ids=repr)
def test_the_old_movies_stay_where_the_last_rename_fails(tmp_path, monkeypatch, error):
    def renamed(self, to):
        if Path(to).name == "movies" and self.name.endswith(".part"):
            raise error
        return plain(self, to)

    target = tmp_path / "movies"
    write_labelled(_made(n=3), target)
    plain = Path.rename
    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr(Path, "replace", renamed)
    with pytest.raises(SptError if isinstance(error, OSError) else KeyboardInterrupt):
        write_labelled(_made(n=2), target, overwrite=True)
    assert len(read_labelled(target)) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["movies"]


def _spoil_table(folder):
    path = folder / "signals-per-frame.csv"
    path.write_text(path.read_text().replace("movie-0001", "movie-0007"))


def _cut_table(folder):
    path = folder / "signals-per-frame.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f / "settings.json").unlink(),
        lambda f: (f / "settings.json").write_text("[]"),
        lambda f: (f / "settings.json").write_bytes(b"\xff\x00"),
        lambda f: (f / "movie-0001.tif").unlink(),
        lambda f: (f / "movie-0001.tif").write_bytes(b"II*\0junk"),
        lambda f: (f / "truth" / "count" / "movie-0001.tif").unlink(),
        lambda f: tifffile.imwrite(f / "movie-0001.tif", np.zeros((9, 16, 16), np.float32)),
        lambda f: tifffile.imwrite(
            f / "truth" / "count" / "movie-0001.tif", np.zeros((5, 8, 8), np.uint8)
        ),
        lambda f: [p.unlink() for p in f.glob("signals-*.csv")],
        lambda f: (f / "signals-per-movie.csv").write_text("movie,count\nmovie-0000.tif,x\n"),
        lambda f: (f / "signals-per-movie.csv").write_text(""),
        lambda f: (f / "signals-per-movie.csv").write_text("a,b\n1,2\n"),
        _spoil_table,
        _cut_table,
    ],
)
def test_damaged_folders_are_refused(tmp_path, spoil):
    folder = tmp_path / "movies"
    write_labelled(_made(), folder)
    spoil(folder)
    with pytest.raises(SptError):
        read_labelled(folder)
