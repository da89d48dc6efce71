import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.simulate import blocks, read_labelled, simulate
from spt_explain.xddpm.simulate.blocks import movies_of_a_block, unfinished_folder, write_movies
from spt_explain.xddpm.simulate.described import SIGNALS, SIGNALS_OF, described, summary
from spt_explain.xddpm.simulate.kinds import KINDS

SMALL = {"frames": 3, "size": 16, "seed": 5}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "MOST_MOVIES", 4)


def _files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("kind", ["spots", "tension"])
def test_blocks_join_to_one_folder(tmp_path, kind):
    written = write_movies(kind, 10, tmp_path / "m", **SMALL, provenance={"program": "test"})
    assert written.finished
    assert (written.folder, written.done, written.made_now) == (tmp_path / "m", 10, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    found = read_labelled(tmp_path / "m")
    assert found.settings["program"] == "test"
    parts = [simulate(kind, k, **SMALL, block=b) for b, k in enumerate((4, 4, 2))]
    np.testing.assert_array_equal(found.clips, np.concatenate([p.clips for p in parts]))
    for name in parts[0].signals:
        joined = np.concatenate([p.signals[name] for p in parts])
        np.testing.assert_array_equal(found.signals[name], joined)
        masks = np.concatenate([p.truth[name] for p in parts])
        np.testing.assert_array_equal(found.truth[name], masks)
    first = simulate(kind, 4, **SMALL)
    np.testing.assert_array_equal(found.clips[:4], first.clips)
    assert not np.array_equal(found.clips[4:8], first.clips)


def test_more_movies_begin_with_the_same(tmp_path):
    for n in (4, 9):
        write_movies("spots", n, tmp_path / str(n), **SMALL)
    few, many = read_labelled(tmp_path / "4"), read_labelled(tmp_path / "9")
    np.testing.assert_array_equal(many.clips[:4], few.clips)


@pytest.mark.parametrize("stop_at", [1, 4, 5, 8, 9])
def test_an_interruption_anywhere_costs_a_block_at_most(tmp_path, monkeypatch, stop_at):
    write_movies("spots", 10, tmp_path / "whole", **SMALL)
    real, count = blocks.files._write_stack, []

    def fail(path, frames):
        if path.parent.parent.name != "truth":
            count.append(path)
        if len(count) == stop_at:
            path.write_bytes(b"half a mov")
            raise KeyboardInterrupt
        return real(path, frames)

    monkeypatch.setattr(blocks.files, "_write_stack", fail)
    with pytest.raises(KeyboardInterrupt):
        write_movies("spots", 10, tmp_path / "m", **SMALL)
    monkeypatch.setattr(blocks.files, "_write_stack", real)
    part = unfinished_folder(tmp_path / "m")
    assert part.exists() == (stop_at > 4)
    assert not (tmp_path / "m").exists()
    seedless = {k: v for k, v in SMALL.items() if k != "seed" or not part.exists()}
    written = write_movies("spots", 10, tmp_path / "m", **seedless, resume=True)
    assert written.made_now == 10 - 4 * ((stop_at - 1) // 4)
    assert _files(tmp_path / "m") == _files(tmp_path / "whole")


def test_what_was_killed_in_its_first_block_keeps_its_seed(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(blocks, "_write_block", killed)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)  # nothing is tidied up
        with pytest.raises(KeyboardInterrupt):
            write_movies("spots", 5, tmp_path / "m", **SMALL)
    monkeypatch.setattr(blocks, "MOST_MOVIES", 3)  # as in another version
    written = write_movies("spots", 5, tmp_path / "m", frames=3, size=16, resume=True)
    assert written.finished
    assert written.made["seed"] == SMALL["seed"]
    assert written.made["movies_of_a_block"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_where_the_last_rename_fails_nothing_is_lost(tmp_path, monkeypatch):
    def full(self, to):
        if Path(to).name == "m" and self.name.endswith(".unfinished"):
            raise OSError(5, "Input/output error")
        return plain(self, to)

    target = tmp_path / "m"
    write_movies("spots", 3, target, **SMALL)
    old, plain = _files(target), Path.rename
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", full)
        patched.setattr(Path, "replace", full)
        with pytest.raises(SptError, match=r"m could not be written \(Input/output") as caught:
            write_movies("spots", 5, target, **SMALL, overwrite=True)
    assert caught.value.code == "unwritable"
    assert _files(target) == old
    # all new movies are there too: only the name is wanting
    written = write_movies("spots", 5, target, **SMALL, overwrite=True, resume=True)
    assert (written.made_now, written.finished) == (0, True)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_where_progress_can_not_be_kept_the_folder_is_named(tmp_path, monkeypatch):
    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SptError) as caught:
        write_movies("spots", 3, tmp_path / "m", **SMALL)
    assert str(caught.value).startswith(f"{tmp_path / 'm'} could not be written (No space left")
    assert list(tmp_path.iterdir()) == []


def test_time_is_looked_at_between_blocks(tmp_path):
    said = []
    written = write_movies(
        "spots", 10, tmp_path / "m", **SMALL, stop_after_s=0, progress=lambda *at: said.append(at)
    )
    assert not written.finished
    assert (written.done, written.folder) == (4, unfinished_folder(tmp_path / "m"))
    with pytest.raises(SptError, match="resume=True"):
        write_movies("spots", 10, tmp_path / "m", **SMALL)
    again = {"stop_after_s": 0, "resume": True, "progress": lambda *at: said.append(at)}
    assert write_movies("spots", 10, tmp_path / "m", **SMALL, **again).done == 8
    written = write_movies("spots", 10, tmp_path / "m", **SMALL, **again)
    assert written.finished
    assert (written.done, written.made_now) == (10, 2)
    assert said[-1] == (10, 10)
    assert [done for done, _ in said] == sorted(done for done, _ in said)
    before = _files(tmp_path / "m")
    assert write_movies("spots", 10, tmp_path / "m", **SMALL, **again).made_now == 0
    assert _files(tmp_path / "m") == before


def test_other_movies_are_not_gone_on_with(tmp_path):
    write_movies("spots", 10, tmp_path / "m", **SMALL, stop_after_s=0)
    for other, words in (
        ({"seed": 6}, "seed is 5, not 6"),
        ({"frames": 4}, "frames is 3, not 4"),
        ({"n": 11}, "number of movies is 10, not 11"),
        ({"kind": "tension"}, "kind is spots, not tension"),
        ({"settings": {"noise": 0.5}}, r"noise is 0\.03, not 0\.5"),
    ):
        options = {"kind": "spots", "n": 10, **SMALL, **other}
        with pytest.raises(SptError, match=words):
            write_movies(folder=tmp_path / "m", resume=True, **options)
    written = write_movies("spots", 10, tmp_path / "m", **SMALL | {"seed": 6}, overwrite=True)
    assert written.made["seed"] == 6
    with pytest.raises(SptError, match="seed is 6, not 5"):
        write_movies("spots", 10, tmp_path / "m", **SMALL, resume=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: (p / "unfinished.json").write_bytes(b"\xff"),
        lambda p: (p / "unfinished.json").write_text("{"),
        lambda p: (p / "unfinished.json").write_text("[]"),
        lambda p: (p / "unfinished.json").write_text("{}"),
        lambda p: (p / "unfinished.json").unlink(),
        lambda p: shutil.rmtree(p / "rows"),
        lambda p: (p / "unfinished.json").write_text(
            (p / "unfinished.json").read_text().replace('"blocks": 1', '"blocks": 7')
        ),
        lambda p: (p / "unfinished.json").write_text(
            (p / "unfinished.json").read_text().replace('"blocks": 1', '"blocks": "x"')
        ),
        lambda p: (p / "unfinished.json").write_text(
            (p / "unfinished.json").read_text().replace('"blocks": 1', '"blocks": -1')
        ),
    ],
)
def test_a_damaged_unfinished_folder_is_said(tmp_path, spoil):
    write_movies("spots", 10, tmp_path / "m", **SMALL, stop_after_s=0)
    spoil(unfinished_folder(tmp_path / "m"))
    with pytest.raises(SptError):
        write_movies("spots", 10, tmp_path / "m", **SMALL, resume=True)
    assert write_movies("spots", 10, tmp_path / "m", **SMALL, overwrite=True).finished
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_can_not_be_made_leaves_nothing(tmp_path):
    for settings in ({"first": 3, "last": 1}, {"nois": 1}):
        with pytest.raises(SptError):
            write_movies("some-frames", 3, tmp_path / "m", **SMALL, settings=settings)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    with pytest.raises(SptError, match="left as it is"):
        write_movies("spots", 3, tmp_path / "photos", **SMALL, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_disk_that_is_too_small_is_said_before(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("U", (), {"free": 10_000}))
    with pytest.raises(SptError, match="GB left"):
        write_movies("spots", 3, tmp_path / "m", **SMALL)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_what_is_done(tmp_path, monkeypatch):
    real, calls = blocks._write_block, []

    def full(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(blocks, "_write_block", full)
    with pytest.raises(SptError, match="No space left") as caught:
        write_movies("spots", 10, tmp_path / "m", **SMALL)
    assert caught.value.exit_code == 1
    progress = json.loads((unfinished_folder(tmp_path / "m") / "unfinished.json").read_text())
    assert progress["blocks"] == 1
    assert write_movies("spots", 10, tmp_path / "m", **SMALL, resume=True).made_now == 6


def test_blocks_are_small_where_movies_are_large(monkeypatch):
    monkeypatch.setattr(blocks, "MOST_MOVIES", 256)
    tension, jelly = KINDS["tension"](), KINDS["jellyfish"]()
    assert movies_of_a_block(tension, 20, 32) == 256
    assert movies_of_a_block(tension, 2000, 512) == 1
    assert 4 <= movies_of_a_block(jelly, 20, 64) <= 32
    assert movies_of_a_block(KINDS["jellyfish"](grid=512), 40, 64) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_described(kind):
    assert summary(kind).endswith(".")
    settings = described(kind)
    assert [one.name for one in settings] == [field.name for field in fields(KINDS[kind])]
    for one in settings:
        assert one.text
        assert one.shown
        assert one.possible
        assert bool(one.choices) == isinstance(one.default, str)
        if one.limits:
            pair = one.default if one.drawn else (one.default,)
            assert all(one.limits[0] <= value <= one.limits[1] for value in pair)
    quick = {"steps": 40, "grid": 32} if kind == "jellyfish" else {}
    made = simulate(kind, 1, frames=2, size=16, seed=0, settings=quick)
    assert set(SIGNALS_OF[kind]) == set(made.signals)
    assert all(name in SIGNALS for name in made.signals)
