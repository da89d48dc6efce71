"""Shows 1, 2 and 4 of `spt-explain relevance`: fits of simulated movies, many side by side.

    python benchmarks/relevance_shows.py run --out OUT --minutes 8.5     # a stretch
    python benchmarks/relevance_shows.py run --out NEW --previous OUT    # the next one
    python benchmarks/relevance_shows.py report OUT --folder tables      # tables of what is there
    python benchmarks/relevance_shows.py run --out OUT --tiny            # a minute on a CPU

Shows: 1, tension and wetting, area and circumference (the paper's Table 1); 2, planted
distractors; 4, the ablations of recipes/relevance/ablations. Each job is simulated data, a
yardstick (the regressor that Sensitivity-n, insertion and deletion ask, with floors and ceiling)
or one fit. After each job its results are added to OUT/results.jsonl and its files to
OUT/files.zip (yardsticks, maps to look at, models of the first seed): a run that is cut loses only
the jobs under way, and the next one, given these two files, goes on. Small networks wait for
kernels to be launched, so a GPU takes about twelve processes at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
import traceback
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from relevance_jobs import XDDPM
from relevance_tables import is_done, pack, read_results, report

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "recipes" / "relevance"
SHOWS = {
    1: {"tension": ("area", "circumference"), "wetting": ("area", "circumference")},
    2: {
        "two-cells": ("area", "circumference", "intensity"),
        "textured": ("area", "circumference"),
        "spots": ("count", "intensity", "msd-d"),
        "some-frames": ("area", "intensity"),
    },
    4: {"tension": ("area", "circumference"), "wetting": ("area", "circumference")},
}


def job_list(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return jobs, those first that a run which is cut should have done."""
    common = {
        k: getattr(args, k)
        for k in ("videos", "tested", "probed", "frames", "size", "data_seed", "all_shares")
    }
    kinds: dict[str, dict[str, None]] = {}
    fits: list[dict[str, Any]] = []
    for show in args.shows:
        variants = [p.stem for p in sorted((RECIPES / "ablations").glob("*.toml"))]
        for seed in range(args.seeds):
            for variant in ["default", *variants] if show == 4 else ["default"]:
                recipe = recipe_of(args, variant, seed)
                if variant != "default" and full(recipe) == full(recipe_of(args, "default", seed)):
                    continue
                for kind, signals in SHOWS[show].items():
                    for signal in signals:
                        kinds.setdefault(kind, {})[signal] = None
                        fits.append(
                            {
                                "id": f"fit/{kind}/{signal}/{variant}/{seed}",
                                "type": "fit",
                                "kind": kind,
                                "signal": signal,
                                "variant": variant,
                                "seed": seed,
                                "needs": [f"yardstick/{kind}/{signal}"],
                                "baselines": variant == "default",
                                "recipe": recipe,
                            }
                        )
    fits = list({job["id"]: job for job in fits}.values())
    # all seeds of shows 1 and 2, then ablations; of these, all variants with a seed, then the next
    fits.sort(key=lambda job: (job["variant"] != "default", job["seed"]))
    jobs: list[dict[str, Any]] = []
    for kind, signals in kinds.items():
        jobs.append({"id": f"data/{kind}", "type": "data", "kind": kind, "needs": []})
        jobs += [
            {
                "id": f"yardstick/{kind}/{signal}",
                "type": "yardstick",
                "kind": kind,
                "signal": signal,
                "needs": [f"data/{kind}"],
                "steps": args.yardstick_steps,
            }
            for signal in signals
        ]
    jobs.sort(key=lambda job: job["type"])
    chosen = [f for f in fits if re.search(args.only, f["id"])] if args.only else fits
    needed = {n for f in chosen for n in f["needs"]}
    needed |= {n for job in jobs if job["id"] in needed for n in job["needs"]}
    return [{**common, **job} for job in [j for j in jobs if j["id"] in needed] + chosen]


def recipe_of(args: argparse.Namespace, variant: str, seed: int) -> dict[str, Any]:
    """Return the recipe's values: the base, the variant's lines, what was set, steps, seed."""
    values = tomllib.loads(Path(args.recipe).read_text()) if args.recipe else {}
    if variant != "default":
        lines = tomllib.loads((RECIPES / "ablations" / f"{variant}.toml").read_text())
        values = merged(values, lines)
    for text in args.set:
        key, _, value = text.partition("=")
        try:
            told = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            told = value
        for part in reversed(key.split(".")):
            told = {part: told}
        # a variant is what it says, whatever is set for all
        values = merged(values, told)
        if variant != "default":
            values = merged(values, lines)
    schedule: dict[str, Any] = {}
    for stage in ("regressor", "mask"):
        if steps := getattr(args, f"{stage}_steps"):
            schedule[f"{stage}_steps"] = steps
    values = merged(values, {"schedule": schedule, "seed": args.first_seed + seed})
    return values | {"name": variant}


