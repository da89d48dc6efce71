"""Where the time of a run goes: every second gets a name, and no second two."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Clock:
    """Gives the time of the calling thread to what was done in it.

    What other threads do at the same time is not counted beside it, so the seconds sum to the time
    since the start.

    Parameters
    ----------
    seconds : dict of str to float, optional
        Where the seconds are added up.
    started : float, optional
        When the first lap began, as `time.perf_counter` has it; now by default.
    """

    def __init__(
        self, seconds: dict[str, float] | None = None, *, started: float | None = None
    ) -> None:
        self.seconds = {} if seconds is None else seconds
        self._mark = time.perf_counter() if started is None else started

    def lap(self, name: str, *, besides: Mapping[str, float] | None = None) -> None:
        """Give the time since the last lap to `name`.

        Parameters
        ----------
        name : str
            What was done.
        besides : mapping of str to float, optional
            Seconds of this lap that were named already; they are added under their names.
        """
        now = time.perf_counter()
        left = now - self._mark
        for other, value in (besides or {}).items():
            self.seconds[other] = self.seconds.get(other, 0.0) + value
            left -= value
        self.seconds[name] = self.seconds.get(name, 0.0) + max(left, 0.0)
        self._mark = now


def process_start() -> float:
    """Return when this process began, as `time.perf_counter` has it.

    Linux knows it to a hundredth of a second. Elsewhere it is taken that the process has been busy
    from its start, as it is while it imports.
    """
    now = time.perf_counter()
    try:
        # The name of the program, in brackets, may itself hold spaces and brackets.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - began
        if age >= 0:
            return now - age
    except (OSError, ValueError, AttributeError, IndexError):
        pass
    return now - time.process_time()
