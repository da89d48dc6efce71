"""What Bae, Baek & Jeong report, to be shown beside our own results."""

from __future__ import annotations

REFERENCE = "Bae, Baek & Jeong, Exploring how deep learning decodes anomalous diffusion"

NOISE = tuple(round(i / 10, 1) for i in range(11))
"""Levels of Fig. 5, 1/SNR."""

ACCURACY_TARGETED = (0.858, 0.788, 0.765, 0.734, 0.649, 0.494, 0.333, 0.234, 0.186, 0.163, 0.150)
"""Fig. 5: mean of five models whose training set was augmented by Grad-CAM score."""

ACCURACY_RANDOM = (0.857, 0.785, 0.763, 0.722, 0.620, 0.456, 0.304, 0.215, 0.174, 0.155, 0.144)
"""Fig. 5: the same, augmented at random."""

ACCURACY = 0.9036
"""Overall accuracy without noise, lengths 10–1000, of the model trained without augmentation."""
