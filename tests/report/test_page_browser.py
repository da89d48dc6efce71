"""The page in headless Chromium; skipped where there is no browser or no Playwright."""

import shutil
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.report.page import write_page

playwright = pytest.importorskip("playwright.sync_api")
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)

FILES = ["cell.csv", "<img src=x onerror=alert(1)>.csv", "</script><script>alert(2)</script>.csv"]
SHORT = [*FILES[:2], "script>.csv"]
"""Without the folders."""
POINTS = [12, 20, 40, 60]
WIDE, NARROW = (1280, 900), (400, 800)


def make(n=24):
    """Return tracks on a grid: track i has class i % 8, file i % 3 and length POINTS[i % 4]."""
    rng = np.random.default_rng(3)
    tracks, frames, windows = [], [], []
    for i in range(n):
        key = {"file": FILES[i % 3], "particle": 100 + i, "segment": 0}
        points, kind = POINTS[i % 4], CLASS_NAMES[i % 8]
        probability = 0.4 + 0.025 * i
        p = {f"p_{name}": (1 - probability) / 7 for name in CLASS_NAMES}
        p[f"p_{kind}"] = probability
        tracks.append(
            {
                **key, **p, "n_points": points, "first_frame": 5, "last_frame": 4 + points,
                "status": "undetermined" if probability < 0.5 else "classified",
                "reason": "best class below 0.5" if probability < 0.5 else "",
                "class": kind, "runner_up": CLASS_NAMES[(i + 1) % 8], "probability": probability,
                "explained": kind, "against": CLASS_NAMES[(i + 1) % 8], "alpha_msd": 0.9,
                "alpha": np.nan, "D_um2_s": 0.123, "sigma_loc_um": 0.03,
                "method": "gradcam", "layer": "block4", "nodes": points / 4,
                "resolution_frames": 4.0, "loss_top": 0.31, "loss_random": 0.12,
                "loss_random_sd": 0.05, "overlay": i != 1,
                "check": ("passed", "no better than random", "not checked")[i % 3],
                "remark": "One score only." if i == 1 else "",
            }
        )  # fmt: skip
        place = np.array([10 * (i % 6), 10 * (i // 6)])
        path = place + np.cumsum(rng.normal(0, 0.3, (points, 2)), axis=0)
        frames.append(
            pd.DataFrame(
                {**key, "frame": np.arange(5, 5 + points), "x": path[:, 0], "y": path[:, 1],
                 "score": np.sin(np.arange(points) / 4), "score_contrast": 0.1,
                 "node": np.arange(points) // 4}
            )
        )  # fmt: skip
        first = np.arange(5, points - 4)
        windows.append(
            pd.DataFrame(
                {**key, "window": np.arange(len(first)), "first_frame": first,
                 "last_frame": first + 8, "score": np.sin(first),
                 **{name: rng.normal(size=len(first)) for name in ("AC", "CS", "NG", "SG", "VD")}}
            )
        )  # fmt: skip
    frames[2].loc[3:6, ["x", "y", "score"]] = np.nan
    frames[7]["filled"] = np.arange(POINTS[3]) % 10 == 5
    long = {key: tracks[3][key] for key in ("file", "particle", "segment")}
    first = np.arange(5, 45, 5)
    timeline = pd.DataFrame(
        {**long, "window": range(8), "first_frame": first, "last_frame": first + 9,
         "class": ["BM"] * 4 + ["SupLW"] * 4, "change": np.arange(8) == 4,
         "p_BM": np.linspace(1, 0, 8), "p_SupLW": np.linspace(0, 1, 8)}
    )  # fmt: skip
    return SimpleNamespace(
        tracks=pd.DataFrame(tracks),
        frames=pd.concat(frames, ignore_index=True),
        windows=pd.concat(windows, ignore_index=True),
        correlations=pd.DataFrame(),
        timeline=timeline,
        unit="µm",
        frame_interval_s=0.05,
        settings={"method": "auto"},
        classes=CLASS_NAMES,
    )


POPULATIONS = pd.DataFrame(
    {
        "class": CLASS_NAMES,
        "fraction": 0.125,
        "low": 0.1,
        "high": 0.2,
        "n_tracks": 24,
        "note": "only 24 tracks",
    }
)
PROVENANCE = {
    "program": "spt-explain",
    "version": "0.1.0",
    "command": ["spt-explain", "explain", FILES[1]],
    "weights": {"name": "resandi-robust", "version": "2.0", "sha256": "ab" * 32},
    "inputs": [{"path": FILES[1], "length_unit": "um", "length_source": "file"}],
}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        one = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write_page(path, make(), populations=POPULATIONS, provenance=PROVENANCE)


def open_in(browser, path, size=WIDE):
    """Return a page and what it asks for, says and shows but itself, which must be nothing."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    seen = []
    address = path.as_uri()
    page.on("request", lambda one: seen.append(one.url) if one.url != address else None)
    page.route(
        "**/*",
        lambda route: (
            route.continue_()
            if route.request.url.startswith(("file:", "data:", "blob:"))
            else route.abort()
        ),
    )
    page.on("console", lambda one: seen.append(one.text))
    page.on("pageerror", lambda one: seen.append(str(one)))
    page.on("dialog", lambda one: (seen.append(one.message), one.dismiss()))
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    assert page.locator("body").get_attribute("data-ready") == "yes"
    return page, seen


def check_silent(page, seen):
    page.wait_for_timeout(50)
    assert [one for one in seen if not one.startswith(("data:", "blob:"))] == []


@pytest.fixture
def open_page(browser):
    """Open a page; after the test, nothing must have been asked for, said or shown but it."""
    opened = []

    def opening(path, size=WIDE):
        opened.append(open_in(browser, path, size))
        return opened[-1][0]

    yield opening
    for page, seen in opened:
        check_silent(page, seen)
        page.close()


@pytest.fixture(scope="module")
def kept(browser, report):
    return open_in(browser, report)


@pytest.fixture
def page(kept):
    """The report, as it is when it was just opened: it takes more than a second to open it."""
    page, seen = kept
    yield page
    check_silent(page, seen)
    seen.clear()
    page.evaluate(
        """() => {
            document.getElementById("filter-form").reset();
            document.querySelector("#colour-by input[value=class]").click();
            document.getElementById("zoom-all").click();
            document.activeElement.blur();
        }"""
    )
    page.keyboard.press("Escape")
    page.select_option("#sort", "table")
    page.evaluate("document.getElementById('list').scrollTop = 0; window.scrollTo(0, 0)")
    page.evaluate("delete document.body.dataset.shown")
    assert page.inner_text("#detail-title") == "No track chosen"
    playwright.expect(page.locator("#shown")).to_contain_text("All 24")
    assert "SubATTM" in page.inner_text("#legend")


def shown(page):
    """Return how many tracks the page says it shows, which must be as many as in its list."""
    words = page.locator("#shown").inner_text()
    count = int(words.removeprefix("All ").split()[0])
    assert page.evaluate("document.getElementById('rows').offsetHeight / 28") == count
    return count


def choose(page, track):
    """Click a track on the map and wait for its figures."""
    page.locator("#map").scroll_into_view_if_needed()
    x, y = page.evaluate(f"SPT.map.where({track}, 9)")
    page.mouse.click(x, y)
    page.wait_for_selector(f"body[data-shown='{track}']")


def points_of(page, figure):
    """Return how many values plotly has drawn."""
    return page.evaluate(
        f"document.getElementById('{figure}').data.reduce((n, one) => n + one.x.length, 0)"
    )


def test_all_tracks_are_on_the_map(page):
    assert shown(page) == 24
    drawn = page.evaluate(
        "(() => { const c = document.getElementById('canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; const seen = new Set();"
        "for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255)"
        "  seen.add([d[i], d[i + 1], d[i + 2]].join()); return [...seen]; })()"
    )
    for colour in ("230,159,0", "0,114,178", "85,85,85"):  # SubATTM, SubFBM, BM
        assert colour in drawn


def test_a_click_shows_the_track(page):
    choose(page, 4)
    assert page.locator("#detail-title").inner_text() == f"Track 104 · {FILES[1]}"
    assert "SupFBM (superdiffusive fractional Brownian motion), 50 %" in page.inner_text("#verdict")
    check = page.inner_text("#check-words")
    assert check.startswith("Check: no better than random.")
    assert "lowers the probability of SupFBM by 31 percentage points" in check
    assert "at random lowers the probability by 12 percentage points" in check
    assert "Don’t read these scores as reasons." in check
    assert "One score covers about 4 frames: 3 scores along this track" in page.inner_text(
        "#resolution"
    )
    assert "0.123 µm²/s" in page.inner_text("#facts")
    assert "5 to 16 (0.55 s)" in page.inner_text("#facts")
    for figure in ("path", "score", "msd"):
        assert page.locator(f"#{figure} svg.main-svg").first.is_visible()
        assert points_of(page, figure) > 5
    assert page.locator("#probabilities tbody tr").count() == 8
    assert not page.locator("#time-part").is_visible()
    assert page.locator("#rows [aria-selected=true]").get_attribute("data-track") == "4"


def test_a_click_on_nothing_keeps_the_track(page):
    choose(page, 4)
    corner = page.locator("#axes .nsewdrag").bounding_box()
    page.mouse.click(corner["x"] + 2, corner["y"] + 2)
    assert page.evaluate("SPT.map.pick({clientX: 1, clientY: 1})") == -1
    assert "Track 104" in page.inner_text("#detail-title")


def test_scores_that_may_not_be_drawn_are_not(page):
    choose(page, 1)
    assert "scores not drawn" in page.inner_text("#path-title")
    assert page.inner_text("#remark") == "One score only."
    assert not page.locator("#path-legend").is_visible()
    choose(page, 0)
    assert "coloured by the score for SubATTM" in page.inner_text("#path-title")
    assert not page.locator("#remark").is_visible()
    assert "against SubATTM" in page.inner_text("#path-legend")


def test_values_that_are_missing_leave_gaps(page):
    choose(page, 2)
    unknown = page.evaluate(
        "document.getElementById('path').data.find((one) => one.customdata).x"
        ".filter((x) => !Number.isFinite(x)).length"
    )
    assert unknown == 4


def test_the_classes_of_a_long_track_over_time(page):
    choose(page, 3)
    assert "BM to SupLW around frame 27" in page.inner_text("#time-words")
    assert points_of(page, "time") == 16


@pytest.mark.parametrize("track", [3, 7])
def test_displacements_are_those_of_all_measured_positions(page, track):
    rows = make().frames
    rows = rows[(rows["particle"] == 100 + track) & ~rows["filled"].fillna(False).astype(bool)]
    found = dict(page.evaluate(f"SPT.displacements(SPT.frames({track}))"))
    assert {1, 2, 10} <= set(found)
    places = dict(zip(rows["frame"], rows[["x", "y"]].to_numpy(), strict=True))
    for lag, value in found.items():
        pairs = [(at, places[f + lag]) for f, at in places.items() if f + lag in places]
        square = [((to - at) ** 2).sum() for at, to in pairs]
        assert value == pytest.approx(np.mean(square), rel=2e-3)


FILTERS = {
    "class": (lambda p: p.locator("input[name=class][value='0']").uncheck(), 21),
    "status": (lambda p: p.get_by_label("undetermined").uncheck(), 20),
    "check": (lambda p: p.get_by_label("passed").uncheck(), 16),
    "file": (lambda p: p.get_by_label("File").select_option(FILES[1]), 8),
    "least": (lambda p: p.get_by_label("Probability of the class, from").fill("0.9"), 4),
    "most": (lambda p: p.get_by_label("Probability of the class, to").fill("0.4"), 1),
    "longer": (lambda p: p.get_by_label("Length (points), from").fill("21"), 12),
    "shorter": (lambda p: p.get_by_label("Length (points), to").fill("12"), 6),
    "emptied": (lambda p: p.get_by_label("Length (points), to").fill(""), 24),
}


def test_filters(page):
    for name, (change, count) in FILTERS.items():
        change(page)
        assert shown(page) == count, name
        page.get_by_role("button", name="Show all tracks").click()
        playwright.expect(page.locator("#shown")).to_contain_text("All 24")
        assert shown(page) == 24


def test_filters_add_up(page):
    FILTERS["class"][0](page)
    FILTERS["file"][0](page)
    kept = [i for i in range(24) if i % 8 and i % 3 == 1]
    assert shown(page) == len(kept)
    rows = page.locator("#rows .row").all()
    assert [int(row.get_attribute("data-track")) for row in rows] == kept


def test_tracks_that_are_filtered_out_can_not_be_clicked(page):
    x, y = page.evaluate("SPT.map.where(0, 4)")
    assert page.evaluate(f"SPT.map.pick({{clientX: {x}, clientY: {y}}})") == 0
    page.locator("input[name=class][value='0']").uncheck()
    assert page.evaluate(f"SPT.map.pick({{clientX: {x}, clientY: {y}}})") == -1


def test_sorting(page):
    first = page.locator("#rows .row").first
    for order, track in (("sure", "23"), ("doubtful", "0"), ("long", "3"), ("table", "0")):
        page.select_option("#sort", order)
        assert first.get_attribute("data-track") == track


def test_colours_by_score_and_their_legend(page):
    before = page.locator("#canvas").screenshot()
    page.get_by_label("score", exact=True).check()
    assert "against the class" in page.inner_text("#legend")
    page.wait_for_timeout(100)
    assert page.locator("#canvas").screenshot() != before
    page.get_by_label("class", exact=True).check()
    assert "SubATTM" in page.inner_text("#legend")


def test_zoom(page):
    def width():
        return page.evaluate(
            "(([a, b]) => b - a)(document.getElementById('axes')._fullLayout.xaxis.range)"
        )

    whole = width()
    page.click("#zoom-in")
    page.wait_for_function(f"{whole} > 1.2 * (([a, b]) => b - a)(axes._fullLayout.xaxis.range)")
    page.click("#zoom-all")
    page.wait_for_function(
        f"Math.abs({whole} - (([a, b]) => b - a)(axes._fullLayout.xaxis.range)) < 1e-6"
    )
    page.focus("#map")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(100)
    assert width() == pytest.approx(0.7 * whole)
    page.keyboard.press("0")
    page.wait_for_timeout(100)
    assert width() == pytest.approx(whole)


def test_all_by_keyboard(open_page, report):
    page = open_page(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.focus("#list")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.wait_for_selector("body[data-shown='2']")
    assert page.get_attribute("#list", "aria-activedescendant") == "row-2"
    page.keyboard.press("End")
    page.wait_for_selector("body[data-shown='23']")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("body[data-shown='22']")
    assert page.locator("#row-22").is_visible()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "detail-title"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "list"
    page.keyboard.press("Escape")
    assert page.inner_text("#detail-title") == "No track chosen"
    assert page.locator("#rows [aria-selected=true]").count() == 0


def test_every_control_has_a_name(page):
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select, button, [tabindex]')].filter((one) =>"
        " !(one.labels?.length || one.ariaLabel || one.textContent.trim() ||"
        " one.getAttribute('aria-labelledby'))).map((one) => one.outerHTML)"
    )
    assert unnamed == []
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_a_narrow_window(open_page, report):
    page = open_page(report, NARROW)
    page.locator("#filters-fold > summary").click()
    choose(page, 3)
    page.wait_for_timeout(100)
    assert page.evaluate("document.activeElement.id") == "detail-title"
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.wait_for_timeout(50)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
    for part in ("#map", "#list", "#path", "#score", "#time", "#msd", "#populations"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= NARROW[0]


def test_fractions_and_where_it_comes_from(page):
    page.wait_for_selector("#populations .bars")
    bars = page.evaluate("document.getElementById('populations').data[0]")
    assert len(bars["x"]) == 8
    assert bars["error_x"]["array"][0] == pytest.approx(0.075)
    assert bars["error_x"]["arrayminus"][0] == pytest.approx(0.025)
    assert page.inner_text("#populations-note") == "24 tracks counted. Note: only 24 tracks."
    provenance = page.inner_text("#provenance")
    assert "resandi-robust 2.0" in provenance
    assert "ab" * 32 in provenance
    assert "positions in µm (file)" in provenance


def test_names_from_files_are_text(page):
    assert page.locator("img[src=x]").count() == 0
    options = page.locator("#file option").all_inner_texts()
    assert options[1:] == SHORT
    assert FILES[1] in page.inner_text("#provenance")
    choose(page, 2)
    assert FILES[2] in page.inner_text("#facts")


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_no_column_of_the_correlations_is_cut_off(open_page, tmp_path, size):
    reasons = make()
    reasons.correlations = pd.DataFrame(
        [
            {"class": name, "statistic": statistic, "variant": "pooled", "pearson": -0.123,
             "spearman": 0.34, "n_windows": 123_456, "n_tracks": 12_345}
            for name in CLASS_NAMES for statistic in ("AC", "CS", "NG", "SG", "VD")
        ]
    )  # fmt: skip
    page = open_page(write_page(tmp_path / "all.html", reasons), size)
    page.locator("#correlations").evaluate("one => { one.open = true; }")
    room, needed = page.locator("#correlations .scroll").evaluate(
        "one => [one.clientWidth, one.scrollWidth]"
    )
    assert needed <= room
    assert page.get_by_role("columnheader", name="Tracks").is_visible()


def test_a_page_without_tracks_opens(open_page, tmp_path):
    reasons = make()
    empty = pd.DataFrame()
    for name in ("tracks", "frames", "windows", "timeline"):
        setattr(reasons, name, empty)
    page = open_page(write_page(tmp_path / "empty.html", reasons))
    assert shown(page) == 0


def test_a_browser_that_is_too_old_says_so(browser, report):
    page = browser.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(report.as_uri())
    page.wait_for_selector("#trouble:not([hidden])")
    assert "Firefox 113" in page.inner_text("#trouble")
    assert "ab" * 32 in page.inner_text("#provenance")
    page.close()
