"""Tables of what relevance_shows.py found."""

from __future__ import annotations

import base64
import contextlib
import json
import lzma
from typing import TYPE_CHECKING, Any

import numpy as np
from relevance_jobs import AFTER, NATS, VIDEOS_KEPT, XDDPM

if TYPE_CHECKING:
    from pathlib import Path

PACKED = ("iou", "sensitivity_own", "iou_sufficient", "iou_half")
NOT_PACKED = ("sampled", "log", "files")
KINDS = ("tension", "wetting", "two-cells", "some-frames", "spots", "textured")
"""As the tables and the figure have them."""
MEASURES = ("iou", "auprc", "top_iou", "sensitivity_n", "sensitivity_own", "insertion", "deletion")


def is_done(result: dict[str, Any]) -> bool:
    """Return whether a job need not be done again: a fit that is refused is refused again."""
    return "error" not in result or result["error"].startswith("SptError")


def read_results(sources: list[Path]) -> list[dict[str, Any]]:
    """Return the last result of each job: of folders of runs, or of files that `pack` wrote."""
    found: dict[str, dict[str, Any]] = {}
    for source in sources:
        file = source / "results.jsonl" if source.is_dir() else source
        if not file.exists():
            continue
        opened = lzma.open if file.suffix == ".xz" else open
        with opened(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # a last line that was cut
                    one = json.loads(line)
                    if "error" not in one or one["job"]["id"] not in found:
                        found[one["job"]["id"]] = one
    return sorted(
        found.values(), key=lambda one: place(one["job"].get("kind"), one["job"].get("signal"))
    )


def place(kind: str | None, signal: str | None) -> tuple[int, str]:
    """Return where the rows of movies and a signal stand among others."""
    return KINDS.index(kind) if kind in KINDS else len(KINDS), signal or ""


def pack(sources: list[Path], path: Path) -> None:
    """Write what the page's tables are made of, and no more, so that runs can be added to it."""
    lines = []
    for result in read_results(sources):
        if "error" in result:
            continue
        kept = {k: v for k, v in result.items() if k not in NOT_PACKED}
        kept["measured"] = {
            name: one | {"of_videos": {k: one["of_videos"].get(k) for k in PACKED}}
            for name, one in result.get("measured", {}).items()
        }
        for one in kept["measured"].values():
            one["of_videos"] = {k: v for k, v in one["of_videos"].items() if v is not None}
        lines.append(json.dumps(rounded(kept)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(path, "wt", preset=9, encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print(f"{len(lines)} results in {path}, {path.stat().st_size / 1e3:.0f} kB", flush=True)


def rounded(value: Any) -> Any:
    """Return it with numbers of three digits."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.3g}") if isinstance(value, float) else value


def report(folders: list[Path], folder: Path) -> None:
    """Write shows.csv (all rows), ratios.csv, fits.csv and shows.md."""
    import pandas as pd

    from spt_explain.xddpm.evaluate.intervals import bootstrap_mean
    from spt_explain.xddpm.evaluate.published import TABLE_1, published_table

    folder.mkdir(parents=True, exist_ok=True)
    results = [r for r in read_results(folders) if "error" not in r]
    fits = [r for r in results if r["job"]["type"] == "fit"]
    yardsticks = {
        (r["job"]["kind"], r["job"]["signal"]): r
        for r in results
        if r["job"]["type"] == "yardstick"
    }
    sets: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in fits:
        job = one["job"]
        sets.setdefault((job["kind"], job["signal"], job["variant"]), []).append(one)
    tables, ratios, rows = [], [], []
    for (kind, signal, variant), group in sets.items():
        group.sort(key=lambda one: one["job"]["seed"])
        beside = [yardsticks[kind, signal]] if (kind, signal) in yardsticks else []
        found = compared(group, beside if variant == "default" else [])
        table = found.table
        table.insert(0, "variant", variant)
        table.insert(0, "signal", signal)
        table.insert(0, "movies", kind)
        tables.append(table)
        for measure in ("iou", "auprc", "top_iou", "sensitivity_n", "sensitivity_own"):
            for role in ("baseline", "floor"):
                mine = table.loc[table["role"] == role]
                if measure in mine and mine[measure].notna().any():  # packs lack some
                    best = found.best(role, measure)
                    at = found.ratio(XDDPM, best, measure)
                    ratios.append(
                        {
                            "movies": kind,
                            "signal": signal,
                            "measure": measure,
                            "best": best,
                            "role": role,
                            "ratio": at.mean,
                            "low": at.low,
                            "high": at.high,
                        }
                    )
        stable = stability(group)
        rows += [
            {
                "movies": kind,
                "signal": signal,
                "variant": variant,
                "seed": one["job"]["seed"],
                "r2": one["r2"],
                "shuffled_r2": one["shuffled_r2"],
                "share": one["curve"]["share"],
                "excess": one["excess"],
                **{
                    f"iou_{k}": bootstrap_mean(of(one, f"iou_{k}"), resamples=0).mean
                    for k in ("sufficient", "half")
                },
                **{f"M, {k}": v for k, v in one["mask"].items()},
                **{k: one.get("encoding", {}).get(k) for k in ("r2_map", "r2_masked", "encodes")},
                "seeds_spearman": stable,
                "fit_s": one["parts_s"]["fit"],
                "all_s": one["seconds"],
            }
            for one in group
        ]
    if not tables:
        print("no fit is done", flush=True)
        return
    whole = pd.concat(tables, ignore_index=True)
    whole.to_csv(folder / "shows.csv", index=False, float_format="%.4f")
    kept = pd.DataFrame(ratios)
    kept.to_csv(folder / "ratios.csv", index=False, float_format="%.4f")
    listed = pd.DataFrame(rows)
    listed.to_csv(folder / "fits.csv", index=False, float_format="%.4f")
    paper = published_table().set_index(["movies", "signal", "method"])
    text = ["# Shows of `relevance`", ""]
    for (kind, signal), part in whole[whole["variant"] == "default"].groupby(
        ["movies", "signal"], sort=False
    ):
        told = yardsticks.get((kind, signal))
        text += [f"## {kind}, {signal}", ""]
        if told:
            text += [
                f"Yardstick: R² {told['r2']:.2f}, {told['r2_half']:.2f} with half missing.",
                "",
            ]
        beside = {
            m: paper.loc[(kind, signal, m)] for m in TABLE_1 if (kind, signal, m) in paper.index
        }
        text += markdown(part, beside)
        some = kept[(kept["movies"] == kind) & (kept["signal"] == signal)] if len(kept) else kept
        for row in some.itertuples():
            text.append(
                f"- {row.measure}: {row.ratio:.2f} ({row.low:.2f} to {row.high:.2f}) times that of "
                f"the best {row.role}, {row.best}"
            )
        text.append("")
    mine = whole[whole["method"] == XDDPM]
    several = mine.groupby(["movies", "signal"])["variant"].transform("nunique") > 1
    ablated = mine[several]
    if len(ablated):
        text += ["## Ablations, maps of M", ""]
        for (kind, signal), part in ablated.groupby(["movies", "signal"], sort=False):
            text += [
                f"### {kind}, {signal}",
                "",
                *markdown(part.assign(method=part["variant"]), {}),
            ]
    refused = [r for r in read_results(folders) if "error" in r]
    if refused:
        text += ["## Fits that gave nothing", ""]
        text += [f"- {r['job']['id']}: {r['error'].splitlines()[0]}" for r in refused]
    (folder / "shows.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    (folder / "page.md").write_text("\n".join(page(whole, listed, paper)) + "\n", encoding="utf-8")
    print(f"tables of {len(fits)} fits in {folder}", flush=True)


def page(whole: Any, fits: Any, paper: Any) -> list[str]:
    """Return the short tables of RELEVANCE.md: a row for each set, and one for each ablation."""
    lines = [
        "| movies, signal | seeds | R² | M | information | best of seven | brightness | ratio "
        "| could be | xDDPM, paper |",
        "|" + "---|" * 10,
    ]
    own = [
        "| movies, signal | M | information | best of seven | true map | xDDPM, paper |",
        "|" + "---|" * 6,
    ]
    for (kind, signal), part in whole[whole["variant"] == "default"].groupby(
        ["movies", "signal"], sort=False
    ):
        rows = part.set_index("method")
        mine = fits[(fits["movies"] == kind) & (fits["signal"] == signal)]
        mine = mine[mine["variant"] == "default"]
        best = rows[rows["role"] == "baseline"].nlargest(1, "iou").iloc[0]
        top = max(rows.loc[XDDPM, "iou"], rows.loc[NATS, "iou"])
        key = (kind, signal, XDDPM)
        theirs = paper.loc[key] if key in paper.index else None
        bright = "floor: brightness"
        cells = [
            f"{kind}, {signal}",
            f"{len(mine)}",
            f"{mine['r2'].mean():.2f}",
            between(rows.loc[XDDPM], "iou"),
            between(rows.loc[NATS], "iou"),
            f"{between(best, 'iou')} {best.name.replace(AFTER, '*')}",
            f"{rows.loc[bright, 'iou']:.2f}" if bright in rows.index else "",
            f"{top / best['iou']:.2f}",
            f"{1 / best['iou']:.2f}",
            "" if theirs is None else f"{theirs.iloc[0]:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
        if "sensitivity_own" in rows:
            name = "sensitivity_own"
            first = rows[rows["role"] == "baseline"].nlargest(1, name).iloc[0]
            cells = [
                f"{kind}, {signal}",
                between(rows.loc[XDDPM], name),
                between(rows.loc[NATS], name),
                f"{between(first, name)} {first.name.replace(AFTER, '*')}",
                f"{rows.loc['true map', name]:.2f}" if "true map" in rows.index else "",
                "" if theirs is None else f"{theirs.iloc[1]:.2f}",
            ]
            own.append("| " + " | ".join(cells) + " |")
    text = [
        "## IoU",
        "",
        *lines,
        "",
        "## Sensitivity-n, asked of the model's own regressor",
        "",
        *own,
    ]
    mine = whole[whole["method"] == XDDPM]
    several = mine.groupby(["movies", "signal"])["variant"].transform("nunique") > 1
    for (kind, signal), part in mine[several].groupby(["movies", "signal"], sort=False):
        text += [
            "",
            f"## Ablations: {kind}, {signal}",
            "",
            "| variant | seeds | R² | IoU of M | Sensitivity-n | share that suffices |",
            "|" + "---|" * 6,
        ]
        for row in part.sort_values("iou", ascending=False).to_dict("records"):
            some = fits[(fits["movies"] == kind) & (fits["signal"] == signal)]
            some = some[some["variant"] == row["variant"]]
            cells = [
                row["variant"],
                f"{len(some)}",
                f"{some['r2'].mean():.2f}",
                between(row, "iou"),
                between(row, "sensitivity_own"),
                f"{some['share'].mean():.2f}",
            ]
            text.append("| " + " | ".join(cells) + " |")
    return text


def between(row: Any, measure: str) -> str:
    """Return a mean with its interval."""
    return f"{row[measure]:.2f} ({row[measure + '_low']:.2f} to {row[measure + '_high']:.2f})"


def compared(group: list[dict[str, Any]], beside: list[dict[str, Any]]) -> Any:
    """Return the comparison of a set's seeds, with floors and ceiling beside them."""
    from spt_explain.xddpm.evaluate.overlap import Threshold
    from spt_explain.xddpm.evaluate.table import comparison

    of_videos: dict[str, dict[str, np.ndarray]] = {}
    thresholds, roles = {}, {}
    for part in (group, beside):
        for name in part[0]["measured"] if part else ():
            seeds = [one["measured"][name] for one in part]
            of_videos[name] = {
                measure: np.array([one["of_videos"][measure] for one in seeds], dtype=float)
                for measure in seeds[0]["of_videos"]
                if measure not in ("iou_half", "iou_sufficient")
            }
            thresholds[name] = [
                Threshold(one["tau"], one["scaling"], one["iou_validation"]) for one in seeds
            ]
            roles[name] = part[0]["roles"][name]
    for name, of_one in of_videos.items():
        if name in group[0]["beside"]:
            of_one["sensitivity_own"] = np.array(
                [one["beside"][name] for one in group], dtype=float
            )
    return comparison(of_videos, thresholds, roles)


def of(one: dict[str, Any], measure: str) -> np.ndarray:
    return np.array(one["measured"][XDDPM]["of_videos"][measure], dtype=float)


def stability(group: list[dict[str, Any]]) -> float:
    """Return the mean rank correlation of the maps of a set's seeds."""
    from spt_explain.xddpm.evaluate.stability import seed_stability

    if len(group) < 2 or any("sampled" not in one for one in group):
        return float("nan")
    maps = [
        np.frombuffer(base64.b64decode(one["sampled"]), "<f2").astype(np.float32) for one in group
    ]
    n = min(VIDEOS_KEPT, group[0]["job"]["tested"])
    return seed_stability([m.reshape(n, -1) for m in maps]).mean


def markdown(table: Any, beside: dict[str, Any]) -> list[str]:
    """Return a Markdown table of measures with intervals, the paper's beside them."""
    measures = [m for m in MEASURES if m in table and table[m].notna().any()]
    head = ["method", *measures, *(["IoU, paper", "Sensitivity-n, paper"] if beside else [])]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in table.to_dict("records"):
        cells = [
            f"{row[m]:.3f} ({row[f'{m}_low']:.3f} to {row[f'{m}_high']:.3f})" for m in measures
        ]
        if beside:
            theirs = beside.get(row["method"])
            cells += ["", ""] if theirs is None else [f"{v:.4f}" for v in theirs]
        lines.append("| " + " | ".join([row["method"], *cells]) + " |")
    return [*lines, ""]
