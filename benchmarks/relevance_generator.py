"""Samples and training time of the generator with and without the mask (shows 3 and 5 of issue 6).

    python benchmarks/relevance_generator.py --tiny --out /tmp/gen        # 60 s on a CPU
    python benchmarks/relevance_generator.py --out $OUT --seconds 280     # 9 minutes on one GPU

One call simulates tension movies, fits the relevance model, trains `w`, `eps-mask` and `plain` side
by side for as many seconds, samples them and writes results.json, history.csv, samples-*.npz and
sheet-*.png into --out. Checkpoints are in --work; the same call again goes on from them, for as
many seconds more. Times are of training steps alone, with all jobs sharing the GPU: compare them
with one another; --one-by-one trains them in turn, each with a share of the seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import torch
from relevance_samples import look, of_the_head, reference, sampled

from spt_explain.training.loop import restore, run
from spt_explain.xddpm.fit import fit
from spt_explain.xddpm.generator.recipe import GeneratorRecipe
from spt_explain.xddpm.generator.run import GeneratorRun
from spt_explain.xddpm.model import RelevanceModel
from spt_explain.xddpm.recipe import RelevanceRecipe
from spt_explain.xddpm.run import Run
from spt_explain.xddpm.simulate.kinds import simulate
from spt_explain.xddpm.split import split

SAMPLED = {
    "w": (("dpm-solver", 10), ("ddim", 10), ("ddpm", 10)),
    "eps-mask": (("ddpm", 1), ("ddim", 10), ("paper", 1), ("clip", 1)),
    "plain": (("dpm-solver", 10), ("ddim", 10)),
}
"""Samplers by objective, the default first, and the steps of the chain to each of theirs."""
OTHERS, SLOW = 1024, 128
"""Most samples of samplers that are not the default, and of those with more than 100 steps."""
WITHIN = 1.05


def say(*words: object) -> None:
    print(f"[{time.strftime('%H:%M:%S')}]", *words, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="results (small files)")
    parser.add_argument("--work", type=Path, default=Path("/tmp/relevance-generator"))
    parser.add_argument("--objectives", nargs="+", default=["w", "eps-mask", "plain"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=280, help="of training, in this call")
    parser.add_argument("--steps", type=int, help="in all, where it ends before the seconds do")
    parser.add_argument("--minutes", type=float, help="in all calls; otherwise this one is all")
    parser.add_argument("--kind", default="tension")
    parser.add_argument("--signal", default="area")
    parser.add_argument("--clips", type=int, default=2500)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--mask", choices=("model", "truth"), default="model")
    parser.add_argument("--model", type=Path, help="fitted before; of the same signal and size")
    parser.add_argument("--fit-seconds", type=float, default=90)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--multipliers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--output", default="v", help="v or eps: what the U-Net gives")
    parser.add_argument("--timesteps", type=int, default=1000)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--samples", type=int, default=4096, help="of the default sampler")
    parser.add_argument("--samplers", type=int, help="how many of them, the default first")
    parser.add_argument("--measure-every", type=int, default=200)
    parser.add_argument("--looks", type=int, default=8, help="samples drawn while it trains")
    parser.add_argument("--looked", type=int, default=256, help="samples of each look")
    parser.add_argument("--speed", default="auto", help="auto, eager, graphs, compile")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--one-by-one", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="60 s on a CPU")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.minutes = options.minutes or options.seconds / 60
    if options.tiny:
        options.clips, options.frames, options.size = 160, 4, 16
        options.width, options.multipliers, options.batch = 8, [1, 2], 16
        options.seconds, options.minutes, options.fit_seconds = 8, 8 / 60, 12
        options.timesteps = 50
        options.samples, options.measure_every, options.mask = 8, 10, "truth"
        options.looks, options.looked = 2, 8
    return options


def prepare(options: argparse.Namespace) -> None:
    """Simulate and fit, unless that was done."""
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "data.npz").exists():
        started = time.monotonic()
        made = {}
        for part, seed in (("train", 1), ("test", 2)):
            found = simulate(
                options.kind,
                options.clips,
                frames=options.frames,
                size=options.size,
                seed=seed,
                device=options.device,
            )
            made[f"{part}_clips"] = found.clips
            made[f"{part}_signal"] = found.signals[options.signal]
            made[f"{part}_truth"] = np.packbits(found.truth[options.signal])
        np.savez(work / "data.part.npz", **made)
        (work / "data.part.npz").replace(work / "data.npz")
        say(f"simulated {options.clips} movies in {time.monotonic() - started:.0f} s")
    if options.model is not None or (work / "model" / "relevance.json").exists():
        return
    data = np.load(work / "data.npz")
    signal = data["train_signal"]
    recipe = RelevanceRecipe.of(
        {
            "data": {"per": "frame" if signal.ndim == 2 else "clip"},
            "schedule": {"minutes": options.fit_seconds / 60},
        },
        "benchmark",
    )
    names = [str(i) for i in range(len(signal))]
    if options.tiny:
        unfitted(Run(data["train_clips"], signal, names, recipe, (options.signal,), "cpu")).save(
            work / "model"
        )
        return
    model = fit(
        data["train_clips"],
        signal,
        names,
        recipe,
        names=(options.signal,),
        device=options.device,
        report=lambda p: say(f"{p.stage} {p.step}/{p.total} loss {p.loss:.4f} M {p.mask:.3f}"),
        report_every_s=15,
    )
    assert model is not None
    model.save(work / "model")
    assert model.fitted is not None
    say(f"model: R² {model.fitted.r2:.3f}, mean M {model.fitted.mean_mask:.3f}")
    model.save(options.out / "model", overwrite=True)


def unfitted(run: Run) -> RelevanceModel:
    """Return a model with random parameters: what --tiny goes through with."""
    return RelevanceModel(
        run.regressor, run.masker, run.bottleneck, run.scale, run.signal, run.frames, run.size
    )


def loaded(options: argparse.Namespace) -> tuple[RelevanceModel, dict[str, np.ndarray]]:
    model = RelevanceModel.load(options.model or options.work / "model", device=options.device)
    with np.load(options.work / "data.npz") as file:
        data = dict(file)
    for part in ("train", "test"):
        shape = data[f"{part}_clips"].shape
        bits = np.unpackbits(data[f"{part}_truth"], count=int(np.prod(shape)))
        data[f"{part}_truth"] = bits.reshape(shape).astype(np.float32)
    return model, data


def job(options: argparse.Namespace) -> None:
    """Train and sample one generator."""
    objective, _, seed = options.job.rpartition("-")
    model, data = loaded(options)
    masks = data["train_truth"] if options.mask == "truth" else None
    recipe = GeneratorRecipe.of(
        {
            "name": options.job,
            "seed": int(seed),
            "objective": objective,
            "width": options.width,
            "multipliers": tuple(options.multipliers),
            "batch": options.batch,
            "output": options.output,
            "timesteps": options.timesteps,
            "learning_rate": options.learning_rate,
            "precision": options.precision,
            **({"steps": options.steps} if options.steps else {"minutes": options.minutes}),
        },
        "benchmark",
    )
    names = [str(i) for i in range(len(data["train_clips"]))]
    task = GeneratorRun(
        model,
        data["train_clips"],
        recipe,
        options.device,
        names,
        options.speed,
        masks,
        options.measure_every,
    )
    checkpoint = options.work / f"{options.job}.safetensors"
    if checkpoint.exists():
        restore(task, checkpoint)
        say(options.job, f"goes on from step {task.state.step}")
    looks_file = options.work / f"{options.job}.looks.json"
    looks = json.loads(looks_file.read_text()) if looks_file.exists() else []
    first = task.state.elapsed_s
    done = False
    for at in range(options.looks):
        # Looking does not count.
        ends = first + options.seconds * (at + 1) / options.looks
        done = run(
            task,
            checkpoint=checkpoint,
            resume=False,
            stop_after_s=max(ends - task.state.elapsed_s, 1.0),
            report=lambda p: say(
                options.job,
                f"step {p.step} loss {p.loss:.4f} held out {p.held_loss:.4f} relevant "
                f"{p.held_relevant_loss:.4f}",
            ),
            report_every_s=30.0,
            save_every_s=120.0,
        )
        if not done:
            task.measure()
        if objective != "eps-mask":
            looked = look(options, task.generator(), model, data)
            say(options.job, "look:", {key: round(value, 3) for key, value in looked.items()})
            looks.append({"step": task.state.step, "seconds": task.state.elapsed_s, **looked})
            looks_file.write_text(json.dumps(looks))
        if done:
            break
    state = task.state
    say(
        options.job,
        f"{state.step} steps, {state.elapsed_s:.0f} s, {1e3 * state.elapsed_s / state.step:.1f} "
        f"ms a step ({task.how})",
    )
    result = {
        "job": options.job,
        "objective": objective,
        "seed": int(seed),
        "steps": state.step,
        "seconds": state.elapsed_s,
        "how": task.how,
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "parameters": sum(p.numel() for p in task.parameters),
        "recipe": task.recipe.model_dump(mode="json"),
        "history": state.history,
        "looks": looks,
        "samplers": {},
    }
    path = options.work / f"{options.job}.json"
    path.write_text(json.dumps(result))
    generator = task.generator()
    del task
    held = split(names, recipe.validation, seed=recipe.seed)
    train = data["train_clips"][held.train]
    result["reference"] = reference(model, data)
    test_masks = model.maps(data["test_clips"]).contribution
    if objective == "w":
        result["head"] = of_the_head(generator, model, data["test_clips"], test_masks)
        head = result["head"]
        say(options.job, f"of its masks: W1 {head['w1']:.3f}, mean {head['samples_mean']:.2f}")
    for i, (sampler, stride) in enumerate(SAMPLED[objective][: options.samplers]):
        steps = options.timesteps // stride
        most = SLOW if steps > 100 else OTHERS if i else options.samples
        started = time.monotonic()
        try:
            result["samplers"][f"{sampler}-{steps}"] = sampled(
                options,
                generator,
                model,
                data["test_clips"],
                data["test_truth"] if options.mask == "truth" else test_masks,
                train,
                sampler,
                steps,
                min(options.samples, most),
            )
        except Exception as error:  # the others are still of use
            traceback.print_exc()
            result["samplers"][f"{sampler}-{steps}"] = {"error": str(error)}
        path.write_text(json.dumps(result))
        say(options.job, sampler, steps, f"sampled in {time.monotonic() - started:.0f} s")


def first_below(history: list[list[float]], limit: float) -> tuple[float, float] | None:
    """Return step and seconds at which the relevant pixels' loss first was at the limit."""
    for step, seconds, _, relevant in history:
        if relevant <= limit:
            return step, seconds
    return None


