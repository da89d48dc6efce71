import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.report.page import write_page
from spt_explain.report.page.content import short_names

HOSTILE = ["<img src=x onerror=alert(1)>.csv", "</script><script>f()</script>.csv", 'a&b".csv']
PLOTLY = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"
"""SHA-256 of plotly-basic.min.js in npm's plotly.js-basic-dist-min 4.1.1."""


class Page(HTMLParser):
    """Everything of a page that a browser would run, load or read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words = ""
        self.tags: list[str] = []
        self.policy = ""
        self._script: dict[str, str | None] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag == "script":
            self._script = given
            self.scripts.append((given, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.words += data
        else:
            given, text = self.scripts[-1]
            self.scripts[-1] = (given, text + data)

    def data(self, name: str) -> str:
        return next(text for given, text in self.scripts if given.get("id") == name)


def make(n: int = 3, points: int = 12, names: list[str] | None = None) -> Any:
    """Return a small explanation: a random walk a track, some values missing."""
    rng = np.random.default_rng(5)
    names = names or ["cell.csv"]
    keys = [{"file": names[i % len(names)], "particle": 7 + i, "segment": i % 2} for i in range(n)]
    tracks = pd.DataFrame(keys)
    p = rng.dirichlet(np.ones(len(CLASS_NAMES)), n)
    for k, name in enumerate(CLASS_NAMES):
        tracks[f"p_{name}"] = p[:, k]
    best = np.argsort(-p, axis=1)
    tracks["n_points"] = points
    tracks["first_frame"] = 100
    tracks["last_frame"] = 99 + points
    tracks["class"] = np.array(CLASS_NAMES)[best[:, 0]]
    tracks["runner_up"] = np.array(CLASS_NAMES)[best[:, 1]]
    tracks["probability"] = p.max(axis=1)
    tracks["explained"], tracks["against"] = tracks["class"], tracks["runner_up"]
    tracks["status"], tracks["reason"], tracks["check"] = "classified", "", "passed"
    tracks["method"], tracks["layer"], tracks["remark"] = "gradcam", "block4", ""
    tracks["alpha_msd"], tracks["overlay"] = rng.normal(1, 0.2, n), True
    tracks["nodes"], tracks["resolution_frames"] = 2.0, 6.0
    tracks["loss_top"], tracks["loss_random"], tracks["loss_random_sd"] = 0.4, 0.1, 0.02
    frames, windows = [], []
    for i, key in enumerate(keys):
        path = 1e4 + np.cumsum(rng.normal(size=(points, 2)), axis=0)
        frames.append(
            pd.DataFrame(
                {
                    **key,
                    "frame": np.arange(100, 100 + points),
                    "x": path[:, 0],
                    "y": path[:, 1],
                    "score": rng.normal(size=points) * 10.0**-i,
                    "score_contrast": rng.normal(size=points),
                    "node": np.arange(points) // 6,
                }
            )
        )
        window = np.arange(3)
        values = {name: rng.normal(size=3) for name in ("score", "AC", "CS", "NG", "SG", "VD")}
        windows.append(
            pd.DataFrame(
                {
                    **key,
                    "window": window,
                    "first_frame": 100 + window,
                    "last_frame": 108 + window,
                    **values,
                }
            )
        )
    return SimpleNamespace(
        tracks=tracks,
        frames=pd.concat(frames, ignore_index=True),
        windows=pd.concat(windows, ignore_index=True),
        correlations=pd.DataFrame(),
        timeline=pd.DataFrame(),
        unit="pixel",
        frame_interval_s=None,
        settings={"method": "auto"},
        classes=CLASS_NAMES,
    )


@pytest.fixture
def written(unpack):
    """What writes a page, and returns it, its words and its numbers."""

    def write(
        folder: Path, reasons: Any, **options: Any
    ) -> tuple[Page, dict, dict[str, np.ndarray]]:
        path = write_page(folder / "out.html", reasons, overwrite=True, **options)
        page = Page(path.read_text("utf-8"))
        words = json.loads(page.data("words"))
        return page, words, unpack(words["arrays"], page.data("numbers"))

    return write


# ---- numbers


def test_paths_and_scores_are_in_the_page(tmp_path, written):
    reasons = make(3)
    reasons.frames.loc[[4, 20], ["x", "score"]] = np.nan
    shuffled = reasons.frames.sample(frac=1, random_state=1).sort_values("frame", kind="stable")
    expected = reasons.frames
    reasons.frames = shuffled
    _, words, a = written(tmp_path, reasons)
    assert words["n"] == 3
    assert a["frame_count"].tolist() == [12, 12, 12]
    for t in range(3):
        rows = expected.iloc[12 * t : 12 * t + 12]
        at = slice(a["frame_start"][t], a["frame_start"][t] + 12)
        assert a["first"][t] == 100
        for axis in ("x", "y"):
            span = a[f"{axis}_span"][t]
            back = a[f"{axis}_low"][t] + span * a[axis][at] / 65534
            back[a[axis][at] == 65535] = np.nan
            np.testing.assert_allclose(back, rows[axis], rtol=0, atol=span / 65534)
        for name in ("score", "score_contrast"):
            back = (a[name][at] / 32767 - 1) * a[f"{name}_size"][t]
            back[a[name][at] == 65535] = np.nan
            size = rows[name].abs().max()
            np.testing.assert_allclose(back, rows[name], rtol=0, atol=size / 32767)
        steps = reasons.windows["AC"].iloc[3 * t : 3 * t + 3].to_numpy()
        at = slice(a["window_start"][t], a["window_start"][t] + 3)
        back = a["window_AC_low"][t] + a["window_AC_span"][t] * a["window_AC"][at] / 254
        np.testing.assert_allclose(back, steps, atol=np.ptp(steps) / 254)


def test_frames_that_are_missing(tmp_path, written):
    reasons = make(2)
    assert len(written(tmp_path, reasons)[2]["frame"]) == 0  # none
    reasons.frames.loc[14:, "frame"] += 70_000
    _, _, a = written(tmp_path, reasons)
    assert a["frame"].tolist() == [*range(12), 0, 1, *range(70_002, 70_012)]


def test_a_score_of_zero_stays_zero(tmp_path, written):
    reasons = make(2)
    reasons.frames["score"] = np.where(reasons.frames["frame"] % 3 == 0, 0.0, -0.37)
    reasons.frames.loc[reasons.frames["particle"] == 8, "score"] = 0.0
    _, words, a = written(tmp_path, reasons)
    zero = (reasons.frames["score"] == 0).to_numpy()
    assert (a["score"][zero] == 32767).all()
    assert (a["score"][~zero] == 0).all()
    assert words["limit"] == pytest.approx(0.37)


def test_verdicts_are_in_the_page(tmp_path, written):
    reasons = make(4)
    reasons.tracks.loc[2, ["class", "probability", "check"]] = [None, np.nan, "not checked"]
    reasons.tracks["reason"] = pd.Series(["no fit", None, np.nan, ""], dtype=object)
    _, words, a = written(tmp_path, reasons)
    names = [one["name"] for one in words["classes"]]
    assert names == list(CLASS_NAMES)
    assert a["class"][2] == 255
    assert [names[k] for k in a["runner_up"]] == reasons.tracks["runner_up"].tolist()
    np.testing.assert_allclose(a["probability"], reasons.tracks["probability"], rtol=1e-6)
    p = a["p"].reshape(4, 8) / 65534
    np.testing.assert_allclose(p, reasons.tracks[[f"p_{n}" for n in CLASS_NAMES]], atol=1e-5)
    assert [words["words"]["check"][k] for k in a["check"]] == [
        "passed", "passed", "not checked", "passed",
    ]  # fmt: skip
    assert words["words"]["reason"] == ["no fit", ""]
    assert words["unit"] == "pixel"
    assert words["interval"] is None
    assert words["y_down"] is True


def test_timeline_of_a_long_track(tmp_path, written):
    reasons = make(2)
    rows = {"file": "cell.csv", "particle": 8, "segment": 1, "window": [0, 1]}
    shares = {f"p_{name}": [0.0, 1.0] for name in CLASS_NAMES[:1]}
    reasons.timeline = pd.DataFrame(
        {**rows, "first_frame": [100, 103], "last_frame": [106, 109], "class": ["BM", "SubATTM"],
         "change": [False, True], **shares}
    )  # fmt: skip
    _, _, a = written(tmp_path, reasons)
    assert a["time_count"].tolist() == [0, 2]
    assert a["time_first_frame"].tolist() == [0, 3]
    assert a["time_class"].tolist() == [CLASS_NAMES.index("BM"), 0]
    assert a["time_change"].tolist() == [0, 1]
    assert a["time_p"].reshape(2, 8)[:, 0].tolist() == [0, 65534]
    assert (a["time_p"].reshape(2, 8)[:, 1:] == 65535).all()


def test_classes_that_are_not_ours_have_colours_of_their_own(tmp_path, written):
    reasons = make(1)
    reasons.classes = ("BM", "confined", "directed")
    reasons.tracks["class"] = "confined"
    _, words, a = written(tmp_path, reasons)
    known = {one["name"]: one for one in words["classes"]}
    assert known["confined"]["output"]
    assert len({one["colour"] for one in words["classes"][:3]}) == 3
    assert a["class"].tolist() == [1]


# ---- what is missing


def test_a_page_without_a_single_track(tmp_path, written):
    empty = pd.DataFrame()
    reasons = make()
    for name in ("tracks", "frames", "windows"):
        setattr(reasons, name, empty)
    page, words, a = written(tmp_path, reasons)
    assert words["n"] == 0
    assert len(a["x"]) == 0
    assert "No track was explained" in page.words


def test_only_the_names_of_the_tracks(tmp_path, written):
    reasons = make()
    reasons.tracks = reasons.tracks[["file", "particle", "segment"]]
    reasons.frames = reasons.frames[["file", "particle", "segment", "frame"]]
    reasons.windows = pd.DataFrame()
    _, words, a = written(tmp_path, reasons)
    assert words["columns"] == []
    assert words["statistics"] == []
    assert (a["class"] == 255).all()
    assert (a["x"] == 65535).all()
    assert a["frame_count"].tolist() == [12, 12, 12]


def test_rows_of_other_tracks_are_left_out(tmp_path, written):
    reasons = make(3)
    reasons.tracks = reasons.tracks.iloc[[2, 0]]
    reasons.tracks = pd.concat([reasons.tracks, reasons.tracks.iloc[:1]])  # one twice
    _, _, a = written(tmp_path, reasons)
    assert a["frame_count"].tolist() == [12, 12, 0]
    assert len(a["x"]) == 24
    assert a["x_low"][0] == reasons.frames["x"].iloc[24:].min()


@pytest.mark.parametrize("factor", [np.nan, np.inf, 1e300, 0.0])
def test_odd_numbers_give_a_page(tmp_path, written, factor):
    reasons = make()
    for table in (reasons.tracks, reasons.frames, reasons.windows):
        for name in table.columns:
            if table[name].dtype.kind == "f":
                table[name] *= factor
    _, words, a = written(tmp_path, reasons)
    assert np.isfinite(words["limit"])
    assert words["limit"] > 0
    assert len(a["x"]) == 36


def test_particles_may_be_numbers_with_a_point(tmp_path, written):
    reasons = make()
    reasons.tracks["particle"] = reasons.tracks["particle"].astype(float)
    reasons.frames["file"] = reasons.frames["file"].astype("category")
    _, _, a = written(tmp_path, reasons)
    assert a["frame_count"].tolist() == [12, 12, 12]


# ---- text from files


def test_names_from_files_stay_text(tmp_path, written):
    reasons = make(3, names=HOSTILE)
    reasons.tracks["remark"] = "<b>bold</b> <!-- <script>"
    reasons.settings = {"<u>": "<i>"}
    populations = pd.DataFrame(
        {"condition": ["<s>"], "class": ["<a href=x>"], "fraction": [0.5], "low": [0.4],
         "high": [0.6], "n_tracks": [9], "note": ["<hr>"]}
    )  # fmt: skip
    plain = written(tmp_path, make(3))[0]
    page, words, _ = written(
        tmp_path,
        reasons,
        populations=populations,
        provenance={"command": ["spt-explain", HOSTILE[0]], "inputs": [{"path": HOSTILE[1]}]},
        title="<blink>",
    )
    assert words["words"]["file"] == HOSTILE
    assert len(page.scripts) == len(plain.scripts)
    for tag in ("img", "b", "u", "i", "s", "hr", "blink"):
        assert tag not in page.tags
    assert page.words.count("<blink>") == 2  # title and heading
    assert "<img src=x onerror=alert(1)>.csv" in page.words
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_names_that_utf8_can_not_hold(tmp_path, written):
    reasons = make(1)
    for name in ("tracks", "frames", "windows"):
        table = getattr(reasons, name)
        table["file"] = pd.Series(["caf\udce9.csv"] * len(table), dtype=object)
    page, words, a = written(tmp_path, reasons, provenance={"command": ["x", "caf\udce9.csv"]})
    assert words["words"]["file"] == ["caf?.csv"]
    assert a["frame_count"].tolist() == [12]
    assert "caf?.csv" in page.words


def test_files_are_named_without_their_folders_if_that_tells_them_apart():
    assert short_names(["/lab/day1/a.csv", r"C:\\lab\\b.csv", "c.csv", ""]) == [
        "a.csv", "b.csv", "c.csv", "",
    ]  # fmt: skip
    assert short_names(["day1/a.csv", "day2/a.csv"]) == ["day1/a.csv", "day2/a.csv"]


# ---- one file, nothing loaded


def test_the_page_loads_nothing_and_runs_only_its_own_scripts(tmp_path, written):
    page, _, _ = written(tmp_path, make())
    loads = [
        value
        for _, name, value in page.attributes
        if name in ("src", "href", "action", "data", "srcset")
    ]
    assert [value for value in loads if not value.startswith(("#", "data:,"))] == []
    allowed = re.findall(r"'(sha256-[^']+)'", page.policy)
    run = [text for given, text in page.scripts if "type" not in given]
    assert len(run) == len(allowed) > 1
    for text in run:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"sha256-{digest}" in allowed
    assert page.policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in page.policy
    assert "http" not in page.policy


def test_the_plotting_library_is_the_published_one():
    folder = files("spt_explain.report.page").joinpath("vendor")
    code = folder.joinpath("plotly-basic.min.js").read_text("utf-8").encode()
    assert hashlib.sha256(code).hexdigest() == PLOTLY
    assert b"</script" not in code.lower()
    assert b"<!--" not in code
    assert "MIT License" in folder.joinpath("plotly-LICENSE.txt").read_text("utf-8")


def test_the_same_tables_give_the_same_bytes(tmp_path):
    one = write_page(tmp_path / "one.html", make()).read_bytes()
    assert write_page(tmp_path / "two.html", make()).read_bytes() == one


def test_what_exists_is_not_written_over(tmp_path):
    path = tmp_path / "out.html"
    path.write_text("mine")
    with pytest.raises(SptError, match="overwrite=True"):
        write_page(path, make())
    assert path.read_text() == "mine"
    assert write_page(path, make(), overwrite=True) == path
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert [one.name for one in tmp_path.iterdir()] == ["out.html"]


def test_after_a_failure_nothing_is_left(tmp_path, monkeypatch):
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SptError, match="No space left"):
        write_page(tmp_path / "out.html", make())
    assert list(tmp_path.iterdir()) == []


# ---- fractions, correlations, provenance


def test_fractions_are_told_with_their_intervals(tmp_path, written):
    populations = pd.DataFrame(
        {"class": ["BM", "SubFBM"], "fraction": [0.25, np.nan], "low": [0.1, np.nan],
         "high": [0.4, np.nan], "n_tracks": [1234, 1234], "note": ["", ""]}
    )  # fmt: skip
    page, words, _ = written(tmp_path, make(), populations=populations)
    assert words["populations"] == [
        {"name": "", "rows": [["BM", 0.25, 0.1, 0.4], ["SubFBM", None, None, None]],
         "n_tracks": 1234, "note": ""}
    ]  # fmt: skip
    assert "1,234 tracks counted" in page.words
    assert "10.0 % to 40.0 %" in page.words
    assert "not known" in page.words


def test_conditions_are_told_apart(tmp_path, written):
    populations = pd.DataFrame(
        {"drug": ["none", "none", "latrunculin"], "class": ["BM", "SubFBM", "BM"],
         "fraction": [0.5, 0.5, 1.0], "low": [0.4, 0.4, 0.9], "high": [0.6, 0.6, 1.0],
         "n_tracks": [60, 60, 1], "note": ["", "", "only 1 track: fractions need 50 or more"]}
    )  # fmt: skip
    page, words, _ = written(tmp_path, make(), populations=populations)
    assert [one["name"] for one in words["populations"]] == ["none", "latrunculin"]
    assert "latrunculin · 1 track counted · only 1 track" in page.words


def test_correlations_are_told(tmp_path, written):
    reasons = make()
    reasons.correlations = pd.DataFrame(
        {"class": ["SubCTRW"], "statistic": ["AC"], "pearson": [-0.36], "spearman": [np.nan],
         "n_windows": [3200], "n_tracks": [100]}
    )  # fmt: skip
    page, _, _ = written(tmp_path, reasons)
    source = (tmp_path / "out.html").read_text("utf-8")
    assert "<td>AC</td><td>memory from step to step</td>" in source
    assert "−0.36" in page.words
    assert "3,200" in page.words


def test_where_it_comes_from_is_told(tmp_path, written):
    provenance = {
        "program": "spt-explain",
        "version": "0.1.0",
        "command": ["spt-explain", "explain", "my tracks.csv"],
        "weights": {"name": "resandi-robust", "version": "2.0", "sha256": "ab" * 32},
        "inputs": [
            {"path": "/lab/my tracks.csv", "format": "trackpy", "length_unit": "um",
             "length_source": "file", "frame_interval_s": 0.02, "time_source": "option",
             "sha256": "cd" * 32},
            {"path": "b.csv", "length_unit": "px", "frame_interval_s": None},
            "standard input",
        ],
        "nothing": float("nan"),
    }  # fmt: skip
    page, _, _ = written(tmp_path, make(), provenance=provenance)
    for text in (
        "resandi-robust 2.0",
        "ab" * 32,
        "cd" * 32,
        "spt-explain explain 'my tracks.csv'",
        "positions in µm (file)",
        "0.02 s between frames (option)",
        "positions in pixel (source not known)",
        "time between frames not known",
        "standard input",
    ):
        assert text in page.words
    assert (
        "resandi-small"
        in written(tmp_path, make(), provenance={"weights": "resandi-small"})[0].words
    )
