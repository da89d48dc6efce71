"""``spt-explain study``: the analyses of the paper, on simulated or labelled tracks."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from spt_explain.cli.options import GroupedCommand
from spt_explain.cli.study_run import study_options
from spt_explain.studies.options import (
    CorrelationOptions,
    EmbeddingOptions,
    ErasureOptions,
    GalleryOptions,
    SensitivityOptions,
)


class _Studies(click.Group):
    """Lists the studies where none of that name is there."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            known = ", ".join(self.commands)
            ctx.fail(f"there is no study {name!r}; expected one of: {known}.")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group("study", cls=_Studies)
def command() -> None:
    """Make one of the paper's analyses (Bae, Baek & Jeong): NAME --help says more of each.

    On simulated tracks of the eight classes, or on labelled tracks of your own (--data). Tables,
    figures in the paper's layout with its numbers beside, and study.json with everything needed to
    make it again, in the folder NAME.study.

    \b
    Example:
        spt-explain study erasure --weights resandi-small --tracks 80
        spt-explain study sensitivity
        spt-explain study embedding --data labelled.csv
    """


@command.command(
    "erasure",
    cls=GroupedCommand,
    short_help="Figs. 2-3: accuracy by erased decile; which method wins.",
)
@study_options(ErasureOptions)
@click.option("--by-length", is_flag=True, help="Print the results by length as well.")
def erasure_command(**options: Any) -> int:
    """Erase each tenth of tracks by score: how accuracy falls, and which method does best.

    Figs. 2 and 3. All ten methods side by side, by length too; the first in the table is the one
    that explain should use. The default takes about ten minutes on two CPU cores, a quarter of that
    with --weights resandi-small; a GPU takes tens of thousands of tracks.

    \b
    Example: the paper's own test
        spt-explain study erasure --weights resandi-positions --method gradcam --protocol paper

    \b
    Example: all methods, by length
        spt-explain study erasure --even-lengths --tracks 280 --by-length
    """
    from spt_explain.cli.study_run import run_study
    from spt_explain.cli.study_tables import show_erasure
    from spt_explain.studies.erasure import erasure

    show = partial(show_erasure, by_length=options["by_length"])
    return run_study("erasure", erasure, ErasureOptions, show, options)


@command.command(
    "sensitivity",
    cls=GroupedCommand,
    short_help="Fig. S4: how far each node of the network sees.",
)
@study_options(SensitivityOptions)
def sensitivity_command(**options: Any) -> int:
    """Change one frame: which nodes of each block respond, and how wide each sees.

    Fig. S4, from which the paper takes windows of 225 frames.

    \b
    Example:
        spt-explain study sensitivity --every 10
    """
    from spt_explain.cli.study_run import run_study
    from spt_explain.cli.study_tables import show_sensitivity
    from spt_explain.studies.sensitivity import sensitivity

    show = partial(show_sensitivity, threshold=options["threshold"])
    return run_study("sensitivity", sensitivity, SensitivityOptions, show, options)


@command.command(
    "embedding",
    cls=GroupedCommand,
    short_help="Fig. 6: how each block groups tracks (t-SNE), in numbers too.",
)
@study_options(EmbeddingOptions)
def embedding_command(**options: Any) -> int:
    """Map tracks by the output of each block (t-SNE), and measure how separate the classes are.

    Fig. 6. Needs openTSNE and scikit-learn: pip install "spt-explain[studies]".

    \b
    Example:
        spt-explain study embedding --tracks 800
    """
    from spt_explain.cli.study_run import run_study
    from spt_explain.cli.study_tables import show_embedding
    from spt_explain.studies.embedding import embedding

    return run_study("embedding", embedding, EmbeddingOptions, show_embedding, options)


@command.command(
    "correlation",
    cls=GroupedCommand,
    short_help="Fig. 7: which statistics the scores go with, class by class.",
)
@study_options(CorrelationOptions)
def correlation_command(**options: Any) -> int:
    """Correlate scores with the paper's statistics AC, CS, NG, SG and VD, class by class.

    Fig. 7: 32 windows of 225 frames in tracks of 1000.

    \b
    Example:
        spt-explain study correlation --method gradcam:block4 --method integrated-gradients
    """
    from spt_explain.cli.study_run import run_study
    from spt_explain.cli.study_tables import show_correlation
    from spt_explain.studies.correlation import correlation

    return run_study("correlation", correlation, CorrelationOptions, show_correlation, options)


@command.command(
    "gallery",
    cls=GroupedCommand,
    short_help="Fig. S5: tracks by their scores; do the paper's remarks hold?",
)
@study_options(GalleryOptions)
def gallery_command(**options: Any) -> int:
    """Draw tracks of each class by their scores, and measure what the paper says of them.

    Fig. S5 and the seven remarks of section E: which parts of tracks of each class score high.

    \b
    Example:
        spt-explain study gallery --method gradcam:block4 --method integrated-gradients
    """
    from spt_explain.cli.study_run import run_study
    from spt_explain.cli.study_tables import show_gallery
    from spt_explain.studies.gallery import gallery

    return run_study("gallery", gallery, GalleryOptions, show_gallery, options)
