"""The one error a user can mend, and the warning that goes with it."""

from __future__ import annotations


class SptError(Exception):
    """Something the user can mend: bad input, bad options, a file that is not what it seems.

    The message is complete in itself: what was found, what was expected, and which option or
    export mends it. The command line prints it on stderr and leaves with `exit_code`; no
    traceback is shown without ``--debug``.

    Parameters
    ----------
    message : str
        One sentence or two; a second line, if any, holds the remedy.
    exit_code : int, optional
        2 (input or options can't be used, the default) or 1 (a run failed).
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NotTracksError(SptError):
    """The file is readable and holds something else than tracks (a log, an edges export, an image).

    In a folder such a file is skipped and listed; named by itself it is an error like any other.
    """
