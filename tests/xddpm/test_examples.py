import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.xddpm.examples import gather
from spt_explain.xddpm.fit import fit
from spt_explain.xddpm.model import RelevanceModel
from spt_explain.xddpm.recipe import RelevanceRecipe
from spt_explain.xddpm.simulate.files import write_labelled
from spt_explain.xddpm.simulate.kinds import simulate


def _write(path, frames, axes="TYX"):
    import tifffile

    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": axes})


def _cells(frames=12, size=130, count=12, seed=1):
    """Return a movie of discs that breathe, 16 bit, and the area of each frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    movie = np.full((frames, size, size), 200.0)
    for _ in range(count):
        row, column, radius = *rng.uniform(8, size - 8, 2), rng.uniform(4, 9)
        for t in range(frames):
            now = radius * (1 + 0.3 * np.sin(t / 2 + row))
            movie[t] = np.maximum(movie[t], 200 + 800 * (np.hypot(y - row, x - column) < now))
    cell = movie > 600
    return (movie + rng.normal(0, 20, movie.shape)).astype(np.uint16), cell


def test_tiles_of_one_movie_with_their_area(tmp_path):
    movie, cell = _cells()
    _write(tmp_path / "m.tif", movie)
    told = []
    found = gather([tmp_path / "m.tif"], "area", frames=6, progress=lambda *a: told.append(a))
    assert found.layout.tile == 32
    assert found.clips.shape[1:] == (6, 32, 32)
    assert (found.per, found.kind, found.names) == ("frame", "number", ("area [px²]",))
    assert found.values.shape == (len(found), 6, 1)
    for (_, t, y, x), clip, values in zip(found.places, found.clips, found.values, strict=True):
        np.testing.assert_array_equal(clip, movie[t : t + 6, y : y + 32, x : x + 32])
        true = cell[t : t + 6, y : y + 32, x : x + 32].sum((1, 2))
        np.testing.assert_allclose(values[:, 0], true, atol=3 + 0.05 * true.max())
    assert len(set(found.groups)) == 16
    empty = (found.values == 0).all((1, 2)).mean()
    assert empty <= 0.26
    assert {what for what, _, _ in told} == {
        "movies opened", "movies looked at", "movies measured", "frames read"
    }  # fmt: skip
    per_clip = gather([tmp_path / "m.tif"], "area", frames=6, per="clip")
    np.testing.assert_allclose(per_clip.values, found.values.mean(1))


def test_units_come_from_the_options(tmp_path):
    _write(tmp_path / "m.tif", _cells()[0])
    pixels = gather([tmp_path / "m.tif"], "area", frames=6)
    microns = gather([tmp_path / "m.tif"], "area", frames=6, pixel_size_um=0.1)
    assert microns.names == ("area [µm²]",)
    np.testing.assert_allclose(microns.values, 0.01 * pixels.values)
    assert microns.sources[0]["pixel_size_um"] == 0.1


def test_clips_are_the_same_for_a_seed_and_no_more_than_asked_for(tmp_path):
    _write(tmp_path / "m.tif", _cells()[0])
    one, again, other = (
        gather([tmp_path / "m.tif"], "area", frames=4, most_clips=20, seed=seed)
        for seed in (1, 1, 2)
    )
    assert len(one) == 20
    np.testing.assert_array_equal(one.places, again.places)
    assert not np.array_equal(one.places, other.places)
    assert len(set(one.groups)) >= 14


def test_a_trace_of_whole_frames_of_one_large_movie(tmp_path):
    movie = np.full((60, 150, 200), 100, np.uint16)
    trace = np.sin(np.arange(60) / 3)
    movie += (40 * trace[:, None, None] + 50).astype(np.uint16)
    _write(tmp_path / "ca.tif", movie)
    lines = ["frame,calcium"] + [f"{i},{v:.5f}" for i, v in enumerate(trace) if i != 7]
    (tmp_path / "ca.csv").write_text("\n".join(lines))
    found = gather([tmp_path / "ca.tif"], tmp_path / "ca.csv", frames=8)
    assert found.layout.tile is None
    assert found.layout.bin == 4
    assert found.clips.shape[1:] == (8, 38, 50)
    assert "stretch of time" in found.held_out_by
    for (_, t, _, _), values in zip(found.places, found.values, strict=True):
        expected = np.where(np.arange(t, t + 8) == 7, np.nan, trace[t : t + 8])
        np.testing.assert_allclose(values[:, 0], expected, atol=1e-5)
    assert any("4 × 4 px averaged" in note for note in found.notes)
    tiled = gather([tmp_path / "ca.tif"], str(tmp_path / "ca.csv") + ":CALCIUM", frames=8, tile=32)
    assert tiled.layout.tile == 32
    assert tiled.layout.bin == 1


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    labelled = simulate("tension", 6, frames=12, size=32, seed=4)
    folder = tmp_path_factory.mktemp("made") / "tension [1]"
    write_labelled(labelled, folder)
    return folder, labelled


def test_what_simulate_wrote(simulated):
    folder, labelled = simulated
    for signal in (folder, folder / "signals-per-frame.csv", f"{folder}:area,circumference"):
        found = gather([folder], signal, frames=12)
        assert len(found) == 6  # and no masks
        assert found.names == ("area", "circumference")
        np.testing.assert_array_equal(found.clips, labelled.clips)
        np.testing.assert_allclose(found.values[..., 0], labelled.signals["area"])
        np.testing.assert_allclose(found.values[..., 1], labelled.signals["circumference"])
    measured = gather([folder], "area", frames=12)
    assert measured.layout.tile is None
    assert np.corrcoef(measured.values.ravel(), labelled.signals["area"].ravel())[0, 1] > 0.95


def test_categories_of_movies(simulated, tmp_path):
    folder, _ = simulated
    rows = "".join(f"movie-000{i},{'round' if i % 2 else 'flat'}\n" for i in range(6))
    (tmp_path / "classes.tsv").write_text("movie,shape\n" + rows)
    found = gather([folder], tmp_path / "classes.tsv", frames=5, stride=5)
    assert (found.kind, found.per, found.values.shape) == ("category", "clip", (12,))
    assert found.values[0] == "flat"
    with pytest.raises(SptError, match="per='frame'"):
        gather([folder], tmp_path / "classes.tsv", frames=5, per="frame")


def test_a_column_beside_the_movies(simulated, tmp_path):
    movie, _ = _cells(frames=8)
    for name in "abcd":
        _write(tmp_path / f"{name}.tif", movie)
    (tmp_path / "dose.csv").write_text("movie,dose\na,1\nb,2\nc,3\nd,4\n")
    found = gather([tmp_path], "dose", frames=8)
    assert found.names == ("dose",)
    assert found.values[:, 0].tolist() == [1, 2, 3, 4]
    (tmp_path / "other.csv").write_text("movie,dose\na,1\n")
    with pytest.raises(SptError, match="is a column of"):
        gather([tmp_path], "dose", frames=8)


@pytest.mark.parametrize(
    ("signal", "options", "said"),
    [
        ("aera", {}, r"no signal \"aera\": expected area, circumference"),
        ("nowhere.csv", {}, "was not found"),
        ("area", {"frames": 0}, "frames=0: expected a whole number of frames, 1 or more"),
        ("area", {"stride": 0}, "stride=0: expected a whole number of frames, 1 or more"),
        ("area", {"tile": 4}, "tile= is 4"),
        ("area", {"tile": -3}, "tile=-3: expected a whole number of pixels, 0 or more"),
        ("area", {"tile": 500, "frames": 4}, "Give at most 130"),
        ("area", {"frames": 100}, "frames=12 or less"),
        ("area", {"kind": "category", "frames": 6}, "no category"),
        ("msd-d", {"frames": 2}, "at least 3"),
        ("area", {"bin": 0}, "bin="),
        ("area", {"bin": 20}, "130 × 130 px, 20 × 20 averaged to one: expected at least 8"),
        ("area", {"most_clips": 1}, "most_clips=1: expected a whole number of clips, 2 or more"),
    ],
)
def test_what_can_t_be_used_is_said_in_one_line(tmp_path, signal, options, said):
    _write(tmp_path / "m.tif", _cells()[0])
    with pytest.raises(SptError, match=said) as error:
        gather([tmp_path / "m.tif"], signal, **options)
    assert "\n" not in str(error.value)


def test_a_value_for_one_movie_is_not_enough(tmp_path):
    _write(tmp_path / "m.tif", _cells()[0])
    (tmp_path / "s.csv").write_text("movie,dose\nm,1\n")
    with pytest.raises(SptError, match="one value for each movie, and there is 1 movie"):
        gather([tmp_path / "m.tif"], tmp_path / "s.csv", frames=6)


def test_from_movies_to_maps_of_a_movie(tmp_path, monkeypatch):
    monkeypatch.setattr("spt_explain.xddpm.run.Run._insist_on_prediction", lambda _: None)
    for i in range(3):
        _write(tmp_path / f"{i}.tif", _cells(frames=6, size=70, count=5, seed=i)[0])
    found = gather([tmp_path], "area", frames=3, tile=8, bin=2, per="clip", most_clips=48)
    recipe = RelevanceRecipe.of(
        {
            "schedule": {"regressor_steps": 4, "mask_steps": 4},
            "regressor": {"width": 4, "min_r2": 0},
            "mask": {"width": 4},
        },
        "test",
    )
    model = fit(found.clips, found.values, found.groups, recipe, names=found.names)
    assert model is not None
    model.layout = found.layout
    model.save(tmp_path / "model")
    again = RelevanceModel.load(tmp_path / "model")
    assert again.layout == found.layout
    movie = _cells(frames=7, size=75, count=5, seed=9)[0]
    maps = again.explain(movie)
    assert maps.contribution.shape == maps.information.shape == movie.shape
    assert (maps.contribution[:, :2, :2] == maps.contribution[:, :1, :1]).all()
    # nats of a square are shared among its pixels, also of those that the frame cuts
    whole = again.explain_frames(lambda i: movie[i], movie.shape)
    joined = np.concatenate([part.information for _, part in whole])
    np.testing.assert_array_equal(joined, maps.information)
