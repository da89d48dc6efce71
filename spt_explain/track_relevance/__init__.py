"""Tracks instead of movies: ``relevance fit`` and ``relevance explain`` as functions."""

from __future__ import annotations

from spt_explain.track_relevance.explanation import TrackRelevance, explain_track_relevance
from spt_explain.track_relevance.fitting import CHECKPOINT, TrackFit, fit_track_relevance
from spt_explain.track_relevance.inputs import (
    find_tables,
    is_track_model,
    load_model,
    looks_like_tracks,
    split_signal,
)
from spt_explain.track_relevance.words import in_words

__all__ = [
    "CHECKPOINT",
    "TrackFit",
    "TrackRelevance",
    "explain_track_relevance",
    "find_tables",
    "fit_track_relevance",
    "in_words",
    "is_track_model",
    "load_model",
    "looks_like_tracks",
    "split_signal",
]
