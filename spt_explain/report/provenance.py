"""What every document of ours says of how it was made."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spt_explain.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAM = "spt-explain"


def made_by(
    said: Mapping[str, Any], *, command: Sequence[str] = (), version: str = __version__
) -> dict[str, Any]:
    """Return what was done, between the program that did it and what that ran on.

    Parameters
    ----------
    said : mapping of str to object
        Settings, inputs, results in numbers.
    command : sequence of str
        The command line.
    version : str
        Of the program.

    Returns
    -------
    dict
        ``program``, ``version``, ``command``, ``created`` (ISO 8601, UTC), what `said` holds, and
        ``python``, ``platform``, ``numpy``, ``pandas``.
    """
    import numpy as np
    import pandas as pd

    return {
        "program": PROGRAM,
        "version": version,
        "command": list(command),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **said,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": np.__version__,
        "pandas": pd.__version__,
    }
