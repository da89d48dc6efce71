"""``spt-explain simulate``: labelled tracks, as a lab would record them, and movies of them."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import GroupedCommand, options_from, saying_options
from spt_explain.diffusion.recording import Recording
from spt_explain.movies.render import Optics

if TYPE_CHECKING:
    from rich.console import Console

    from spt_explain.simulation import Result


class _ByKind(GroupedCommand):
    """The command for tracks, which leaves kinds of movies to theirs."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        from spt_explain.cli.simulate_movies import find_kind, movies_command

        at = find_kind(args)
        if at is None:
            context = super().make_context(info_name, args, parent, **extra)
            _hint_at_movies(context)
            return context
        kind = args[at].lower()
        rest = [*args[:at], *args[at + 1 :]]
        return movies_command(kind).make_context(f"{info_name} {kind}", rest, parent, **extra)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from spt_explain.xddpm.simulate.described import summary
        from spt_explain.xddpm.simulate.kinds import KINDS

        with formatter.section("Movies with signals and truth: spt-explain simulate KIND --help"):
            formatter.write_dl([(kind, summary(kind)) for kind in KINDS])


def _hint_at_movies(context: click.Context) -> None:
    """Fail on what looks like a kind of movies: mistyped, or among classes of tracks."""
    import difflib

    from spt_explain.errors import SptError
    from spt_explain.xddpm.simulate.kinds import KINDS

    given = str(context.params.get("kind", ""))
    for word in re.split("[,:]", given):
        if (kind := word.strip().lower()) in KINDS:
            raise SptError(
                f"{kind} is a kind of movies, which are simulated by themselves: spt-explain "
                f"simulate {kind}.",
                code="wrong-kind",
            )
    near = difflib.get_close_matches(given.lower(), KINDS, n=1, cutoff=0.75)
    if near and not set(",:") & set(given):
        raise SptError(f"there is no kind {given!r}. Did you mean {near[0]}?")


@click.command("simulate", cls=_ByKind)
@click.argument("kind", metavar="KIND")
@click.option(
    "--tracks", type=int, default=200, show_default=True, metavar="N", help="Number of tracks."
)
@options_from(Recording)
@click.option(
    "--movie",
    metavar="FILE.tif",
    help="Also render a 16-bit ImageJ TIFF stack: a spot where the table has a position, all "
    "tracks from frame 0 side by side, at most 4 GB. Default: no movie.",
)
@options_from(Optics)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    help="Same seed and options, same files, byte for byte. Default: drawn, and said.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE|-",
    help="The table (.csv, .parquet, .json), or - for standard output. Default: simulated.csv in "
    "this folder.",
)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["csv", "parquet", "json"]),
    help="Table format; classify reads CSV. Default: what -o ends in, else csv.",
)
@saying_options("outputs that exist")
def command(
    kind: str,
    tracks: int,
    movie: str | None,
    seed: int | None,
    output: str | None,
    fmt: str | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by `main` from the arguments
    **options: Any,
) -> int:
    """Simulate tracks as a lab would record them, or movies, each labelled with its truth.

    Kinds of movies are listed at the end, and have their own options. For tracks, KIND is one
    class, several with or without shares (SubFBM:0.3,BM:0.7), or all. The classes: SubATTM,
    SubCTRW, SubFBM, SubSBM, SupFBM, SupLW, SupSBM, BM. Where an option takes A-B, one number does,
    too; a value is drawn for each track.

    \b
    Example:
        spt-explain simulate SubFBM:0.3,BM:0.7 --noise 0.2-0.5 --movie film.tif -o truth.csv

    \b
    writes truth.csv (a row for each position, with the truth in further columns), truth.json
    (how it was made) and film.tif. spt-explain classify reads truth.csv and film.tif as they are.
    """
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.errors import SptError
    from spt_explain.simulation import simulate_files

    if as_json and output == "-":
        raise SptError(
            "--json and -o - both want standard output; give one of the two.", code="conflict"
        )
    recording, optics = Recording.taken_from(options), Optics.taken_from(options)
    console = make_console(quiet=quiet)
    with make_progress(console) as bar:
        task = bar.add_task("simulating", total=None, count="")

        def progress(what: str, done: int, total: int) -> None:
            bar.update(
                task,
                description="rendering" if what == "frames" else "simulating",
                completed=done,
                total=total,
                count=f"{done:,}/{total:,} {what}",
            )

        result = simulate_files(
            kind,
            tracks=tracks,
            recording=recording,
            output=output,
            fmt=fmt,
            movie=movie,
            optics=optics,
            seed=seed,
            overwrite=overwrite,
            command=["spt-explain", *sys.argv[1:]],
            progress=progress,
        )
    if result.stdout:
        from spt_explain.report.tables import write_stdout

        write_stdout(result.stdout, sys.stdout.buffer)
    _print_summary(console, result)
    if as_json:
        summary = {
            "exit_code": 0,
            **result.report,
            "notes": result.notes,
            "outputs": [str(path) for path in result.outputs],
        }
        click.echo(json.dumps(summary, indent=1, ensure_ascii=False))
    return 0


def _print_summary(console: Console, result: Result) -> None:
    from rich.markup import escape

    report = result.report
    classes = ", ".join(f"{count:,} {name}" for name, count in report["classes"].items())
    settings = report["settings"]
    console.print(
        f"[bold]tracks[/bold]  {report['tracks']:,}: {classes} ({report['rows']:,} positions)"
    )
    console.print(
        f"[bold]units[/bold]   µm and s; pixels of {settings['pixel_size_um']:g} µm, "
        f"{settings['frame_interval_s']:g} s a frame, "
        f"D {settings['diffusion_coefficient_um2_s']} µm²/s"
    )
    console.print(f"[bold]seed[/bold]    {report['seed']}")
    if settings["movie"]:
        width, height = report["field_px"]
        console.print(
            f"[bold]movie[/bold]   {report['frames']:,} frames of {width:,} × {height:,} px"
        )
    for note in result.notes:
        console.print(f"  {escape(note)}", style="dim")
    if result.outputs:
        console.print(f"→ {escape(', '.join(str(path) for path in result.outputs))}")
