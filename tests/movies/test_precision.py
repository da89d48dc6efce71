from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import KDTree

from spt_explain.movies.least_mass import noise_mass
from spt_explain.movies.locate import band_pass, find_spots
from spt_explain.movies.parameters import EstimationSettings, Parameters, deviation, diameter_for
from spt_explain.movies.precision import PrecisionSettings, measure_precision, static_error
from spt_explain.movies.render import Optics, expected_photons, expose

SIDE = 200


class Movie:
    """Frames in memory, as a stack shows them."""

    def __init__(self, frames):
        self._frames = frames
        self.n_frames = len(frames)
        self.height, self.width = frames[0].shape

    def frame(self, index):
        return self._frames[index].astype(float)


@dataclass
class Scene:
    movie: Movie
    parameters: Parameters
    spots: pd.DataFrame
    error: np.ndarray  # of each spot, (n, 2)
    kind: np.ndarray  # which of the optics

    def rms(self, kind=0):
        return np.sqrt(np.mean(self.error[self.kind == kind] ** 2))

    def measured(self, kind=0, **settings):
        found, note = measure_precision(
            self.movie, self.parameters, self.spots, PrecisionSettings(**settings)
        )
        assert note == ""
        return np.sqrt(np.mean(found(self.spots["mass"][self.kind == kind]) ** 2))


def scene(*optics, n_frames=4, dark=False, diameter=None, noisy=True, spacing=24, seed=0):
    """Spots at known places of any fraction of a pixel, located as a movie's spots are."""
    rng = np.random.default_rng(seed)
    diameter = diameter or diameter_for(optics[0].spot_sigma_px)
    frames, truth, kinds = [], [], []
    for _ in range(n_frames):
        axis = np.arange(spacing / 2, SIDE - spacing / 3, spacing)
        places = np.array([(y, x) for y in axis for x in axis])
        places = places[rng.random(len(places)) < 0.7]
        places = places + rng.uniform(-spacing / 8, spacing / 8, places.shape)
        kind = rng.integers(0, len(optics), len(places))
        light = np.full((SIDE, SIDE), float(optics[0].background))
        for i, one in enumerate(optics):
            here = places[kind == i][:, ::-1]
            light += expected_photons(here, SIDE, SIDE, one) - one.background
        if noisy:
            frame = expose(light, optics[0], rng)
        else:
            frame = optics[0].offset + optics[0].gain * light
        frames.append(4000 - frame.astype(float) if dark else frame)
        truth.append(places)
        kinds.append(kind)
    movie = Movie(frames)
    band = band_pass(movie.frame(0), diameter, dark=dark)
    mean, std = noise_mass(diameter)
    noise = deviation(band)
    minmass = noise * (mean + 5 * std) if noisy else 20.0
    peak = EstimationSettings().noise_peak * noise if noisy else 0.0  # as movies get it
    parameters = Parameters(diameter, minmass, 5.0, 0, dark, peak, False)
    tables, errors, which = [], [], []
    for i in range(n_frames):
        band = band_pass(movie.frame(i), diameter, dark=dark)
        spots = find_spots(band, diameter, minmass, peak=peak)
        yx = spots[["y", "x"]].to_numpy()
        away, nearest = KDTree(truth[i]).query(yx)
        tables.append(spots.assign(frame=i)[away < 2])
        errors.append((yx - truth[i][nearest])[away < 2])
        which.append(kinds[i][nearest][away < 2])
    table = pd.concat(tables, ignore_index=True)
    return Scene(movie, parameters, table, np.concatenate(errors), np.concatenate(which))


@pytest.mark.parametrize(
    ("sigma", "photons", "background"),
    [
        (1.0, 300, 1), (1.0, 5000, 1), (1.0, 300, 50),
        (1.5, 100, 1), (1.5, 1000, 10),
        (2.0, 1000, 50), (2.0, 5000, 1),
    ],
)  # fmt: skip
def test_it_is_the_true_error_of_rendered_spots(sigma, photons, background):
    made = scene(Optics(spot_sigma_px=sigma, photons=photons, background=background))
    assert len(made.spots) > 120
    assert made.measured() == pytest.approx(made.rms(), rel=0.15)


@pytest.mark.parametrize(
    "optics",
    [
        Optics(gain=30.0, offset=2000.0, photons=400),
        Optics(read_noise=8.0, photons=800),
    ],
)
def test_gain_offset_and_read_noise_need_not_be_known(optics):
    made = scene(optics)
    assert made.measured() == pytest.approx(made.rms(), rel=0.15)


