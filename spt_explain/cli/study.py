"""``spt-explain study``: the analyses of the paper, on simulated or labelled tracks."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from spt_explain.cli.options import choice_option, number_option
from spt_explain.cli.study_options import output_options, score_options, source_options


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


@command.command("erasure", short_help="Figs. 2-3: accuracy by erased decile; which method wins.")
@source_options("160", "10-1000")
@score_options(
    "all", "predicted for the protocol cut, else true", "log-odds for the protocol cut, else logit"
)
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(["cut", "track", "paper"]),
    multiple=True,
    default=("cut", "paper"),
    show_default=True,
    help="cut: cut frames out and join the rest, as the check of explain does; paper: erase in the "
    "padded input, as the paper's program does; track: the same within trajectories alone. May be "
    "given several times.",
)
@choice_option(
    "--erased-value",
    ["corner", "origin"],
    default="corner",
    help="Where erased positions lie (not for cut): the lowest point of both axes (the paper's "
    "program), or where the trajectory starts (the paper's text).",
)
@number_option(
    "--draws",
    int,
    default=20,
    metavar="N",
    help="Random erasures of the check that decides how a method does (cut); 0 for no check.",
)
@number_option(
    "--share",
    float,
    default=0.2,
    metavar="SHARE",
    help="Share of the frames that it erases, above 0 and below 1.",
)
@click.option("--by-length", is_flag=True, help="Print the results by length as well.")
@output_options
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

    by_length = options.pop("by_length")

    def study(source: Any, **rest: Any) -> Any:
        return erasure(source, value=rest.pop("erased_value"), **rest)

    return run_study("erasure", study, partial(show_erasure, by_length=by_length), options)


@command.command("sensitivity", short_help="Fig. S4: how far each node of the network sees.")
@number_option(
    "--every",
    int,
    default=1,
    metavar="FRAMES",
    help="Change every so many frames: more is faster and coarser.",
)
@number_option("--length", int, default=1000, metavar="POINTS", help="Points of the trajectory.")
@number_option(
    "--threshold",
    float,
    default=0.9,
    metavar="CHANGE",
    help="Mean change of a node's output that counts in the paper's measure.",
)
@click.option(
    "--untrained/--no-untrained",
    default=True,
    show_default=True,
    help="Measure a network with random weights as well, as the paper's program does.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, metavar="N", help="Seed of those weights."
)
@output_options
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
    return run_study("sensitivity", sensitivity, show, options)


@command.command(
    "embedding", short_help="Fig. 6: how each block groups tracks (t-SNE), in numbers too."
)
@source_options("2000", "1000")
@number_option(
    "--neighbours",
    int,
    default=15,
    metavar="K",
    help="Nearest neighbours of each track that are looked at.",
)
@number_option(
    "--perplexity",
    float,
    default=30.0,
    metavar="N",
    help="Of t-SNE: about how many neighbours count.",
)
@click.option(
    "--maps/--no-maps", default=True, show_default=True, help="Make the maps, or the numbers alone."
)
@output_options
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

    return run_study("embedding", embedding, show_embedding, options)


@command.command(
    "correlation", short_help="Fig. 7: which statistics the scores go with, class by class."
)
@source_options("400", "1000")
@score_options("gradcam:block4", "true", "logit")
@choice_option(
    "--statistics",
    ["code", "paper"],
    default="code",
    help="AC, CS, NG, SG and VD as the paper's program computes them, which Fig. 7 shows, or as "
    "its equations say.",
)
@number_option(
    "--resamples",
    int,
    default=500,
    metavar="N",
    help="Bootstrap samples for the intervals; 0 for none.",
)
@output_options
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

    return run_study("correlation", correlation, show_correlation, options)


@command.command(
    "gallery", short_help="Fig. S5: tracks by their scores; do the paper's remarks hold?"
)
@source_options("400", "1000")
@score_options("gradcam:block4", "true", "logit")
@number_option(
    "--samples",
    int,
    default=3,
    metavar="N",
    help="Tracks of each class that are drawn: chosen at random from those told right.",
)
@output_options
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

    return run_study("gallery", gallery, show_gallery, options)
