"""Keeping libraries from speaking: their warnings and log lines are ours to judge and to word."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Collector(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


@contextlib.contextmanager
def silence(*loggers: str) -> Iterator[list[str]]:
    """Suppress Python warnings, and collect what `loggers` say instead of letting it out.

    Parameters
    ----------
    *loggers : str
        Names of loggers, e.g. ``"tifffile"``.

    Yields
    ------
    list of str
        What was logged at WARNING or above so far; it grows while the context lasts.
    """
    said: list[str] = []
    collector = _Collector(said)
    before = []
    for name in loggers:
        logger = logging.getLogger(name)
        before.append((logger, logger.level, logger.propagate, logger.handlers[:]))
        logger.handlers = [collector]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        for logger, level, propagate, handlers in before:
            # A library imported meanwhile may have added a handler (trackpy does, on stdout).
            logger.handlers = handlers
            logger.setLevel(level)
            logger.propagate = propagate
