import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from spt_explain.errors import SptError
from spt_explain.report import overlay_movie as module
from spt_explain.report.overlay_movie import overlay_movie

COLOUR = (213, 94, 0)  # SubCTRW


@pytest.fixture
def movie(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "film.tif"
    images = rng.integers(90, 110, (12, 30, 40)).astype(np.uint8)
    tifffile.imwrite(path, images, imagej=True, metadata={"axes": "TYX", "finterval": 0.25})
    return path


def tables():
    frame = np.arange(2, 8)
    frames = pd.DataFrame({"file": "a", "particle": 5, "segment": 0, "frame": frame})
    frames["x"], frames["y"], frames["score"] = 4.0 * frame, 15.0, 1.0
    tracks = pd.DataFrame({"file": ["a"], "particle": [5], "segment": [0], "class": ["SubCTRW"]})
    return frames, tracks


def write(movie, out, **options):
    given = {"unit": "pixel", "classes": ("SubCTRW",), "colour_by": "class", "side_px": 400}
    return overlay_movie(movie, *tables(), out, **(given | options))


def read(path):
    with Image.open(path) as image:
        frames = []
        for k in range(image.n_frames):
            image.seek(k)
            frames.append(np.asarray(image.convert("RGB")).astype(int))
        return frames, image.info.copy()


def of_colour(picture, rows=slice(0, 300)):
    """Columns with pixels of the track's colour within the movie (not its legend)."""
    near = np.abs(picture[rows] - COLOUR).sum(axis=2) < 40
    return np.flatnonzero(near.any(axis=0))


def test_gif_shows_the_track_where_it_is_and_its_tail(movie, tmp_path):
    out = tmp_path / "film.gif"
    seen = []
    notes = write(movie, out, tail=2, progress=lambda done, n: seen.append((done, n)))
    pictures, info = read(out)
    assert notes == ()
    assert len(pictures) == 12
    assert info["duration"] == 100
    assert info["loop"] == 0
    assert seen == [(k, 12) for k in range(1, 13)]
    assert len(of_colour(pictures[1])) == 0  # not there yet
    zoom = 10
    for k in range(2, 8):
        columns = of_colour(pictures[k])
        here = (4 * k + 0.5) * zoom
        tail = (4 * max(k - 2, 2) + 0.5) * zoom
        assert columns.max() == pytest.approx(here + 5, abs=2)  # the ring around it
        assert columns.min() == pytest.approx(min(tail, here - 5), abs=2)
    assert len(of_colour(pictures[9])) == 0  # gone, and its tail
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.gif", "film.tif"]


def test_the_whole_track_may_stay(movie, tmp_path):
    write(movie, tmp_path / "film.gif", tail=None)
    pictures, _ = read(tmp_path / "film.gif")
    assert np.ptp(of_colour(pictures[11])) == pytest.approx(4 * 5 * 10, abs=4)


def test_long_gifs_leave_frames_out_and_say_so(movie, tmp_path):
    notes = write(movie, tmp_path / "film.gif", most_frames=5)
    assert notes == ("film.gif shows every 3rd of 12 frames.",)
    assert len(read(tmp_path / "film.gif")[0]) == 4


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"fps": 0}, "0 frames a second"),
        ({"fps": 60}, "0.1 to 50 for a GIF"),
        ({"tail": 0}, "tails of 0"),
        ({"side_px": 10}, "64 to 4096"),
        ({"most_frames": 0}, "at most 0"),
        ({"colour_by": "length"}, "class or score"),
        ({"fmt": "avi"}, "'avi'.*.gif or .mp4"),
        ({"unit": "µm"}, "pixel_size_um="),
    ],
)
def test_what_can_be_mended(movie, tmp_path, options, match):
    with pytest.raises(SptError, match=match):
        write(movie, tmp_path / "film.gif", **options)
    assert not (tmp_path / "film.gif").exists()


def test_the_name_decides_the_kind(movie, tmp_path):
    with pytest.raises(SptError, match="a file without ending"):
        write(movie, tmp_path / "film")
    write(movie, tmp_path / "film", fmt="gif", colour_by="score")
    assert len(read(tmp_path / "film")[0]) == 12


def test_a_failure_leaves_the_old_file_and_nothing_else(movie, tmp_path):
    out = tmp_path / "film.gif"
    out.write_bytes(b"old")

    def interrupt(done, n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(movie, out, progress=interrupt)
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.gif", "film.tif"]


def test_mp4_needs_ffmpeg(movie, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SptError, match=r"ffmpeg, which was not found.*film\.gif") as caught:
        write(movie, tmp_path / "film.mp4")
    assert "\n" not in str(caught.value)


def a_program(folder, body):
    """Put a Python script called ffmpeg on the PATH."""
    if os.name == "nt":
        pytest.skip("needs executable scripts")
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(folder)


def test_every_frame_goes_to_ffmpeg(movie, tmp_path, monkeypatch):
    body = "open(sys.argv[-1], 'wb').write(' '.join(sys.argv).encode() + sys.stdin.buffer.read())"
    monkeypatch.setenv("PATH", a_program(tmp_path / "bin", body))
    write(movie, tmp_path / "film.mp4", fps=25)
    said, _, pixels = (tmp_path / "film.mp4").read_bytes().partition(b".part")
    words = said.decode().split()
    width, height = map(int, words[words.index("-s") + 1].split("x"))
    assert width % 2 == height % 2 == 0
    assert len(pixels) == 12 * width * height * 3
    assert words[words.index("-r") + 1] == "25"


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("sys.stderr.write('a\\nno encoder\\n'); sys.exit(1)", "no encoder"),
        ("sys.stdin.buffer.read(); sys.exit(3)", "exit code 3"),
        ("sys.stdin.buffer.read()", "exit code 0"),
    ],
)
def test_ffmpeg_may_fail(movie, tmp_path, monkeypatch, body, match):
    monkeypatch.setenv("PATH", a_program(tmp_path / "bin", body))
    with pytest.raises(SptError, match=match) as caught:
        write(movie, tmp_path / "film.mp4")
    assert caught.value.exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "film.tif"]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_mp4(movie, tmp_path):
    out = tmp_path / "film.mp4"
    write(movie, out)
    png = tmp_path / "one.png"
    select = ["-vf", "select=eq(n\\,5)", "-frames:v", "1"]
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", str(out), *select, str(png)], check=True)
    with Image.open(png) as image:
        picture = np.asarray(image.convert("RGB")).astype(int)
    near = np.abs(picture[:300] - COLOUR).sum(axis=2) < 90  # colours are at half resolution
    assert np.flatnonzero(near.any(axis=0)).max() == pytest.approx(205 + 5, abs=4)


def test_frames_are_read_one_at_a_time(movie, tmp_path, monkeypatch):
    alive = []
    frame = module.Stack.frame

    def counted(self, index):
        alive.append(index)
        return frame(self, index)

    monkeypatch.setattr(module.Stack, "frame", counted)
    monkeypatch.setattr(module, "_SAMPLED", 2)
    write(movie, tmp_path / "film.gif")
    assert alive == [0, 11, *range(12)]
    assert isinstance(tmp_path, Path)
