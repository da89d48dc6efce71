import pandas as pd
import pytest

import spt_explain as spt
from spt_explain.resources import shipped


def test_python_and_command_line_give_the_same(tmp_path):
    from spt_explain.cli import main

    source = shipped("recipes") / "quickstart.csv"
    tracks = spt.read_tracks(source)
    ours = spt.classify(tracks, spt.QualityPolicy(min_length=20))
    out = tmp_path / "v.csv"
    with pytest.raises(SystemExit) as left:
        main(["classify", str(source), "--min-length", "20", "-o", str(out), "--quiet"])
    assert not left.value.code
    written = pd.read_csv(out, keep_default_na=True)
    assert written["class"].fillna("").tolist() == ours["class"].fillna("").tolist()
    assert written["probability"].to_numpy() == pytest.approx(
        ours["probability"].to_numpy(), abs=1e-6, nan_ok=True
    )


def test_quick_start_shows_every_class_and_every_common_status():
    verdicts = spt.classify(shipped("recipes") / "quickstart.csv")
    assert verdicts["class"].nunique() >= 7
    assert {"classified", "immobile", "too short"} <= set(verdicts["status"])
