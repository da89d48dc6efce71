"""What Bae, Baek & Jeong report of scores and statistics, to be shown beside our own results."""

from __future__ import annotations

FIGURE_7: dict[str, dict[str, float]] = {
    "SubATTM": {"AC": -0.03, "CS": -0.02, "SG": -0.07, "VD": 0.03},
    "SubCTRW": {"AC": -0.36, "CS": -0.01, "SG": 0.35, "VD": -0.18},
    "SubFBM": {"AC": -0.22, "CS": -0.13, "SG": 0.00, "VD": 0.00},
    "SubSBM": {"AC": 0.00, "CS": 0.00, "SG": 0.00, "VD": -0.38},
    "SupFBM": {"AC": 0.37, "CS": 0.18, "SG": 0.00, "VD": 0.00},
    "SupLW": {"AC": 0.00, "CS": 0.00, "SG": -0.03, "VD": -0.02},
    "SupSBM": {"AC": -0.01, "CS": -0.01, "SG": 0.00, "VD": 0.34},
    "BM": {"AC": -0.04, "CS": -0.03, "SG": 0.00, "VD": 0.03},
}
"""Fig. 7: Pearson correlation of the Grad-CAM score with the statistics, test set, length 1000."""

SPEARMAN: dict[str, dict[str, float]] = {"SupLW": {"AC": 0.15, "CS": -0.28}}
"""Rank correlations in the authors' result files where they say something else than Fig. 7.

The text has AC and CS correlated with the score of SupLW, which Fig. 7 doesn't show.
"""

MENTIONED: dict[str, dict[str, int]] = {
    "SubATTM": {"SG": -1},
    "SubCTRW": {"AC": -1, "SG": 1, "VD": -1},
    "SubFBM": {"AC": -1, "CS": -1},
    "SubSBM": {"VD": -1},
    "SupFBM": {"AC": 1, "CS": 1},
    "SupLW": {"AC": 1, "CS": -1},
    "SupSBM": {"VD": 1},
}
"""Signs of the correlations that the text of Sec. IV B speaks of.

That of CS for SupLW follows from "opposite signs" for SupFBM and SupLW.
"""
