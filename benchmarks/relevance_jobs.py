"""What a worker of relevance_shows.py does: simulate, fit, measure. Not for use by hand."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
import time
import traceback
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

XDDPM, NATS = "xddpm", "xddpm (information)"
AFTER = " (after the mask)"
"""Behind the name of a baseline of the regressor that went along with the mask."""
PIXELS_KEPT, VIDEOS_KEPT, VIDEOS_SHOWN = 1024, 16, 3


def work() -> None:
    """Do the jobs that come as lines, and answer each with a line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints
    import torch

    torch.set_num_threads(int(os.environ.get("SHOWS_THREADS", "1")))
    for line in sys.stdin:
        asked = json.loads(line)
        job, folder = asked["job"], Path(asked["work"])
        started = time.time()
        try:
            told = {"data": do_data, "yardstick": do_yardstick, "fit": do_fit}[job["type"]](
                job, folder, asked["device"]
            )
        except Exception as error:
            traceback.print_exc()
            told = {"error": f"{type(error).__name__}: {error}"}
        told = {"seconds": round(time.time() - started, 2), **told}
        answers.write(json.dumps(told) + "\n")
        answers.flush()


def do_data(job: dict[str, Any], folder: Path, _device: str) -> dict[str, Any]:
    """Simulate the videos of a kind: to fit on, to validate with, to test with, to probe with."""
    from spt_explain.xddpm.simulate import simulate

    n = job["videos"] + 2 * job["tested"] + job["probed"]
    made = simulate(job["kind"], n, frames=job["frames"], size=job["size"], seed=job["data_seed"])
    part = folder / f".{job['kind']}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    np.save(part / "clips.npy", made.clips)
    for name, signal in made.signals.items():
        np.save(part / f"signal-{name}.npy", signal)
        np.save(part / f"truth-{name}.npy", made.truth[name])
    shutil.rmtree(folder / job["kind"], ignore_errors=True)
    part.rename(folder / job["kind"])
    return {"settings": made.settings}


class Data:
    """Videos of a kind and one of its signals."""

    def __init__(self, job: dict[str, Any], folder: Path) -> None:
        here = folder / job["kind"]
        self.clips = np.load(here / "clips.npy", mmap_mode="r")
        self.signal = np.load(here / f"signal-{job['signal']}.npy")
        self.truth = np.load(here / f"truth-{job['signal']}.npy", mmap_mode="r")
        cell = here / "truth-area.npy"  # of the only cell, otherwise Otsu's threshold finds cells
        self.cell = np.load(cell, mmap_mode="r") if job["kind"] in ("tension", "wetting") else None
        self.per = "frame" if self.signal.ndim == 2 else "clip"
        n, m = job["videos"], job["tested"]
        self.train = slice(0, n)
        self.validation, self.test = slice(n, n + m), slice(n + m, n + 2 * m)
        self.probe = slice(n, n + 2 * m + job["probed"])

    def videos(self, x: np.ndarray, part: slice) -> Any:
        """Return scaled clips and truth of a part."""
        from spt_explain.xddpm.evaluate.measure import Videos

        start = self.validation.start
        cell = None if self.cell is None else np.asarray(self.cell[part])
        here = x[part.start - start : part.stop - start]
        return Videos(here, np.asarray(self.truth[part]), cell)


