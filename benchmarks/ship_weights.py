"""Make one's own weights shipped ones: into `weights/`, with a card, and SHA-256 in the manifest.

spt-explain retrain --recipe default --name robust-next
python benchmarks/accuracy.py --weights robust-next -o accuracy.json
python benchmarks/ship_weights.py robust-next resandi-robust --version 2.0 \
        --accuracy accuracy.json --default
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from spt_explain.resandi.backends import reference
from spt_explain.resandi.backends.trusted import reference_of
from spt_explain.resandi.weights import MANIFEST, file_sha256, find_weights

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
SOURCE = (
    "Bae, Baek & Jeong, Exploring how deep learning decodes anomalous diffusion via Grad-CAM "
    "(architecture and protocol)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("own", help="name of own weights")
    parser.add_argument("name", help="name they ship under")
    parser.add_argument("--version", required=True)
    parser.add_argument("--accuracy", type=Path)
    parser.add_argument("--default", action="store_true")
    options = parser.parse_args()
    weights = find_weights(options.own)
    weights.verify()
    for old in WEIGHTS.glob(f"{options.name}-*.safetensors"):
        old.unlink()
    files = {}
    for index, name in enumerate(weights.files, 1):
        target = WEIGHTS / (f"{options.name}-{index:05d}-of-{len(weights.files):05d}.safetensors")
        shutil.copyfile(weights.folder / name, target)
        target.chmod(0o644)
        files[target.name] = file_sha256(target)
    card = {**weights.card, "name": options.name, "version": options.version}
    if options.accuracy:
        card["accuracy"] = json.loads(options.accuracy.read_text())
    card[reference.KEY] = reference.to_card(reference_of(weights))
    card |= {"source": SOURCE, "license": "BSD-3-Clause"}
    (WEIGHTS / f"{options.name}.json").write_text(
        json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    )
    path = WEIGHTS / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["weights"][options.name] = {"card": f"{options.name}.json", "files": files}
    if options.default:
        manifest["default"] = options.name
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{options.name} {options.version}: {', '.join(files)}")


if __name__ == "__main__":
    main()
