"""Figures of what relevance_shows.py kept: a frame of each set, the true pixels, and maps of them.

    python benchmarks/relevance_figures.py OUT [OUT2 …] --folder docs
    python benchmarks/relevance_figures.py OUT --only spots --methods guided-bp smoothgrad

Each OUT holds results.jsonl and files.zip. A row is one set (default recipe, first seed) and the
first test movie; beside xDDPM's two maps stand the baselines that are best by IoU in that set.
"""

from __future__ import annotations

import argparse
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from relevance_jobs import AFTER, NATS, XDDPM
from relevance_tables import place, read_results

BESIDE = 3
"""Baselines in a row."""


def examples(folders: list[Path], only: str) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """Return what was kept of each set: clips, truth and maps, (movies, frames, side, side)."""
    found: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for folder in folders:
        if not (folder / "files.zip").exists():
            continue
        with zipfile.ZipFile(folder / "files.zip") as archive:
            for name in archive.namelist():
                match = re.fullmatch(r"examples/(.+)-([^-]+|msd-d)-default\.npz", name)
                if match and re.search(only, f"{match[1]}/{match[2]}"):
                    with np.load(io.BytesIO(archive.read(name))) as kept:
                        found[match[1], match[2]] = {k: kept[k] for k in kept.files}
    return dict(sorted(found.items(), key=lambda one: place(*one[0])))


def best_baselines(results: list[dict[str, Any]], kind: str, signal: str) -> list[str]:
    """Return baselines by the mean IoU over seeds, best first."""
    means: dict[str, list[float]] = {}
    for one in results:
        job = one["job"]
        mine = (job["kind"], job.get("signal"), job.get("variant")) == (kind, signal, "default")
        if job["type"] != "fit" or not mine or "measured" not in one:
            continue
        for name, told in one["measured"].items():
            if one["roles"][name] == "baseline":
                values = [v for v in told["of_videos"]["iou"] if v is not None]
                means.setdefault(name, []).append(float(np.mean(values)))
    ranked = sorted(means, key=lambda name: -np.mean(means[name]))
    seen, chosen = set(), []
    for name in ranked:
        plain = name.removesuffix(AFTER)
        if plain not in seen:
            seen.add(plain)
            chosen.append(name)
    return chosen


def draw(sets: dict[tuple[str, str], Any], results: list[dict[str, Any]], args: Any) -> Any:
    """Return the figure: a row for each set."""
    from spt_explain.report.placing import contrast, shades
    from spt_explain.report.style import INK, PAGE_MM, new_figure, place_axes

    columns = 4 + BESIDE
    left, above, gap = 24.0, 5.0, 1.5
    side = (PAGE_MM - left - gap * columns) / columns
    row = side + 5.0
    figure = new_figure(PAGE_MM, above + row * len(sets))
    for at, ((kind, signal), kept) in enumerate(sets.items()):
        chosen = args.methods or best_baselines(results, kind, signal)[:BESIDE]
        frame = kept["clips"].shape[1] // 2
        image = kept["clips"][args.movie, frame].astype(np.float32)
        pictures = [
            ("movie", shades(image, contrast(image.ravel(), dark=False), dark=False), "gray"),
            ("true pixels", kept["truth"][args.movie, frame], "gray_r"),
            ("contribution", kept[f"map {XDDPM}"][args.movie, frame], "magma"),
            ("information", kept[f"map {NATS}"][args.movie, frame], "magma"),
        ]
        for name in chosen:
            values = np.abs(kept[f"map {name}"][args.movie, frame].astype(np.float32))
            pictures.append((name.replace(AFTER, "*"), values, "magma"))
        for column, (title, picture, colours) in enumerate(pictures):
            x, y = left + column * (side + gap), above + at * row
            axes = place_axes(figure, x, y, side, side)
            values = np.asarray(picture, np.float32)
            top = 255 if title == "movie" else max(float(np.quantile(values, 0.998)), 1e-6)
            axes.imshow(values, cmap=colours, vmin=0, vmax=top)
            axes.set_axis_off()
            axes.set_title(title, pad=1.5, fontsize=6.5)
        height = above + row * len(sets)
        middle = 1 - (above + at * row + side / 2) / height
        figure.text(
            0.5 / PAGE_MM,
            middle,
            f"{kind}\n{signal}",
            ha="left",
            va="center",
            color=INK,
            fontsize=7,
        )
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", nargs="+", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("docs"))
    parser.add_argument("--name", default="relevance-maps.png")
    parser.add_argument("--only", default="", help="regular expression: KIND/SIGNAL")
    parser.add_argument("--methods", nargs="+", help="baselines to show, instead of the best")
    parser.add_argument("--movie", type=int, default=0, help="which of the movies kept, from 0")
    args = parser.parse_args()
    from spt_explain.report.style import house_style

    sets = examples(args.out, args.only)
    if not sets:
        parser.error("no examples in files.zip of these folders; expected a run of shows 1 or 2")
    args.folder.mkdir(parents=True, exist_ok=True)
    with house_style():
        figure = draw(sets, read_results(args.out), args)
        figure.savefig(args.folder / args.name, dpi=150)
    print(f"→ {args.folder / args.name}: {len(sets)} sets")


if __name__ == "__main__":
    main()
