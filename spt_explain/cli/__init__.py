"""The command line: options, one library call, what to print."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from typing import NoReturn

import click

from spt_explain import __version__
from spt_explain.cli.groups import LazyGroup
from spt_explain.cli.spelling import CommandLineSpelling
from spt_explain.errors import SptError, use_spelling
from spt_explain.threads import threads_busy

_COMMANDS = {
    "classify": "Mechanism and confidence for every track of any tracking program's file.",
    "explain": "Why: which frames of each track speak for its class, checked, with figures.",
    "track": "Tracks from movies, with parameters found from the movie and shown.",
    "simulate": "Tracks of known mechanism, and movies with signals whose pixels are known.",
    "relevance": "Which pixels of a movie carry a signal, and when.",
    "weights": "List, check, share and remove sets of weights.",
    "retrain": "Weights for your own microscope, or from a recipe.",
    "evaluate": "How good a set of weights is, by noise, length and exponent, with figures.",
    "study": "The paper's analyses, on simulated tracks or your own labelled ones.",
    "doctor": "What this machine has and what will be used.",
}


class _Commands(LazyGroup):
    room = "spt_explain.cli"
    summaries = _COMMANDS
    file_hint = "To classify it: spt-explain classify {}"


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="spt-explain")
def group() -> None:
    """Say why single particles diffuse as they do, track by track.

    \b
    Start with your own file, from TrackMate, trackpy or any other program:
        spt-explain classify tracks.csv

    \b
    Exit codes: 0 done · 1 a run failed · 2 input or options can't be used ·
    3 done, but some inputs of several failed (listed) · 130 interrupted.
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; those of the process by default.
    """
    arguments = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        # a terminal in another encoding gets "?" for what it can't show, never a crash
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        with use_spelling(CommandLineSpelling()):
            code = group.main(arguments, prog_name="spt-explain", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        # who presses Ctrl-C again leaves at once, or gets no traceback of libraries that tidy up
        if argv is None:
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
        _say("Interrupted.")
        _leave(130, own=argv is None)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SptError as error:
        if "--debug" in arguments:
            raise
        message = str(error).replace("\n", "\n       ")
        _say(f"Error: {message}")
        _leave(error.exit_code, own=argv is None)
    except BrokenPipeError:
        sys.exit(1)
    except MemoryError:
        if "--debug" in arguments:
            raise
        _say("Error: memory ran out. Give fewer files at a time, or a smaller --batch-size.")
        sys.exit(1)
    except Exception as error:
        if "--debug" in arguments:
            raise
        text = (str(error) or "no message").splitlines()[0]
        _say(
            f"Error: something failed that should not: {type(error).__name__}: {text}\n"
            "       Run it again with --debug and send what it prints to the developers."
        )
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _leave(code: int, *, own: bool) -> NoReturn:
    """Leave after an error, without waiting for what threads still do for results nobody wants.

    Parameters
    ----------
    code : int
        The exit code.
    own : bool
        Whether the process is ours to end: it runs nothing but this command.
    """
    figures = sys.modules.get("spt_explain.report.figure_processes")
    had_processes = own and figures is not None and figures.end()
    if own and (had_processes or threads_busy()):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
