"""Make a fitted relevance model one that ships: `weights/NAME`, without names of own files.

spt-explain simulate spots --movies 1200 --seed 1 -o spots/
spt-explain relevance fit spots/ --signal spots/signals-per-movie.csv:count --recipe table-1 \\
        --most-clips 1200 -o model/                                    # an hour on one core
python benchmarks/ship_relevance.py model/ spots
spt-explain simulate spots --movies 1 --seed 12 --set mobile=4 --set immobile=4 -o one/
cp one/movie-0000.tif recipes/quickstart-spots.tif
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from spt_explain.xddpm.model import RelevanceModel

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
LOCAL = ("movies", "cwd", "signal", "clips")
"""Of fit.json: names of files that nobody else has."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="what spt-explain relevance fit wrote")
    parser.add_argument("name", help="name it ships under")
    options = parser.parse_args()
    model = RelevanceModel.load(options.model)  # checks the hash
    if model.fitted is None:
        parser.error(f"{options.model} has no sufficiency curve; fit it again")
    model.name = options.name
    folder = WEIGHTS / options.name
    shutil.rmtree(folder, ignore_errors=True)
    model.save(folder)
    made = json.loads((options.model / "fit.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in made.items() if key not in LOCAL}
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    (folder / "fit.json").write_text(text + "\n", encoding="utf-8")
    shutil.copyfile(options.model / "checks.txt", folder / "checks.txt")
    print(f"→ {folder}: {sum(p.stat().st_size for p in folder.iterdir()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
