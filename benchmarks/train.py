"""Train a recipe on a GPU in stretches, as the shipped weights were made.

    python benchmarks/train.py recipes/default.toml --checkpoint /tmp/a.ckpt --stretch-s 530 \
        --out $OUT

Run it again with the same checkpoint until it says "finished"; then the weights (int8 per output
channel) are written to --out. `spt-explain retrain` will replace this script.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from spt_explain.training.export import export
from spt_explain.training.loop import train
from spt_explain.training.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--stretch-s", type=float, default=1e9)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pool", type=int)
    parser.add_argument("--batch-size", type=int)
    options = parser.parse_args()
    recipe = Recipe.load(options.recipe)
    changes = {
        k: v for k in ("minutes", "pool", "batch_size") if (v := getattr(options, k)) is not None
    }
    recipe = recipe.model_copy(update=changes)
    options.out.mkdir(parents=True, exist_ok=True)
    log = (options.out / f"{recipe.name}.log").open("a")

    def say(entry: dict[str, object]) -> None:
        line = json.dumps(entry)
        print(line, flush=True)
        print(line, file=log, flush=True)

    network, state = train(
        recipe,
        device=options.device,
        checkpoint=options.checkpoint,
        stop_after_s=options.stretch_s,
        report=say,
    )
    say(state)
    if state["finished"]:
        tensors = {
            k: v.float().cpu().numpy()
            for k, v in network.state_dict().items()
            if not k.endswith("num_batches_tracked")
        }
        files = export(tensors, network.architecture, recipe, options.out, device=options.device)
        say({"finished": True, "files": [f.name for f in files]})


if __name__ == "__main__":
    main()
