"""The trajectory table, its units, and the policy for gaps, branches, duplicates and length."""
from spt_explain.tracks.table import Calibration, Source, Tracks

__all__ = ["Calibration", "Source", "Tracks"]