def test_the_gain_of_the_camera_is_found():
    for gain in (0.5, 20.0):
        made = scene(Optics(spot_sigma_px=1.5, photons=3000, gain=gain, offset=100))
        found, _ = measure_precision(made.movie, made.parameters, made.spots)
        assert found.gain == pytest.approx(gain, rel=0.25)
        assert found.sigma_px == pytest.approx(1.5, rel=0.05)


def test_each_spot_has_its_own_error_by_its_mass():
    made = scene(Optics(photons=200), Optics(photons=2000), n_frames=6)
    for kind in (0, 1):
        assert made.measured(kind) == pytest.approx(made.rms(kind), rel=0.15)
    assert made.rms(0) > 3 * made.rms(1)


def test_a_diameter_too_small_has_the_error_of_its_bias():
    made = scene(Optics(spot_sigma_px=2.0, photons=3000), diameter=5)
    right = scene(Optics(spot_sigma_px=2.0, photons=3000), diameter=9)
    assert made.rms() > 2 * right.rms()
    assert made.measured() == pytest.approx(made.rms(), rel=0.15)


def test_dark_spots_are_as_good_as_bright_ones():
    optics = Optics(photons=600, background=20)
    made = scene(optics, dark=True)
    assert made.measured() == pytest.approx(made.rms(), rel=0.15)


def test_the_number_of_frames_and_the_seed_hardly_matter():
    made = scene(Optics(photons=500), n_frames=6)
    once = made.measured()
    assert made.measured() == once
    assert made.measured(n_frames=3, seed=1) == pytest.approx(once, rel=0.1)


def test_every_spot_gets_a_value_and_the_note_says_how_large():
    made = scene(Optics(photons=500))
    error, note = static_error(made.movie, made.parameters, made.spots)
    assert error.shape == (len(made.spots),)
    assert f"{np.median(error):.2g} px" in note
    order = np.argsort(made.spots["mass"])
    assert (np.diff(error[order]) <= 0).all()


def test_a_movie_without_noise_has_no_error_to_measure():
    made = scene(Optics(photons=2000), noisy=False)
    error, note = static_error(made.movie, made.parameters, made.spots)
    assert error is None
    assert "no noise" in note


def test_too_few_spots_and_too_dense_ones_are_said():
    made = scene(Optics(photons=500), n_frames=1)
    error, note = static_error(made.movie, made.parameters, made.spots[:10])
    assert error is None
    assert "only 10 spots" in note
    crowd = pd.DataFrame(
        [(0, y, x, 500.0) for y in range(5, SIDE - 5, 9) for x in range(5, SIDE - 5, 9)],
        columns=["frame", "y", "x", "mass"],
    )
    assert static_error(made.movie, made.parameters, crowd)[0] is None
    empty = made.spots[:0]
    assert "only 0 spots" in static_error(made.movie, made.parameters, empty)[1]


def test_spots_that_are_noise_have_none():
    rng = np.random.default_rng(0)
    movie = Movie([rng.normal(100, 5, (SIDE, SIDE)) for _ in range(3)])
    parameters = Parameters(7, 10.0, 5.0, 0, False, 0.0, False)
    places = rng.uniform(20, SIDE - 20, (60, 2))
    spots = pd.DataFrame({"frame": 0, "y": places[:, 0], "x": places[:, 1], "mass": 50.0})
    error, note = static_error(movie, parameters, spots)
    # places drawn at random show no spot: whatever is said is that it is not known, or poor
    assert error is None or np.median(error) > 0.3
    assert note


@pytest.mark.parametrize("shape", [(12, 200), (8, 8), (16, 16)])
def test_frames_smaller_than_the_cells_say_so(shape):
    movie = Movie([np.random.default_rng(0).normal(size=shape)] * 2)
    spots = pd.DataFrame({"frame": [0] * 40, "y": 4.0, "x": 4.0, "mass": 1.0})
    parameters = Parameters(7, 1.0, 5.0, 0, False, 0.0, False)
    assert static_error(movie, parameters, spots)[0] is None


def test_large_spots_take_no_more_memory_than_small_ones():
    made = scene(Optics(spot_sigma_px=4.0, photons=20_000), spacing=56, n_frames=6)
    assert made.parameters.diameter == 17
    settings = {"max_cell_pixels": 1 << 16, "min_spots": 20, "min_copies": 20}
    assert made.measured(**settings) == pytest.approx(made.rms(), rel=0.25)
