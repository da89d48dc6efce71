"""Ctrl-C between two steps, never within one, so that what is saved is what a step left."""

from __future__ import annotations

import signal
import threading
from typing import Any, Self


class Interrupts:
    """Within ``with Interrupts() as interrupts``, Ctrl-C sets ``interrupts.asked``.

    Whoever uses it looks at ``asked`` where stopping is safe, saves, and raises
    `KeyboardInterrupt`. A second Ctrl-C interrupts at once. Outside the main thread, where Python
    delivers no signals, nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None
        self._installed = False

    def __enter__(self) -> Self:
        before = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if main and before is signal.default_int_handler:
            self._before = before
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)
            self._installed = False

    def _note(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
