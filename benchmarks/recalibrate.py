"""Re-estimate the batch-normalisation statistics of installed weights, in place.

    python benchmarks/recalibrate.py recipes/published-inputs.toml

Then measure them again (benchmarks/accuracy.py) and install their card anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from spt_explain.resandi.weights import find_weights
from spt_explain.training.export import export
from spt_explain.training.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="folder; by default where they are")
    options = parser.parse_args()
    recipe = Recipe.load(options.recipe)
    weights = find_weights(recipe.name)
    folder = options.output or weights.folder
    for file in export(weights.load(), weights.architecture, recipe, folder):
        print(file)


if __name__ == "__main__":
    main()