def plain_numbers(value: object) -> object:
    """Return it with None for what is not finite."""
    if isinstance(value, dict):
        return {key: plain_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_numbers(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def gather(options: argparse.Namespace, jobs: list[str], *, quiet: bool = True) -> None:
    """Bring the results of all jobs together."""
    out = options.out
    results = []
    for name in jobs:
        path = options.work / f"{name}.json"
        try:
            results.append(json.loads(path.read_text()))
        except (OSError, ValueError):  # not there, or half written
            continue
    final = {r["job"]: float(np.mean([row[3] for row in r["history"][-3:]])) for r in results}
    lines = ["job,step,seconds,loss,relevant_loss"]
    for r in results:
        name = r["job"]
        r["final_relevant_loss"] = final[name]
        r["to_own_final"] = first_below(r["history"], WITHIN * final[name])
        plain = final.get(f"plain-{r['seed']}")
        if plain is not None:
            r["to_plain_final"] = first_below(r["history"], WITHIN * plain)
        lines += [f"{name},{','.join(f'{value:.6g}' for value in row)}" for row in r["history"]]
        if quiet:
            continue
        say(
            name,
            f"{r['steps']} steps {r['seconds']:.0f} s, final relevant loss {final[name]:.5f}, to "
            f"{WITHIN} x own: {r['to_own_final']}, of plain's: {r.get('to_plain_final')}",
        )
        for sampler, q in r["samplers"].items():
            if "error" in q:
                say("   ", sampler, "FAILED", q["error"])
                continue
            noise, near = q["noise"], q["neighbours"]
            say(
                f"    {sampler}: irrelevant std {noise['std']:.4f} (expected "
                f"{q.get('expected_std', float('nan')):.4f}) KS {noise['ks']:.4f} share "
                f"{noise['share']:.2f}; W1 signal {q['signal']['w1']:.3f}, relevant pixels "
                f"{q['relevant_pixels']['w1']:.3f} ({q['relevant_pixels']['samples_mean']:.0f} "
                f"against {q['relevant_pixels']['data_mean']:.0f}), bright "
                f"{q['bright_relevant_pixels']['w1']:.3f}; nearest {near['ratio']:.2f} x, copies "
                f"{near['copies']:.3f}; {q['seconds']:.0f} s for {q['samples']}"
            )
    (out / "results.json").write_text(json.dumps(plain_numbers(results), indent=1))
    (out / "history.csv").write_text("\n".join(lines) + "\n")
    # What comes back is few files: samples and pictures travel together.
    import zipfile

    with zipfile.ZipFile(out / "samples.zip", "w") as archive:
        for path in sorted([*options.work.glob("samples-*"), *options.work.glob("sheet-*")]):
            archive.write(path, path.name)


def main() -> None:
    options = arguments()
    if options.job:
        job(options)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    prepare(options)
    jobs = [f"{objective}-{seed}" for seed in options.seeds for objective in options.objectives]
    together = 1 if options.one_by_one else len(jobs)
    seconds = options.seconds * together / len(jobs)
    threads = str(1 if options.tiny else max(1, (os.cpu_count() or 1) // together))
    passed = [a for a in sys.argv[1:] if a != "--one-by-one"]
    if not options.tiny:
        passed += ["--seconds", str(seconds)]
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    waiting = list(jobs)
    while waiting:
        now, waiting = waiting[:together], waiting[together:]
        running = [
            subprocess.Popen([sys.executable, __file__, *passed, "--job", name], env=environment)
            for name in now
        ]
        written = ""
        while any(process.poll() is None for process in running):
            time.sleep(2)
            stamps = str([p.stat().st_mtime_ns for p in options.work.glob("*.json")])
            if stamps != written:
                gather(options, jobs)  # what is there comes back even if this call is cut
                written = stamps
        codes = [process.wait() for process in running]
        if any(codes):
            say("failed:", [name for name, code in zip(now, codes, strict=True) if code])
        gather(options, jobs, quiet=bool(waiting))
    say(f"all in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