def full(values: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe with all its defaults, without its name."""
    from spt_explain.xddpm.recipe import RelevanceRecipe

    return RelevanceRecipe.of(values, "recipe").model_dump() | {"name": ""}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return `one` with the values of `other` in place of its own, at any depth."""
    both = dict(one)
    for key, value in other.items():
        inner = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if inner else value
    return both


class Run:
    """Workers, the jobs that are left, and what has been found."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.out, self.work = Path(args.out), Path(args.work)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.work / "files").mkdir(parents=True, exist_ok=True)
        self.deadline = time.time() + 60 * args.minutes
        self.results = self.out / "results.jsonl"
        self.zip = self.out / "files.zip"
        if args.previous:
            self._take_over(Path(args.previous))
        done = {r["job"]["id"]: r for r in read_results([self.out]) if is_done(r)}
        jobs = job_list(args)
        fits = [job for job in jobs if job["type"] == "fit" and job["id"] not in done]
        fits += [
            job
            for job in jobs
            if job["type"] == "fit"
            and job["id"] in done
            and done[job["id"]]["job"]["recipe"] != job["recipe"]
            and not print(f"again, another recipe: {job['id']}", flush=True)
        ]
        needed = {n for job in fits for n in job["needs"]}
        needed |= {n for job in jobs if job["id"] in needed for n in job["needs"]}
        self.left = [job for job in jobs if job["id"] in needed and not self._is_there(job)] + fits
        self.there = {job["id"] for job in jobs if job["id"] in needed and self._is_there(job)}
        self.failed: set[str] = set()
        # what jobs took before tells whether another one fits in
        self.took: dict[str, list[float]] = {}
        for one in done.values():
            if "seconds" in one and "error" not in one:
                self.took.setdefault(one["job"]["type"], []).append(one["seconds"])
        self.turn = threading.Condition()
        self.count = len(self.left)

    def _take_over(self, previous: Path) -> None:
        if previous.is_file() and not self.results.exists():
            with lzma.open(previous) as packed, self.results.open("wb") as file:
                shutil.copyfileobj(packed, file)
        for name in (self.results.name, self.zip.name):
            if (previous / name).exists() and not (self.out / name).exists():
                shutil.copyfile(previous / name, self.out / name)
        if self.zip.exists():
            with zipfile.ZipFile(self.zip) as archive:
                archive.extractall(self.work / "files")

    def _is_there(self, job: dict[str, Any]) -> bool:
        here = self.work / job["kind"]
        if job["type"] == "data":
            return (here / "clips.npy").exists()
        return (here / f"seen-{job['signal']}.npz").exists()

    def next_job(self) -> dict[str, Any] | None:
        """Wait for a job whose needs are met; None if none can be done any more."""
        with self.turn:
            while True:
                for job in list(self.left):
                    if any(n in self.failed for n in job["needs"]):
                        self.left.remove(job)
                        self.failed.add(job["id"])
                        continue
                    if all(n in self.there for n in job["needs"]) and self._has_time(job):
                        self.left.remove(job)
                        return job
                if time.time() > self.deadline or not any(
                    not any(n in self.failed for n in job["needs"]) for job in self.left
                ):
                    return None
                self.turn.wait(1.0)

    def _has_time(self, job: dict[str, Any]) -> bool:
        """Return whether what is left is as long as the shortest job of its type took."""
        took = self.took.get(job["type"])
        return self.deadline - time.time() > (min(took) if took else 5.0)

    def serve(self, at: int) -> None:
        """Give jobs to one worker after another, which is ended when a job takes too long."""
        worker: subprocess.Popen[str] | None = None
        while (job := self.next_job()) is not None:
            if worker is None or worker.poll() is not None:
                worker = self._begin(at)
            limit = max(min(60 * self.args.job_minutes, self.deadline - time.time()), 1.0)
            timer = threading.Timer(limit, worker.kill)
            timer.start()
            asked = {"job": job, "work": str(self.work), "device": self.args.device}
            line = ""
            with contextlib.suppress(OSError):
                assert worker.stdin is not None
                assert worker.stdout is not None
                worker.stdin.write(json.dumps(asked) + "\n")
                worker.stdin.flush()
                line = worker.stdout.readline()
            timer.cancel()
            if line:
                told = json.loads(line)
            else:
                worker.wait()
                over = time.time() >= self.deadline - 0.5
                told = {"error": "cut" if over else f"ended after at most {limit:.0f} s"}
            self.note(job, told)
        if worker is not None:
            worker.kill()

    def _begin(self, at: int) -> subprocess.Popen[str]:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": python_path()}
        log = (self.work / f"worker-{at}.log").open("a")
        command = [sys.executable, str(ROOT / "benchmarks" / "relevance_jobs.py")]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )

    def note(self, job: dict[str, Any], told: dict[str, Any]) -> None:
        """Write down what a job gave, before anything else."""
        with self.turn:
            cut = told.get("error") == "cut"
            if not cut:
                with self.results.open("a") as file:
                    file.write(json.dumps({"job": job, **told}) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
            if told.get("files"):
                with zipfile.ZipFile(self.zip, "a", zipfile.ZIP_DEFLATED) as archive:
                    have = set(archive.namelist())
                    for name in told["files"]:
                        if name not in have:
                            archive.write(self.work / "files" / name, name)
            if "error" in told:
                self.failed.add(job["id"])
            else:
                self.there.add(job["id"])
                self.took.setdefault(job["type"], []).append(told["seconds"])
            gone = 60 * self.args.minutes - (self.deadline - time.time())
            print(f"{gone:6.1f} s  {job['id']}  {line_of(told)}", flush=True)
            self.turn.notify_all()

    def go(self) -> None:
        """Work until all is done or the time is up, then write the tables."""
        print(f"{self.count} jobs, {self.args.processes} at once, {self.args.device}", flush=True)
        threads = [
            threading.Thread(target=self.serve, args=(at,)) for at in range(self.args.processes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"left undone: {len(self.left)}; failed or cut: {len(self.failed)}", flush=True)
        try:
            report([self.out], self.out)
        except Exception:  # results are written; a table can be made again
            traceback.print_exc()


def line_of(told: dict[str, Any]) -> str:
    if "error" in told:
        return told["error"]
    parts = [f"{told['seconds']:.0f} s"]
    if "measured" in told:
        for name in (XDDPM, "gradient", "floor: brightness", "floor: whole cell", "true map"):
            if name in told["measured"]:
                of = told["measured"][name]["of_videos"]
                means = [
                    f"{k} {np.mean([v for v in of[k] if v is not None]):.2f}"
                    for k in ("iou", "top_iou", "iou_sufficient", "sensitivity_n")
                    if any(v is not None for v in of.get(k, []))
                ]
                parts.append(f"{name}: {', '.join(means)}")
    if "curve" in told:
        parts.append(f"R2 {told['r2']:.2f}, share {told['curve']['share']:.3f}")
    return " | ".join(parts)


def python_path() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="do jobs until the time is up")
    run.add_argument("--out", required=True, help="folder of results; what is there goes on")
    run.add_argument("--previous", help="folder of an earlier stretch's results, or its pack")
    run.add_argument("--work", default="/tmp/relevance-shows", help="simulated movies, logs")
    run.add_argument("--shows", type=int, nargs="+", default=[1, 2, 4], choices=list(SHOWS))
    run.add_argument("--only", help="regular expression: fits whose KIND/SIGNAL/VARIANT/SEED match")
    run.add_argument("--seeds", type=int, default=3)
    run.add_argument("--first-seed", type=int, default=20261122)
    run.add_argument("--minutes", type=float, default=8.5, help="of this stretch")
    run.add_argument("--job-minutes", type=float, default=6.0, help="at most, of one job")
    run.add_argument("--processes", type=int, default=12)
    run.add_argument("--device", default="auto")
    run.add_argument("--videos", type=int, default=2500, help="to fit on")
    run.add_argument("--tested", type=int, default=100, help="to validate, and as many to test")
    run.add_argument("--probed", type=int, default=300, help="more of them for the encoding check")
    run.add_argument("--frames", type=int, default=20)
    run.add_argument("--size", type=int, default=32)
    run.add_argument("--data-seed", type=int, default=7)
    run.add_argument("--all-shares", action="store_true", help="Sensitivity-n of 10 … 90 %%")
    run.add_argument("--yardstick-steps", type=int, default=3000)
    run.add_argument("--recipe", default=str(RECIPES / "table-1.toml"))
    run.add_argument("--regressor-steps", type=int, help="instead of the recipe's")
    run.add_argument("--mask-steps", type=int, help="instead of the recipe's")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    run.add_argument("--tiny", action="store_true", help="a minute on a CPU; figures mean nothing")
    run.add_argument("--list", action="store_true", help="say which jobs there are")
    tables = verbs.add_parser("report", help="tables of what is done")
    tables.add_argument("out", nargs="+", help="folders of results, or what pack wrote")
    tables.add_argument("--folder", required=True)
    packed = verbs.add_parser("pack", help="what the tables need, as one small file")
    packed.add_argument("out", nargs="+")
    packed.add_argument("--to", required=True, help="a file that ends in .jsonl.xz")
    args = parser.parse_args()
    if args.verb == "report":
        report([Path(one) for one in args.out], Path(args.folder))
    elif args.verb == "pack":
        pack([Path(one) for one in args.out], Path(args.to))
    else:
        if args.tiny:
            few = {"videos": 200, "tested": 6, "probed": 0, "frames": 2, "size": 16, "seeds": 2}
            few |= {"yardstick_steps": 10, "regressor_steps": 250, "mask_steps": 20}
            few |= {"processes": 2, "device": "cpu"}
            vars(args).update(few)
            args.set = ["regressor.min_r2=0", *args.set]
            args.only = args.only or "tension/area/(default|minus-I2)"
        if args.device == "auto":
            import torch

            args.device = "cuda" if torch.cuda.is_available() else "cpu"
        if args.list:
            print("\n".join(job["id"] for job in job_list(args)))
            return
        Run(args).go()


if __name__ == "__main__":
    main()
