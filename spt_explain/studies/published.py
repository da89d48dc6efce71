"""What Bae, Baek & Jeong report of their analyses, to be shown beside our own results."""

from __future__ import annotations

DECILES_ERASED = (0.447, 0.427, 0.402, 0.363, 0.315, 0.290, 0.278, 0.264, 0.256, 0.238)
"""Fig. 3: accuracy with each decile of the Grad-CAM score erased, from the lowest to the highest;
lengths 10–1000, no noise."""

RANDOM_ERASED = (0.25, 0.28)
"""The same with as many subintervals erased at random: lowest and highest of ten."""

WINDOW_FRAMES = 225
"""Supplement D: length of the subtrajectory that one score is assigned to."""

SENSITIVITY_THRESHOLD = 0.9
"""Fig. S4: change of a node's output that counts, in the units of the program's network."""

TSNE_TRACKS = 400_000
"""Trajectories in each scatter plot of Fig. 6."""
