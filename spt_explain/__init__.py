"""Why single particles diffuse as they do: mechanism, confidence and reason for each trajectory.

Everything the command line does is a function here, with the same names and defaults::

    import spt_explain as spt

    tracks = spt.read_tracks("tracks.xml")
    verdicts = spt.classify(tracks)
    reasons = spt.explain(tracks, verdicts)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spt_explain.telemetry import disable_telemetry
from spt_explain.version import __version__

disable_telemetry()  # before any library is imported

if TYPE_CHECKING:
    from spt_explain.api import classify, explain, read_tracks, track_movie, track_stack
    from spt_explain.diffusion.population import simulate
    from spt_explain.errors import SptError
    from spt_explain.explain.reasons import Explainer, Reasons
    from spt_explain.movies.settings import TrackingSettings
    from spt_explain.resandi.classifier import Classifier
    from spt_explain.resandi.exchange import export_weights, import_weights
    from spt_explain.resandi.populations import populations
    from spt_explain.resandi.store import install_weights, remove_weights
    from spt_explain.resandi.weights import find_weights, list_weights
    from spt_explain.tracks import Calibration, QualityPolicy, Source, Tracks
    from spt_explain.training.retrain import retrain
    from spt_explain.training.testing import evaluate

__all__ = [
    "Calibration",
    "Classifier",
    "Explainer",
    "QualityPolicy",
    "Reasons",
    "Source",
    "SptError",
    "TrackingSettings",
    "Tracks",
    "__version__",
    "classify",
    "evaluate",
    "explain",
    "export_weights",
    "find_weights",
    "import_weights",
    "install_weights",
    "list_weights",
    "populations",
    "read_tracks",
    "remove_weights",
    "retrain",
    "simulate",
    "track_movie",
    "track_stack",
]

_HOMES = {
    "classify": "spt_explain.api",
    "read_tracks": "spt_explain.api",
    "track_movie": "spt_explain.movies",
    "track_stack": "spt_explain.movies",
    "simulate": "spt_explain.diffusion.population",
    "retrain": "spt_explain.training.retrain",
    "evaluate": "spt_explain.training.testing",
    "populations": "spt_explain.resandi.populations",
    "Classifier": "spt_explain.resandi.classifier",
    "Explainer": "spt_explain.explain.reasons",
    "Reasons": "spt_explain.explain.reasons",
    "SptError": "spt_explain.errors",
    "TrackingSettings": "spt_explain.movies.settings",
    "Calibration": "spt_explain.tracks",
    "QualityPolicy": "spt_explain.tracks",
    "Source": "spt_explain.tracks",
    "Tracks": "spt_explain.tracks",
    "list_weights": "spt_explain.resandi.weights",
    "find_weights": "spt_explain.resandi.weights",
    "install_weights": "spt_explain.resandi.store",
    "remove_weights": "spt_explain.resandi.store",
    "export_weights": "spt_explain.resandi.exchange",
    "import_weights": "spt_explain.resandi.exchange",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package costs nothing."""
    from importlib import import_module

    if name == "explain":
        # the package, which can be called: who imports from it puts it in this place
        return import_module("spt_explain.explain")
    if name not in _HOMES:
        raise AttributeError(f"module 'spt_explain' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
