"""What an explanation costs beside a verdict: ratios within one run, by length of the tracks.

    python benchmarks/explain_speed.py                       # on this machine; minutes on two cores
    python benchmarks/explain_speed.py --device cuda --tracks 20000
    python benchmarks/explain_speed.py --passes              # what it asks of the network
    python benchmarks/explain_speed.py --figures             # seconds for each track's figure

For each length, the same tracks are classified and explained in turn, several times; the fastest of
each counts. Explained: by Grad-CAM without a check (`--method gradcam --draws 0`: every column of
the tables but the statistics), the same with the paper's statistics in windows, and as by default
(input x gradient, at most 20 random erasures).

With --passes simulated tracks of all classes are explained once, and what the network does is
counted in frames of padded input: forward passes, and backward ones to the input, each as one.

With --figures the figures of simulated tracks are drawn, by processes that have started already: in
how many seconds one follows another, and the CPU seconds of one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from torch import autograd

from spt_explain.diffusion.population import simulate
from spt_explain.explain.options import ExplainOptions
from spt_explain.explain.reasons import Explainer
from spt_explain.report.figure_processes import Drawing, draw, draw_all
from spt_explain.resandi.backends.onnx import OnnxRunner
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.folded import FoldedNetwork
from spt_explain.threads import core_count
from spt_explain.tracks import Calibration, Source, Tracks


def made(n: int, points: int) -> Tracks:
    """Return `n` tracks of as many points."""
    path = np.random.default_rng(1).normal(size=(n, points, 2)).cumsum(1).reshape(-1, 2)
    table = pd.DataFrame(path, columns=["x", "y"])
    table.insert(0, "frame", np.tile(np.arange(points), n))
    table.insert(0, "particle", np.repeat(np.arange(n), points))
    return Tracks(table, Calibration(), Source("made.csv", "random walks"))


def print_passes(length: tuple[int, int], tracks: int, network: dict[str, Any]) -> None:
    """Print how often the network sees its input for a default explanation and for a verdict."""
    frames = {"forward": 0, "backward": 0}
    explainer = Explainer(statistics=False, timeline=False, **network)
    run, forward, grad = OnnxRunner.run, FoldedNetwork.forward, autograd.grad

    def counted_run(self: Any, inputs: Any, **options: Any) -> Any:
        frames["forward"] += inputs.shape[0] * inputs.shape[2]
        return run(self, inputs, **options)

    def counted_forward(self: Any, x: Any, *options: Any) -> Any:
        frames["forward"] += x.size(0) * x.size(2)
        return forward(self, x, *options)

    def counted_grad(told: Any, at: Any, **options: Any) -> Any:
        frames["backward"] += at.size(0) * at.size(2)
        return grad(told, at, **options)

    data = simulate("all", tracks=tracks, length=length, noise=(0, 1), seed=1)
    explainer.explain(data)  # batches of these shapes are compared with the reference once
    with (
        patch.object(OnnxRunner, "run", counted_run),
        patch.object(FoldedNetwork, "forward", counted_forward),
        patch.object(autograd, "grad", counted_grad),
    ):
        explainer.plain.classify(data)
        verdict = frames["forward"]
        found = explainer.explain(data)
    total = frames["forward"] - verdict + frames["backward"]
    draws = found.tracks["draws"].mean()
    print(
        f"{length[0]:>5}-{length[1]:<5} {tracks} tracks: {total / verdict:5.2f} passes, "
        f"{verdict / total:.3f} of classify's rate; {draws:.1f} draws",
        flush=True,
    )


def print_figures(points: int, tracks: int, network: dict[str, Any]) -> None:
    """Print what the figures of tracks of one length cost."""
    found = Explainer(**network).explain(
        simulate("all", tracks=tracks, length=(points, points), noise=(0, 1), seed=1)
    )
    drawings = []
    for _, track in found.tracks.iterrows():
        own = [
            table[table["particle"] == track["particle"]] if len(table) else table
            for table in (found.frames, found.windows, found.timeline)
        ]
        options = {"unit": found.unit, "frame_interval_s": 0.05, "classes": found.classes}
        drawings.append(Drawing(f"track-{len(drawings)}", track, tuple(own), options))
    with tempfile.TemporaryDirectory() as folder:
        list(draw_all(drawings, len(drawings), Path(folder), ("png",)))  # processes start
        started = time.perf_counter()
        list(draw_all(drawings, len(drawings), Path(folder), ("png",)))
        each = (time.perf_counter() - started) / len(drawings)
        draw(drawings[0], Path(folder), ("png",))
        busy = time.process_time()
        for one in drawings[:10]:
            draw(one, Path(folder), ("png",))
        alone = (time.process_time() - busy) / 10
    print(f"{points:>7} points: {each:.2f} s each by {core_count()} processes, {alone:.2f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--passes", action="store_true", help="count passes only, on the CPU")
    parser.add_argument("--figures", action="store_true", help="time the tracks' figures only")
    parser.add_argument("--points", type=int, nargs="*", default=[20, 50, 100, 200, 500, 1000])
    parser.add_argument("--tracks", type=int, help="of each length; 40,000 points by default")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    network = {
        "weights": options.weights,
        "device": options.device,
        "backend": options.backend,
    }
    classifier = Classifier(**network)
    print(classifier.weights.describe(), "|", classifier.backend.device.description)
    if options.passes:
        for length in ((10, 30), (30, 100), (100, 300), (300, 1000)):
            print_passes(length, 80, {"weights": options.weights, "device": "cpu"})
        return
    if options.figures:
        for points in options.points:
            print_figures(points, options.tracks or 40, {"weights": options.weights})
        return
    quick = ExplainOptions(method="gradcam", draws=0)
    explainers = {
        "gradcam": Explainer(quick, statistics=False, timeline=False, **network),
        "+ statistics": Explainer(quick, timeline=False, **network),
    }
    explainers["default"] = Explainer(**network)
    print(f"{'points':>7} {'tracks':>7} {'classify':>11}", *(f"{k:>14}" for k in explainers))
    for points in options.points:
        n = options.tracks or max(40, 40_000 // points)
        tracks = made(n, points)
        jobs = {"classify": classifier.classify, **{k: v.explain for k, v in explainers.items()}}
        best = dict.fromkeys(jobs, float("inf"))
        for _ in range(options.repeats):
            for name, job in jobs.items():
                started = time.perf_counter()
                job(tracks)
                best[name] = min(best[name], time.perf_counter() - started)
        rate = n / best["classify"]
        shares = [f"{100 * best['classify'] / best[k]:>12.0f} %" for k in explainers]
        print(f"{points:>7} {n:>7} {rate:>9,.0f}/s", *shares, flush=True)
    print("explaining: its throughput in per cent of classify's on the same tracks")


if __name__ == "__main__":
    main()
