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
    for words in ("[a].csv", "b.csv", "6 (0.98)", "9 (0.71)", "1 of 3 files failed: bad.csv"):
        assert words in text
    assert "…" not in text
