import io

import pytest
from rich.console import Console

from spt_explain.batch import FileResult
from spt_explain.cli.classify import _print_summary
from spt_explain.errors import SptError
from spt_explain.tracks import QualityPolicy


def _result(name):
    report = {
        "rows": 20,
        "tracks": 18,
        "status": {"classified": 15, "undetermined": 2, "too short": 3},
        "classes": {
            "BM": {"count": 9, "median_probability": 0.71},
            "SubFBM": {"count": 6, "median_probability": 0.984},
        },
        "populations": {
            "fractions": {
                "BM": {"fraction": 0.5312, "low": 0.31, "high": 0.72},
                "SubFBM": {"fraction": 0.46, "low": 0.28, "high": 0.66},
                "SupLW": {"fraction": 0.001, "low": 0.0, "high": 0.09},
                "SubCTRW": {"fraction": 0.0078, "low": 0.0, "high": 0.1},
            },
            "n_tracks": 17,
            "note": "only 17 tracks: fractions need 50 or more",
        },
        "policy_counts": {"gaps_filled": 1, "frames_filled": 1, "too_short_tracks": 3},
    }
    return FileResult(name, done=True, report=report)


def _printed(results, width):
    out = io.StringIO()
    _print_summary(Console(file=out, width=width, soft_wrap=True), results, QualityPolicy())
    return out.getvalue()


def test_one_file_has_a_row_for_each_class_and_status():
    lines = _printed([_result("[a].csv")], 100).splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert cells["SubFBM"][:2] == ["6", "0.98"]
    assert cells["BM"][:2] == ["9", "0.71"]
    assert cells["BM"][2:5] == ["53", "%", "(31–72)"]
    assert cells["SubCTRW"] == ["0", "1", "%", "(0–10)"]  # the best class of no track
    assert "SupLW" not in cells
    assert "of 17 tracks" in "".join(lines)
    assert "only 17 tracks" in "".join(lines)
    assert cells["undetermined"] == ["2"]
    assert lines.index(next(x for x in lines if x.startswith("SubFBM"))) < lines.index(
        next(x for x in lines if x.startswith("BM"))
    )
    assert (
        "1 gap of up to 2 frames filled (1 frame); 3 tracks shorter than 10 points left out"
        in lines
    )


@pytest.mark.parametrize("width", [40, 200])
def test_many_files_lose_no_number_on_a_narrow_terminal(width):
    failed = FileResult("bad.csv", error=SptError("no"))
    text = _printed([_result("[a].csv"), _result("b.csv"), failed], width)
    for words in (
        "[a].csv",
        "b.csv",
        "6 (0.98)",
        "9 (0.71)",
        "BM 53 % (31–72)",
        "1 of 3 files failed: bad.csv",
    ):
        assert words in text
    assert "…" not in text
