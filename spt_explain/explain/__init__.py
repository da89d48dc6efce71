"""Why the network says so: scores along each track, and how far they can be trusted.

Called, this package is `spt_explain.api.explain`: ``spt_explain.explain(tracks)``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Function(ModuleType):
    """A package that is also the function of its name.

    Importing ``spt_explain.explain.reasons`` makes the package ``spt_explain.explain`` an attribute
    of ``spt_explain``, whatever that attribute was before: only a package that can be called is
    the same to users whether anything was imported or not.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        return _function()(*args, **options)

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(_function())


def _function() -> Any:
    # by name: the functions of the package lie above this room, which does not depend on them
    from importlib import import_module

    return import_module("spt_explain.api").explain


sys.modules[__name__].__class__ = _Function