def do_yardstick(job: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """Fit the yardstick, ask it about missing pixels, measure floors and the ceiling."""
    from spt_explain.xddpm.evaluate.floors import CEILING, floors
    from spt_explain.xddpm.evaluate.sensitivity import PAPER_SHARES, SHARES
    from spt_explain.xddpm.evaluate.yardstick import Yardstick, fit_yardstick
    from spt_explain.xddpm.scale import Scale
    from spt_explain.xddpm.signals import Signal

    data = Data(job, folder)
    scale = Scale.fit(np.asarray(data.clips[data.train]))
    signal = Signal.fit(data.signal[data.train], (job["signal"],), per=data.per)  # type: ignore[arg-type]
    targets = signal.encode(data.signal)
    x = scale.apply(np.asarray(data.clips[data.probe]))
    file = folder / "files" / f"yardsticks/{job['kind']}-{job['signal']}.safetensors"
    if file.exists():
        yardstick = Yardstick.of_bytes(file.read_bytes(), device=device)
    else:
        yardstick = fit_yardstick(
            scale.apply(np.asarray(data.clips[data.train])),
            targets[data.train],
            per_frame=data.per == "frame",
            held_out=(x, targets[data.probe]),
            steps=job["steps"],
            device=device,
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(yardstick.to_bytes())
    bench = bench_of(job, data, x, yardstick, PAPER_SHARES if job["all_shares"] else SHARES)
    seen = bench.occlusions
    np.savez(
        folder / job["kind"] / f"seen-{job['signal']}.npz",
        changes=seen.changes,
        shares=seen.shares,
        shape=seen.shape,
        seed=seen.seed,
        scale=(scale.reference, scale.spread),
    )
    maps = {}
    both = [
        floors(v.clips, v.truth, cell=v.cell, seed=at)
        for at, v in enumerate((bench.validation, bench.test))
    ]
    for name in both[0]:
        maps[f"floor: {name}", 0] = both[0][name], both[1][name]
    true = [v.truth.astype(np.float32) for v in (bench.validation, bench.test)]
    maps[CEILING, 0] = true[0], true[1]
    roles = {name: "ceiling" if name == CEILING else "floor" for name, _ in maps}
    return {
        "r2": yardstick.r2,
        "r2_half": yardstick.r2_half,
        "measured": told_of(bench.measure(maps)),
        "roles": roles,
        "files": [str(file.relative_to(folder / "files"))],
    }


def bench_of(job: dict[str, Any], data: Data, x: np.ndarray, yardstick: Any, shares: Any) -> Any:
    from spt_explain.xddpm.evaluate.measure import Bench

    return Bench(
        data.videos(x, data.validation),
        data.videos(x, data.test),
        yardstick.predict,
        shares=shares,
        seed=job["data_seed"],
    )


def do_fit(job: dict[str, Any], folder: Path, device: str) -> dict[str, Any]:
    """Fit a model, and measure its maps and those of the baselines on its regressor."""
    from spt_explain.training.loop import run
    from spt_explain.xddpm.evaluate.baselines import all_baselines
    from spt_explain.xddpm.evaluate.overlap import iou
    from spt_explain.xddpm.evaluate.probes import encoding_check
    from spt_explain.xddpm.evaluate.sensitivity import Occlusions
    from spt_explain.xddpm.evaluate.yardstick import Yardstick
    from spt_explain.xddpm.recipe import RelevanceRecipe
    from spt_explain.xddpm.run import Run
    from spt_explain.xddpm.scale import Scale

    class FirstKept(Run):
        """A fit that keeps the regressor as it was before the mask changed it."""

        def _measure(self) -> None:
            super()._measure()
            if self.state.stage == "regressor":
                self.first = deepcopy(self.regressor).eval()

    data, started = Data(job, folder), time.time()
    values = {**job["recipe"], "data": {**job["recipe"].get("data", {}), "per": data.per}}
    recipe = RelevanceRecipe.of(values, job["id"])
    log: list[Any] = []
    task = FirstKept(
        np.asarray(data.clips[data.train]),
        data.signal[data.train],
        [f"movie-{i:04d}" for i in range(job["videos"])],
        recipe,
        (job["signal"],),
        device,
    )

    def note(p: Any) -> None:
        log.append([p.stage, p.step, num(p.loss), num(p.mask)])

    run(task, report=note, report_every_s=1.0)
    model = task.model()
    seconds = {"fit": time.time() - started}
    own = model.scale.apply(np.asarray(data.clips[data.probe]))
    m = job["tested"]
    maps = model.maps_of_scaled(own)
    found: dict[tuple[str, int], Any] = {
        (XDDPM, 0): (maps.contribution[:m], maps.contribution[m : 2 * m]),
        (NATS, 0): (maps.information[:m], maps.information[m : 2 * m]),
    }
    roles = {XDDPM: "method", NATS: "method"}
    if job["baselines"]:
        asked = {"": task.first}
        if recipe.mask.thaw:
            asked[AFTER] = model.regressor
        for when, regressor in asked.items():
            drawn = all_baselines(regressor, own[: 2 * m], seed=recipe.seed)
            named = {name + when: each for name, each in drawn.items()}
            found |= {(name, 0): (each[:m], each[m:]) for name, each in named.items()}
            roles |= dict.fromkeys(named, "baseline")
    seconds["maps"] = time.time() - started - sum(seconds.values())
    # what measures is the same for all models: yardstick, its scale, its answers
    with np.load(folder / job["kind"] / f"seen-{job['signal']}.npz") as kept:
        x = Scale(*map(float, kept["scale"])).apply(np.asarray(data.clips[data.probe]))
        answers = Occlusions(
            kept["changes"],
            tuple(map(float, kept["shares"])),
            tuple(map(int, kept["shape"])),
            int(kept["seed"]),
        )
    file = folder / "files" / f"yardsticks/{job['kind']}-{job['signal']}.safetensors"
    yardstick = Yardstick.of_bytes(file.read_bytes(), device=device)
    bench = bench_of(job, data, x, yardstick, answers.shares)
    bench.answers = answers
    told = told_of(bench.measure(found))
    truth, tested = bench.test.truth, maps.contribution[m : 2 * m]
    assert model.fitted is not None
    curve = model.fitted.curve
    told[XDDPM]["of_videos"]["iou_sufficient"] = nums(iou(tested >= curve.threshold, truth))
    told[XDDPM]["of_videos"]["iou_half"] = nums(iou(tested >= 0.5, truth))
    beside = own_sensitivity(
        job, model, own[m : 2 * m], bench.test, {k: v[1] for k, v in found.items()}
    )
    for name in told:
        told[name]["of_videos"]["sensitivity_own"] = beside.pop(name)
    seconds["measure"] = time.time() - started - sum(seconds.values())
    result: dict[str, Any] = {
        "measured": told,
        "roles": roles,
        "beside": beside,
        "r2": model.fitted.r2,
        "shuffled_r2": model.fitted.shuffled_r2,
        "train_r2": model.fitted.train_r2,
        "regressor_steps": model.fitted.regressor_steps,
        "curve": curve.to_dict() | {"threshold": curve.threshold, "share": curve.share},
        "excess": curve.excess,
        "mask": where(tested, truth, bench.test.clips),
        "log": log[:: max(1, len(log) // 60)],
    }
    if job["probed"]:
        encoding = encoding_check(
            maps.contribution,
            own,
            model.signal.encode(data.signal[data.probe]),
            0.0,
            truth=np.asarray(data.truth[data.probe]),
            steps=300,
            device=device,
        )
        result["encoding"] = vars(encoding) | {"encodes": encoding.encodes()}
        seconds["encoding"] = time.time() - started - sum(seconds.values())
    result["sampled"] = sampled(tested)
    result["parts_s"] = {k: round(v, 2) for k, v in seconds.items()}
    result["files"] = kept_files(job, folder, model, found, bench)
    return result


def own_sensitivity(
    job: dict[str, Any], model: Any, x: np.ndarray, test: Any, maps: dict[Any, Any]
) -> dict[str, list[float | None]]:
    """Return Sensitivity-n as the paper takes it: asked of the model's own regressor.

    Of the maps by their method's name, and of floors and the ceiling.
    """
    from spt_explain.xddpm.evaluate.floors import CEILING, floors
    from spt_explain.xddpm.evaluate.probes import as_predict
    from spt_explain.xddpm.evaluate.sensitivity import sensitivity_n

    asked = {name: each for (name, _), each in maps.items()}
    asked |= {f"floor: {k}": v for k, v in floors(x, test.truth, cell=test.cell, seed=1).items()}
    asked[CEILING] = test.truth
    found = sensitivity_n(as_predict(model.regressor), x, asked, 0.0, seed=job["data_seed"])
    return {name: nums(each[:, 0]) for name, each in found.items()}


def kept_files(
    job: dict[str, Any], folder: Path, model: Any, found: dict[Any, Any], bench: Any
) -> list[str]:
    """Keep the first seed's maps of some videos, and its model if it is no ablation."""
    if job["seed"]:
        return []
    name = f"{job['kind']}-{job['signal']}-{job['variant']}"
    some = slice(0, VIDEOS_SHOWN)
    arrays = {f"map {k}": np.asarray(v[1][some], np.float16) for (k, _), v in found.items()}
    arrays |= {"clips": bench.test.clips[some].astype(np.float16), "truth": bench.test.truth[some]}
    path = folder / "files" / "examples" / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.linspace(0, arrays["clips"].shape[1] - 1, 3).round().astype(int)
    np.savez_compressed(path, **{k: v[:, frames] for k, v in arrays.items()}, frames=frames)
    kept = [f"examples/{path.name}"]
    if job["variant"] == "default":
        model.save(folder / "files" / "models" / name, overwrite=True)
        here = sorted((folder / "files" / "models" / name).iterdir())
        kept += [f"models/{name}/{file.name}" for file in here]
    return kept


def where(mask: np.ndarray, truth: np.ndarray, x: np.ndarray) -> dict[str, float | None]:
    """Return the mean of M on true pixels, on bright others, and on the rest."""
    bright = (x > 0.25) & ~truth
    parts = {"true": truth, "bright, not true": bright, "rest": ~truth & ~bright}
    return {k: num(float(mask[v].mean())) if v.any() else None for k, v in parts.items()}


def sampled(maps: np.ndarray) -> str:
    """Return some pixels of some videos' maps, the same for all seeds, for their stability."""
    flat = maps[:VIDEOS_KEPT].reshape(len(maps[:VIDEOS_KEPT]), -1)
    at = np.random.default_rng(0).permutation(flat.shape[1])[:PIXELS_KEPT]
    return base64.b64encode(flat[:, at].astype("<f2").tobytes()).decode()


def told_of(measured: dict[Any, Any]) -> dict[str, Any]:
    return {
        name: {
            "tau": one.threshold.tau,
            "scaling": one.threshold.scaling,
            "iou_validation": one.threshold.iou,
            "of_videos": {k: nums(v) for k, v in one.of_videos.items()},
        }
        for (name, _), one in measured.items()
    }


def num(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


def nums(values: Any) -> list[float | None]:
    return [num(float(v)) for v in values]


if __name__ == "__main__":
    work()
