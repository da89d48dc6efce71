"""Which pixels carry a signal: models fitted to movies and a signal, and what they say of a movie.

Each function is one command: ``spt-explain relevance fit`` and ``spt-explain relevance explain``.
"""

from __future__ import annotations

from spt_explain.relevance_explanation import Explained, explain_relevance
from spt_explain.relevance_fitting import RelevanceFit, fit_relevance
from spt_explain.report.relevance_files import RelevanceListener, find_recipe
from spt_explain.xddpm.measured import MEASURED

__all__ = [
    "MEASURED",
    "Explained",
    "RelevanceFit",
    "RelevanceListener",
    "explain_relevance",
    "find_recipe",
    "fit_relevance",
]
