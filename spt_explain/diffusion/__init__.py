"""The physics: the eight classes of diffusion and their simulators."""

from spt_explain.diffusion.classes import CLASSES, DiffusionClass

__all__ = ["CLASSES", "DiffusionClass"]
