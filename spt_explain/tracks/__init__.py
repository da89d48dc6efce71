"""The trajectory table, its units, and the policy for gaps, branches, duplicates and length."""

from typing import TYPE_CHECKING, Any

from spt_explain.tracks.policy import QualityPolicy
from spt_explain.tracks.table import Calibration, Source, Tracks

if TYPE_CHECKING:
    from spt_explain.tracks.quality import Segments, apply_policy, require_some

__all__ = [
    "Calibration",
    "QualityPolicy",
    "Segments",
    "Source",
    "Tracks",
    "apply_policy",
    "require_some",
]

_WITH_NUMPY = ("Segments", "apply_policy", "require_some")


def __getattr__(name: str) -> Any:
    # numpy is half of what `--help` may cost, and the table's types don't need it.
    if name in _WITH_NUMPY:
        from spt_explain.tracks import quality

        return getattr(quality, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
