"""Names that are not UTF-8, and names that are given twice."""

import gzip
import io
import json
import os

import numpy as np
import pandas as pd
import pytest

FAST = ("--weights", "resandi-small", "--device", "cpu")


@pytest.fixture(autouse=True)
def data(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder that the command runs in; skips where file names have to be UTF-8."""
    try:
        (tmp_path / os.fsdecode(b"\xe9")).touch()
    except (OSError, UnicodeError):
        pytest.skip("file names are always UTF-8 here")
    (tmp_path / os.fsdecode(b"\xe9")).unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(folder):
    return sorted(os.fsencode(path.name) for path in folder.iterdir())


def read(path):
    return pd.read_csv(io.BytesIO(path.read_bytes()))


def _simple_xml(positions):
    rows = (f'<detection t="{t}" x="{x}" y="{y}" z="0.0"/>' for t, (x, y) in enumerate(positions))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Tracks nTracks="1" spaceUnits="µm" '
        f'frameInterval="0.05" timeUnits="sec"><particle nSpots="{len(positions)}">'
        f"{''.join(rows)}</particle></Tracks>"
    ).encode()


def _movie():
    """Return a bright spot that wanders through noise."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:48, :48]
    frames = rng.normal(100, 4, (20, 48, 48))
    for frame, (dy, dx) in zip(frames, rng.normal(0, 0.5, (20, 2)).cumsum(axis=0), strict=True):
        for middle in (14, 34):
            frame += 500 * np.exp(-((y - middle - dy) ** 2 + (x - middle - dx) ** 2) / 4.5)
    return frames.astype(np.uint16)


def _write(path, kind, write_csv):
    if kind == "tif":
        import tifffile

        with path.open("wb") as stream:
            tifffile.imwrite(stream, _movie(), imagej=True, metadata={"axes": "TYX"})
    elif kind in ("xml", "xml.gz"):
        data = _simple_xml(np.random.default_rng(1).normal(size=(30, 2)).cumsum(axis=0))
        path.write_bytes(gzip.compress(data, mtime=0) if kind.endswith("gz") else data)
    else:
        write_csv(path)
        if kind == "csv.gz":
            path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        if kind == "comment.csv":  # a reason to read it row by row: a comment in the middle
            lines = path.read_text().splitlines()
            path.write_text("\n".join([*lines[:40], "# a comment", *lines[40:]]) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "comment.csv", "csv.gz", "xml", "xml.gz", "tif"])
def test_classify_reads_a_name_that_is_not_utf8(run, here, write_csv, kind):
    ending = f".{kind.removeprefix('comment.')}"
    source = _write(here / (os.fsdecode(b"caf\xe9") + ending), kind, write_csv)
    plain = here / f"plain{ending}"
    plain.write_bytes(source.read_bytes())
    done = run("classify", source.name, *FAST, "--json")
    assert done.code == 0, done.err
    assert rf"caf\xe9{ending}" in done.err
    assert r"→ caf\xe9.verdicts.csv" in done.err
    (entry,) = json.loads(done.out)["files"]
    assert entry["name"] == rf"caf\xe9{ending}"
    assert entry["outputs"] == [r"caf\xe9.verdicts.csv", r"caf\xe9.verdicts.json"]
    beside = here / os.fsdecode(b"caf\xe9.verdicts.csv")
    table = read(beside)
    assert set(table["file"]) == {rf"caf\xe9{ending}"}
    made = json.loads(beside.with_suffix(".json").read_text("utf-8"))
    assert made["inputs"][0]["path"] == str(here / rf"caf\xe9{ending}")
    assert made["inputs"][0]["bytes"] == source.stat().st_size
    assert rf"caf\xe9{ending}" in made["inputs"][0]["name"]
    # and the numbers are those of the same file under a plain name
    assert run("classify", plain.name, *FAST, "-q").code == 0
    other = pd.read_csv(here / "plain.verdicts.csv")
    pd.testing.assert_frame_equal(table.drop(columns="file"), other.drop(columns="file"))


def test_such_files_and_folders_in_a_folder(run, here, write_csv):
    folder = here / os.fsdecode(b"m\xfcll")
    folder.mkdir()
    for name in (b"caf\xe9.csv", b"caf\xe8.csv", b"ok.csv"):
        write_csv(folder / os.fsdecode(name))
    (folder / os.fsdecode(b"not\xe9.csv")).write_text("a,b\n1,2\n")
    for extra in (("-o", "out/"), ("-o", os.fsdecode(b"\xe4ll.csv")), ("-o", "-"), ()):
        done = run("classify", folder.name, *FAST, *extra)
        assert done.code == 0, done.err
        assert r"skipped: m\xfcll/not\xe9.csv" in done.err
        assert "?" not in done.err
    names = [b"caf\xe8.verdicts.csv", b"caf\xe9.verdicts.csv", b"ok.verdicts.csv"]
    for place in (here / "out", folder):
        assert [n for n in listed(place) if n.endswith(b".verdicts.csv")] == names
    table = read(here / os.fsdecode(b"\xe4ll.csv"))
    assert table["file"].unique().tolist() == [
        r"m\xfcll/caf\xe8.csv", r"m\xfcll/caf\xe9.csv", r"m\xfcll/ok.csv"
    ]  # fmt: skip


@pytest.mark.parametrize("fmt", ["json", "parquet"])
def test_other_formats(run, here, write_csv, fmt):
    write_csv(here / os.fsdecode(b"caf\xe9.csv"))
    done = run("classify", os.fsdecode(b"caf\xe9.csv"), *FAST, "-q", "--format", fmt)
    assert done.code == 0, done.err
    assert (here / os.fsdecode(b"caf\xe9.verdicts." + fmt.encode())).stat().st_size


