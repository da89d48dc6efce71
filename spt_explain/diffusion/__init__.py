"""The physics: the eight classes of diffusion and their simulators."""

from spt_explain.diffusion.classes import CLASSES, DiffusionClass

__all__ = ["CLASSES", "DEFAULT_EXPOSURE", "DiffusionClass"]

DEFAULT_EXPOSURE = 1.0
"""Share of the frame that the shutter is open, unless it is given: all of it."""
