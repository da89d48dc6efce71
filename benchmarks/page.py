"""The HTML page of `explain --report` with many tracks: when it is ready, and what a click costs.

    pip install -c constraints.txt ".[test]"     # and Chromium
    python benchmarks/page.py                    # 20,000 tracks of 40 points

Read from the page's own clock, in milliseconds from the start of loading (ready: map, list and
filters work), and from a click to the first figure and to all of the track's figures. Five loads,
twenty clicks; medians and the worst.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from explain_speed import made
from playwright.sync_api import sync_playwright

from spt_explain.explain.options import ExplainOptions
from spt_explain.explain.reasons import Explainer
from spt_explain.report.page import write_page

LOADS, CLICKS = 5, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=20_000)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--weights", default="resandi-small")
    options = parser.parse_args()
    quick = ExplainOptions(method="gradcam", draws=0)
    reasons = Explainer(quick, weights=options.weights).explain(
        made(options.tracks, options.points)
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "page.html"
        started = time.perf_counter()
        write_page(path, reasons, provenance={"program": "spt-explain"})
        seconds, size = time.perf_counter() - started, path.stat().st_size / 1e6
        what = f"{options.tracks:,} tracks of {options.points} points"
        print(f"{what}: {size:.1f} MB in {seconds:.1f} s")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        ready = []
        for _ in range(LOADS):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_selector("body[data-ready]")
            ready.append(page.evaluate("SPT.timing.ready"))
        first, whole = [], []
        for click in range(CLICKS):
            track = click * (options.tracks // CLICKS)
            page.locator("#map").scroll_into_view_if_needed()
            x, y = page.evaluate(f"SPT.map.where({track}, {options.points // 2})")
            page.evaluate("SPT.timing.all = null")
            page.mouse.click(x, y)
            while page.evaluate("SPT.timing.all") is None:  # the page lets no script be made
                page.wait_for_timeout(20)
            first.append(page.evaluate("SPT.timing.first"))
            whole.append(page.evaluate("SPT.timing.all"))
        browser.close()
    for what, values in (("ready", ready), ("click, first", first), ("click, all", whole)):
        print(f"{what}: {statistics.median(values):.0f} ms, at worst {max(values):.0f}")


if __name__ == "__main__":
    main()
