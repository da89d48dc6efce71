"""Simulated movies with known signals and the pixels that carry them."""

from __future__ import annotations

from spt_explain.xddpm.simulate.files import read_labelled, write_labelled
from spt_explain.xddpm.simulate.kinds import KINDS, simulate
from spt_explain.xddpm.simulate.labelled import Labelled

__all__ = ["KINDS", "Labelled", "read_labelled", "simulate", "write_labelled"]
