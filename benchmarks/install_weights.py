"""Put trained weights into `weights/`: shards, a card, and their SHA-256 in the manifest.

python benchmarks/install_weights.py recipes/default.toml --shards FOLDER --log FILE \
        --accuracy accuracy.json --version 1.0 --default
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.weights import MANIFEST, file_sha256
from spt_explain.training.recipe import Recipe

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--accuracy", type=Path)
    parser.add_argument("--version", default="1.0")
    parser.add_argument("--trained-on", default="")
    parser.add_argument("--default", action="store_true")
    options = parser.parse_args()
    recipe = Recipe.load(options.recipe)
    WEIGHTS.mkdir(exist_ok=True)
    files = {}
    for path in sorted(options.shards.glob(f"{recipe.name}-*.safetensors")):
        target = WEIGHTS / path.name
        if path.resolve() != target.resolve():
            shutil.copyfile(path, target)
        files[path.name] = file_sha256(target)
    if not files:
        raise SystemExit(f"no shards of {recipe.name} in {options.shards}")
    state = {}
    if options.log:
        for line in options.log.read_text().splitlines():
            entry = json.loads(line)
            if "samples" in entry:
                state = entry
    card = {
        "name": recipe.name,
        "version": options.version,
        "architecture": Architecture(
            inputs=recipe.inputs, width=recipe.width, window=recipe.window
        ).to_dict(),
        "storage": "int8 per output channel, the rest float32",
        "data": "simulated while training (spt_explain.diffusion.simulate), eight classes alike",
        "recipe": {"file": options.recipe.name, **recipe.model_dump()},
        "seed": recipe.seed,
        "trained": {
            "on": options.trained_on,
            "samples": state.get("samples"),
            "steps": state.get("step"),
            "seconds": state.get("elapsed_s"),
        },
        "accuracy": json.loads(options.accuracy.read_text()) if options.accuracy else {},
        "source": "Bae, Baek & Jeong, Exploring how deep learning decodes anomalous diffusion via "
        "Grad-CAM (architecture and protocol)",
        "license": "BSD-3-Clause",
    }
    (WEIGHTS / f"{recipe.name}.json").write_text(
        json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    )
    path = WEIGHTS / MANIFEST
    manifest = json.loads(path.read_text()) if path.exists() else {"default": "", "weights": {}}
    manifest["weights"][recipe.name] = {"card": f"{recipe.name}.json", "files": files}
    if options.default or not manifest["default"]:
        manifest["default"] = recipe.name
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{recipe.name} {options.version}: {', '.join(files)}")


if __name__ == "__main__":
    main()
