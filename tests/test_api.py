import subprocess
import sys

import numpy as np
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


@pytest.fixture
def brownian(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["particle,frame,x,y"]
    for i, length in enumerate((30, 40, 5)):
        walk = rng.normal(size=(length, 2)).cumsum(axis=0)
        rows += [f"{i},{t},{x:.4f},{y:.4f}" for t, (x, y) in enumerate(walk)]
    path = tmp_path / "b.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


SMALL = {"weights": "resandi-small", "device": "cpu"}


def test_explaining_in_python_and_on_the_command_line_is_the_same(brownian):
    from spt_explain.cli import main

    reasons = spt.explain(brownian, **SMALL, draws=2, share=0.3, method="gradcam", layer="block1")
    with pytest.raises(SystemExit) as left:
        main([
            "explain", str(brownian), "--weights", "resandi-small", "--device", "cpu",
            "--draws", "2", "--share", "0.3", "--method", "gradcam", "--layer", "block1", "-q",
        ])  # fmt: skip
    assert not left.value.code
    folder = brownian.with_name("b.reasons")
    written = pd.read_csv(folder / "frames.csv")
    assert written["score"].to_numpy() == pytest.approx(
        reasons.frames["score"].to_numpy(), abs=1e-5
    )
    checks = pd.read_csv(folder / "tracks.csv")["loss_random"]
    assert checks.to_numpy() == pytest.approx(reasons.tracks["loss_random"].to_numpy(), abs=1e-6)
    assert isinstance(reasons, spt.Reasons)


def test_only_what_the_verdicts_hold_is_explained(brownian):
    tracks = spt.read_tracks(brownian)
    verdicts = spt.classify(tracks, **SMALL)

    def explained(*some, **options):
        reasons = spt.explain(tracks, *some, draws=0, timeline=False, **SMALL, **options)
        return reasons.tracks["particle"].tolist()

    assert explained() == explained(verdicts) == [0, 1]  # the third is too short
    assert explained(verdicts[verdicts["particle"] == 1]) == [1]
    other = verdicts.assign(file="other.csv", particle=77)
    both = pd.concat([other, verdicts[verdicts["particle"] == 0]])
    assert explained(both) == [0]
    assert explained(verdicts, only=[1]) == [1]
    for wrong, words in (
        (verdicts[:0], "no classified track"),
        (verdicts[verdicts["particle"] == 2], "no classified track"),
        (pd.concat([other, other.assign(file="third.csv")]), "no classified track"),
        (other, "no particle 77"),
        (verdicts.drop(columns="particle"), "not what classify returned"),
        ("verdicts.csv", "not what classify returned"),
    ):
        with pytest.raises(spt.SptError, match=words):
            explained(wrong)
    with pytest.raises(spt.SptError, match="particle 5 is not among"):
        explained(verdicts, only=[5])


def test_tables_that_are_not_wanted_are_empty(brownian):
    reasons = spt.explain(brownian, draws=0, statistics=False, timeline=False, **SMALL)
    assert not len(reasons.windows)
    assert not len(reasons.correlations)
    assert not len(reasons.timeline)
    assert len(reasons.frames) == 70


ORDERS = {
    "the function first": "f = spt.explain; import spt_explain.explain.reasons",
    "the package first": "import spt_explain.explain.reasons; f = spt.explain",
    "from the package": "from spt_explain.explain.reasons import ExplainOptions; f = spt.explain",
    "by its name": "from spt_explain import explain as f; from spt_explain.explain import erasure",
    "never the package": "f = spt.explain",
    "again": "import spt_explain.explain, importlib; importlib.reload(spt_explain.explain); "
    "f = spt.explain",
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_the_function_and_the_package_of_one_name(order):
    code = f"""
import spt_explain as spt, inspect
{order}
from spt_explain.explain.reasons import Explainer
import spt_explain.explain.reasons as module
assert module.Explainer is Explainer is spt.explain.reasons.Explainer
assert f is spt.explain
assert list(inspect.signature(f).parameters)[:3] == ["tracks", "verdicts", "policy"]
for call in (f, spt.explain):
    try:
        call("no-such-file.csv", draws=0)
    except spt.SptError as error:
        assert "was not found" in str(error)
    else:
        raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_classify_keeps_columns_on_request(tmp_path):
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(2, 40, 2)).cumsum(axis=1)
    table = pd.DataFrame(
        [(i, f, *steps[i, f], f"cell {i}", f) for f in range(40) for i in (1, 0)],
        columns=["particle", "frame", "x", "y", "cell", "spot"],
    )
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    plain = spt.classify(path)
    kept = spt.classify(path, keep_columns=True)
    assert list(kept) == [*plain, "cell"]
    assert kept["cell"].tolist() == ["cell 0", "cell 1"]
    pd.testing.assert_frame_equal(kept[list(plain)], plain)
    pd.testing.assert_frame_equal(spt.classify(spt.read_tracks(path)), plain)
