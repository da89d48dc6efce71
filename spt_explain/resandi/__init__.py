"""The classifier: architecture, inputs, weights, backends, and verdicts on tracks."""

DEFAULT_THRESHOLD = 0.5
"""Probability of the best class below which a track is undetermined."""
