"""Scores of labelled tracks by any method, for their true class or the one the network says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.explain.methods import LAYER_METHODS, METHODS, check_method, maps
from spt_explain.explain.scores import Maps, grad_cam_maps, to_frames
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.graph import BLOCKS, NODES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spt_explain.explain.options import Method, ScoreOf
    from spt_explain.explain.scores import FrameScores
    from spt_explain.resandi.classifier import WindowOutputs
    from spt_explain.resandi.judging import Prediction
    from spt_explain.resandi.recording import Recording
    from spt_explain.studies.options import Explained
    from spt_explain.studies.sources import OpenedTracks
    from spt_explain.training.labelled import LabelledTracks

LAST = BLOCKS[-1]
TELLING = 800
"""Tracks that tell noise and blur."""
_LABELS = {
    "input-x-gradient": "input × gradient",
    "gradcam": "Grad-CAM",
    "layercam": "LayerCAM",
    "integrated-gradients": "integrated gradients",
    "occlusion": "occlusion",
}


@dataclass(frozen=True, order=True)
class ScoreMethod:
    """A method, and the layer it looks at.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    layer : str
        ``block1`` … ``block4``; "" for methods on the input.
    """

    method: Method
    layer: str = ""

    @property
    def name(self) -> str:
        """Name in tables and options: ``gradcam:block4``."""
        return f"{self.method}:{self.layer}" if self.layer else self.method

    @property
    def label(self) -> str:
        """Name in figures."""
        layer = f", block {self.layer.removeprefix('block')}" if self.layer else ""
        return f"{_LABELS[self.method]}{layer}"


PAPER_METHOD = ScoreMethod("gradcam", LAST)
ALL_METHODS: tuple[ScoreMethod, ...] = (
    *(ScoreMethod(m, layer) for m in LAYER_METHODS for layer in BLOCKS[::-1]),
    *(ScoreMethod(m) for m in METHODS if m not in LAYER_METHODS),
)


def parse_methods(
    given: Sequence[str | ScoreMethod], default: Sequence[ScoreMethod]
) -> tuple[ScoreMethod, ...]:
    """Turn ``gradcam:block2``, ``gradcam`` (the last block) or ``all`` into methods.

    Raises
    ------
    SptError
        For a method or layer that is not there.
    """
    found: list[ScoreMethod] = []
    for one in given or default:
        if one == "all":
            found += ALL_METHODS
        elif isinstance(one, ScoreMethod):
            found.append(one)
        else:
            method, colon, layer = str(one).strip().partition(":")
            if method in LAYER_METHODS and not colon:
                layer = LAST
            try:
                check_method(method, layer)
            except SptError:
                method = ""
            if not method or (colon and method not in LAYER_METHODS):
                known = ", ".join(one.name for one in ALL_METHODS)
                raise SptError(
                    f"{option('methods', one)} is not there; expected all, or some of: {known}.",
                    option="methods",
                )
            found.append(ScoreMethod(method, layer))  # type: ignore[arg-type]
    return tuple(dict.fromkeys(found))


class Scorer:
    """A network ready to score tracks by any method.

    Parameters
    ----------
    **options
        Of `Classifier`.

    Attributes
    ----------
    recording : Recording or None
        Noise and motion blur that all tracks are judged under; see `settle`.
    """

    def __init__(self, **options: Any) -> None:
        self.classifier = Classifier(**options, taps=(NODES,))
        self.plain = self.classifier.without_taps()
        self.classes = self.classifier.weights.architecture.classes
        self.recording: Recording | None = None

    def settle(self, tracks: OpenedTracks) -> None:
        """Let a sample of all classes tell noise and blur, for networks that ask for them.

        Batches may hold one class each, and a class alone does not tell: SubFBM looks like noise.
        """
        if self.classifier.weights.architecture.n_conditions > 1 and not self.plain.alone:
            sample = tracks.sample(TELLING)
            found = self.plain.predict(sample.positions, sample.offsets)
            self.recording = found.recording

    def examine(self, tracks: LabelledTracks) -> Seen:
        """Classify tracks, and keep what scores need."""
        ran = self.classifier.run(tracks.positions, tracks.offsets)
        return Seen(self, tracks, ran, self.classifier.judge(ran, self.recording))


@dataclass(frozen=True, eq=False)
class Seen:
    """Labelled tracks as a network sees them.

    Attributes
    ----------
    scorer : Scorer
        The network.
    tracks : LabelledTracks
        m tracks of n points in all.
    ran : WindowOutputs
        What it gave.
    prediction : Prediction
        What that means.
    """

    scorer: Scorer
    tracks: LabelledTracks
    ran: WindowOutputs
    prediction: Prediction

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each track, (m,)."""
        return np.asarray(self.prediction.probabilities.argmax(axis=1), np.int64)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether that is the true one, (m,)."""
        return np.asarray(self.predicted == self.tracks.label)

    def target(self, explained: Explained) -> NDArray[np.int64]:
        """Return the class that is explained, (m,)."""
        return self.tracks.label if explained == "true" else self.predicted

    def maps(
        self,
        how: ScoreMethod,
        explained: Explained,
        of: ScoreOf,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Maps]:
        """Return the scores of a layer's nodes, or of the input's frames.

        Parameters
        ----------
        how : ScoreMethod
            By which method.
        explained : {"true", "predicted"}
            For which class.
        of : {"log-odds", "probability", "logit"}
            See `explain.scores.ScoreOf`.
        progress : callable, optional
            Called with windows done and their number.
        """
        target = self.target(explained)
        others = self.prediction.probabilities.copy()
        others[np.arange(len(target)), target] = -1
        against = np.asarray(others.argmax(axis=1), np.int64)
        recording = self.prediction.recording
        if (how.method, how.layer) == ("gradcam", LAST):
            return grad_cam_maps(
                self.scorer.classifier, self.ran, recording, target, against, of=of
            )
        return maps(
            self.scorer.plain,
            self.tracks.positions,
            self.ran,
            recording,
            target,
            against,
            method=how.method,
            layer=how.layer or LAST,
            of=of,
            progress=progress,
        )

    def frames(self, found: list[Maps]) -> FrameScores:
        """Return the score of every frame."""
        return to_frames(found, self.ran, self.tracks.offsets)