def test_errors_name_the_file(run, here):
    name = os.fsdecode(b"caf\xe9.csv")
    missing = run("classify", name)
    assert missing.code == 2
    assert r"caf\xe9.csv was not found" in missing.err
    (here / name).write_text("a,b\n1,2\n")
    wrong = run("classify", name)
    assert wrong.code == 2
    assert r"caf\xe9.csv is a table without positions" in wrong.err


@pytest.mark.parametrize("kind", ["csv", "xml"])
def test_explain_reads_a_name_that_is_not_utf8(run, here, write_csv, kind):
    name = os.fsdecode(b"caf\xe9") + f".{kind}"
    _write(here / name, kind, write_csv)
    page = os.fsdecode(b"why\xe9.html")
    extra = ("--draws", 0, "--json", "--report", page) if kind == "csv" else ("--draws", 0)
    done = run("explain", name, *FAST, *extra)
    assert done.code == 0, done.err
    assert r"→ caf\xe9.reasons/" in done.err
    folder = here / os.fsdecode(b"caf\xe9.reasons")
    assert set(read(folder / "tracks.csv")["file"]) == {rf"caf\xe9.{kind}"}
    made = json.loads((folder / "reasons.json").read_text("utf-8"))
    assert made["inputs"][0]["path"] == str(here / rf"caf\xe9.{kind}")
    assert made["inputs"][0]["sha256"]
    if kind == "csv":
        (entry,) = json.loads(done.out)["files"]
        assert entry["name"] == r"caf\xe9.csv"
        assert entry["outputs"] == [r"caf\xe9.reasons", r"why\xe9.html"]
        assert r"caf\xe9.csv" in (here / page).read_text("utf-8")
    assert run("explain", name, *FAST, "--draws", 0, "-q", "-o", "out/").code == 0
    assert listed(here / "out") == [b"caf\xe9.reasons"]


def test_explain_remembers_such_a_name(run, here, write_csv):
    name = os.fsdecode(b"caf\xe9.csv")
    write_csv(here / name)
    assert run("classify", name, *FAST, "-q").code == 0
    done = run("explain", "--draws", 0, "--device", "cpu")
    assert done.code == 0, done.err
    assert rf"what was last classified: {here}/caf\xe9.csv" in done.err
    assert (here / os.fsdecode(b"caf\xe9.reasons")).is_dir()


@pytest.mark.parametrize("output", [(), ("-o", "out/")])
def test_one_file_named_twice_is_classified_once(run, tmp_path, write_csv, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "y").mkdir()
    path = write_csv(tmp_path / "y" / "a.csv")
    done = run("classify", "y/a.csv", path, "y/../y/a.csv", *FAST, "--json", *output)
    assert done.code == 0, done.err
    assert f"named more than once, read once: y/a.csv (also as {path}, y/../y/a.csv)" in done.err
    (entry,) = json.loads(done.out)["files"]
    assert entry["also_named"] == [str(path), "y/../y/a.csv"]
    table = pd.read_csv(tmp_path / ("out" if output else "y") / "a.verdicts.csv")
    assert table["file"].tolist() == ["y/a.csv"] * 3
    assert run("classify", "y/a.csv", *FAST, "--overwrite").err.count("named more than once") == 0


@pytest.mark.parametrize("output", [(), ("-o", "out/")])
def test_files_of_one_name_have_a_table_each(run, tmp_path, write_csv, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    lengths = {"x/y/a.csv": 21, "x_y/a.csv": 22, "x/a.csv": 23}
    for name, length in lengths.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_csv(tmp_path / name, length=length)
    done = run("classify", *lengths, *FAST, "--json", *output)
    assert done.code == 0, done.err
    files = json.loads(done.out)["files"]
    assert len({path for entry in files for path in entry["outputs"]}) == 6
    for entry, (name, length) in zip(files, lengths.items(), strict=True):
        table = pd.read_csv(entry["outputs"][0])
        assert set(table["file"]) == {name}
        assert set(table["n_points"]) == {length}


def test_two_spellings_of_a_folder_do_not_overwrite(run, tmp_path, write_csv, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "y").mkdir()
    first = write_csv(tmp_path / "y" / "a.csv", length=21)
    second = write_csv(tmp_path / "y" / "a.txt", length=22)
    assert run("classify", "y/a.csv", second, *FAST, "-q").code == 0
    assert set(pd.read_csv(f"{first}.verdicts.csv")["n_points"]) == {21}
    assert set(pd.read_csv(f"{second}.verdicts.csv")["n_points"]) == {22}


def test_explain_too(run, tmp_path, write_csv, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "y").mkdir()
    (tmp_path / "z").mkdir()
    first = write_csv(tmp_path / "y" / "a.csv", length=21)
    second = write_csv(tmp_path / "y" / "a.txt", length=22)
    third = write_csv(tmp_path / "z" / "a.csv", length=23)
    names = ("y/a.csv", first, second, third)
    for output in ((), ("-o", "out/")):
        done = run("explain", *names, *FAST, "--draws", 0, "--json", *output)
        assert done.code == 0, done.err
        assert f"named more than once, read once: y/a.csv (also as {first})" in done.err
        files = json.loads(done.out)["files"]
        assert [entry["also_named"] for entry in files] == [[str(first)], [], []]
        for entry, length in zip(files, (21, 22, 23), strict=True):
            frames = pd.read_csv(f"{entry['outputs'][0]}/frames.csv")
            assert frames["frame"].max() == length - 1
