"""Options that several studies share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from spt_explain.cli.options import (
    figure_options,
    labelled_options,
    network_options,
    number_option,
    quality_options,
    recorded_options,
    saying_options,
    stacked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])

_METHODS = (
    "input-x-gradient, gradcam:block1 … block4, layercam:block1 … block4, integrated-gradients, "
    "occlusion, or all"
)


def source_options(tracks: str, length: str) -> Callable[[F], F]:
    """Add which tracks; the defaults are the study's own."""
    return stacked(
        click.option(
            "--data",
            multiple=True,
            metavar="FILE",
            help="Labelled tracks: any table that classify reads, with a column of class names; or "
            "an .npz of positions, offsets and label. May be given several times; a folder, a glob "
            "or - too. Default: simulated.",
        ),
        labelled_options,
        click.option(
            "--tracks",
            type=int,
            metavar="N",
            help=f"Tracks, the same number of each class. Default: {tracks} simulated ones; all of "
            "--data.",
        ),
        click.option(
            "--noise",
            type=float,
            metavar="LEVEL",
            help="Localisation noise on every position, 1/SNR: its standard deviation in units of "
            "that of one displacement along one axis. Default: none.",
        ),
        click.option(
            "--length",
            metavar="A-B",
            help=f"Points of a simulated track, drawn uniformly. Default: {length}.",
        ),
        click.option(
            "--even-lengths",
            is_flag=True,
            help="Simulate as many tracks in each band of lengths (10-19, 20-49, 50-99, 100-199, "
            "200-399, 400-699, 700-1000 points).",
        ),
        recorded_options,
        number_option(
            "--seed",
            int,
            default=1,
            metavar="N",
            help="Seed of simulation, choice, noise, and whatever else is drawn.",
        ),
        quality_options,
    )


def output_options(function: F) -> F:
    """Add where results go and how much is said."""
    return stacked(
        network_options,
        click.option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for tables, figures and study.json. Default: NAME.study here.",
        ),
        figure_options,
        saying_options("a folder of results that exists"),
    )(function)


def score_options(methods: str, explained: str, of: str) -> Callable[[F], F]:
    """Add whose scores; the defaults are the study's own."""
    return stacked(
        click.option(
            "--method",
            "methods",
            multiple=True,
            metavar="METHOD",
            help=f"Whose scores: {_METHODS}. May be given several times. Default: {methods}.",
        ),
        click.option(
            "--explained",
            type=click.Choice(["true", "predicted"]),
            help="Class that scores are for: the true one (the paper), or the network's verdict, "
            f"as in explain. Default: {explained}.",
        ),
        click.option(
            "--of",
            type=click.Choice(["log-odds", "probability", "logit"]),
            help=f"What scores are of. Default: {of}.",
        ),
    )
