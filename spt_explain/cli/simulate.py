"""``spt-explain simulate``: labelled tracks, as a lab would record them, and movies of them."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from spt_explain.diffusion.recording import Recording
from spt_explain.movies.render import Optics

if TYPE_CHECKING:
    from rich.console import Console

    from spt_explain.simulation import Result


class _ByKind(click.Command):
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
@click.option(
    "--length",
    default=str(Recording.length),
    show_default=True,
    metavar="A-B",
    help="Points of a track, first frame to last; drawn uniformly.",
)
@click.option(
    "--alpha",
    metavar="A-B",
    help="Anomalous exponent; drawn uniformly. Default: the class's range, 0.1-0.9 for Sub, "
    "1.1-1.9 for Sup; always 1 for BM.",
)
@click.option(
    "--noise",
    default=str(Recording.noise),
    show_default=True,
    metavar="A-B",
    help="Localisation noise, 1/SNR: standard deviation of a position along x, in units of that "
    "of one frame's displacement along one axis, √(2 D Δt).",
)
@click.option(
    "--anisotropy",
    default=str(Recording.anisotropy),
    show_default=True,
    metavar="A-B",
    help="Noise along y over noise along x.",
)
@click.option(
    "--exposure",
    default=str(Recording.exposure),
    show_default=True,
    metavar="A-B",
    help="Motion blur: share of the frame, 0 to 1, over which a position is averaged.",
)
@click.option(
    "--missing",
    default=str(Recording.missing),
    show_default=True,
    metavar="A-B",
    help="Share of frames missed, never the first or last of a track; the table lacks their rows.",
)
@click.option(
    "--fill-missing",
    is_flag=True,
    help="Fill missed frames by straight lines, and mark them in a column 'filled'. Default: "
    "leave them out.",
)
@click.option(
    "--immobile",
    type=float,
    default=Recording.immobile,
    show_default=True,
    metavar="SHARE",
    help="Share of particles, 0 to 1, that are noise around a fixed point (class 'immobile'); "
    "needs --noise.",
)
@click.option(
    "--diffusion-coefficient-um2-s",
    default=str(Recording.diffusion_coefficient_um2_s),
    show_default=True,
    metavar="A-B",
    help="D in µm²/s; drawn uniformly in its logarithm. The mean squared displacement from one "
    "frame to the next is 4 D Δt for every class: its expectation, averaged over the track, before "
    "blur and noise; for ATTM, CTRW and LW given the track's diffusivities, jumps or speed.",
)
@click.option(
    "--pixel-size-um",
    type=float,
    default=Recording.pixel_size_um,
    show_default=True,
    metavar="UM",
    help="Size of a pixel in µm.",
)
@click.option(
    "--frame-interval-s",
    type=float,
    default=Recording.frame_interval_s,
    show_default=True,
    metavar="S",
    help="Time between frames Δt in seconds.",
)
@click.option(
    "--movie",
    metavar="FILE.tif",
    help="Also render a 16-bit ImageJ TIFF stack: a spot where the table has a position, all "
    "tracks from frame 0 side by side, at most 4 GB. Default: no movie.",
)
@click.option(
    "--spot-sigma-px",
    type=float,
    default=Optics.spot_sigma_px,
    show_default=True,
    metavar="PX",
    help="Movie: Gaussian radius of a spot in pixels.",
)
@click.option(
    "--photons",
    type=float,
    default=Optics.photons,
    show_default=True,
    metavar="N",
    help="Movie: photons of a particle in each frame; Poisson-distributed.",
)
@click.option(
    "--background",
    type=float,
    default=Optics.background,
    show_default=True,
    metavar="N",
    help="Movie: photons of the background in each pixel and frame; Poisson-distributed.",
)
@click.option(
    "--read-noise",
    type=float,
    default=Optics.read_noise,
    show_default=True,
    metavar="N",
    help="Movie: standard deviation of the camera's noise, in photons.",
)
@click.option(
    "--gain",
    type=float,
    default=Optics.gain,
    show_default=True,
    metavar="G",
    help="Movie: grey values per photon.",
)
@click.option(
    "--offset",
    type=float,
    default=Optics.offset,
    show_default=True,
    metavar="GREY",
    help="Movie: grey value without light.",
)
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
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as JSON on standard output."
)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def command(
    kind: str,
    tracks: int,
    length: str,
    alpha: str | None,
    noise: str,
    anisotropy: str,
    exposure: str,
    missing: str,
    fill_missing: bool,
    immobile: float,
    diffusion_coefficient_um2_s: str,
    pixel_size_um: float,
    frame_interval_s: float,
    movie: str | None,
    spot_sigma_px: float,
    photons: float,
    background: float,
    read_noise: float,
    gain: float,
    offset: float,
    seed: int | None,
    output: str | None,
    fmt: str | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by `main` from the arguments
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
    recording = Recording.of(
        length=length,
        alpha=alpha,
        noise=noise,
        anisotropy=anisotropy,
        exposure=exposure,
        missing=missing,
        immobile=immobile,
        diffusion_coefficient_um2_s=diffusion_coefficient_um2_s,
        pixel_size_um=pixel_size_um,
        frame_interval_s=frame_interval_s,
        fill_missing=fill_missing,
    )
    optics = Optics(spot_sigma_px, photons, background, read_noise, gain, offset)
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
