"""The options of an operation: a strict model from which all else about them is derived.

A field holds an option's type, default, range, unit and meaning. The command line makes its options
and their help from it (`spt_explain.cli.options`), Python its keyword arguments.
"""

from __future__ import annotations

from inspect import Parameter, signature
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
)

from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    F = TypeVar("F", bound=Callable[..., Any])

_UNIONS = (Union, UnionType)
_WORDS = {bool: "true or false", int: "a whole number", float: "a number"}
LARGEST_WHOLE = 2**53 - 1
"""The largest whole number that every file format and library holds exactly."""
_LIMITS = {
    "ge": "{} or more",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
}


def _as_tuple(values: Any) -> Any:
    return values if isinstance(values, str | bytes) or values is None else tuple(values)


Item = TypeVar("Item")
Several = Annotated[tuple[Item, ...], BeforeValidator(_as_tuple)]
"""Any number of values: a sequence in Python, an option that is given several times."""


def setting(
    default: Any,
    description: str,
    *,
    unit: str = "",
    metavar: str = "",
    none: str = "",
    off: str = "",
    expects: str = "",
    file: Mapping[str, str] | None = None,
    **limits: Any,
) -> Any:
    """Return a field of `Options`.

    Parameters
    ----------
    default : object
    description : str
        What the option means, in a sentence or two. Another option is named in it as ``{max_gap}``,
        with a value as ``{gaps:fill}``.
    unit : str
        What a value counts or is measured in, for people: ``"points"``, ``"µm"``.
    metavar : str
        What stands for a value in the command line's help; by default the unit.
    none : str
        The word that stands for None where only text can be written: ``"auto"``.
    off : str
        Of a bool, the name of the option that sets it to False: ``"no_drift"``.
    expects : str
        What values the field takes, where its type and limits don't say it all.
    file : mapping of str to str, optional
        Where and how the value stands in a parameter file.
    **limits
        Of pydantic's `Field`: ``ge``, ``gt``, ``le``, ``lt``.
    """
    extra: dict[str, Any] = {
        "unit": unit,
        "metavar": metavar or unit.rsplit(" ", 1)[-1].upper(),
        "none": none,
        "off": off,
        "expects": expects,
        **(file or {}),
    }
    return Field(default, description=description, json_schema_extra=extra, **limits)


class Options(BaseModel):
    """Options of an operation, checked when they are given.

    Raises
    ------
    SptError
        For an unknown name, or a value of another type or out of range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    heading: ClassVar[str] = ""
    """What its options are called together, in the command line's help."""

    def __init__(self, /, **values: Any) -> None:
        plain = {name: _plain(value) for name, value in values.items()}
        try:
            super().__init__(**plain)
        except ValidationError as error:
            raise self._refusal(error.errors()[0]) from None

    @classmethod
    def taken_from(cls, values: Mapping[str, Any]) -> Self:
        """Take from `values` what these options are; the others are left."""
        return cls(**{name: values[name] for name in cls.model_fields if name in values})

    @classmethod
    def split_from(cls, values: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """Take from `values` what these options are, and return the others with them."""
        rest = {name: value for name, value in values.items() if name not in cls.model_fields}
        return cls.taken_from(values), rest

    def changed(self, **values: Any) -> Self:
        """Return the same options with other values, checked."""
        return type(self)(**(dict(self) | values))

    @classmethod
    def _refusal(cls, wrong: ErrorDetails) -> SptError:
        """Return the error for a value that can't be: what was found, and what was expected."""
        where = wrong["loc"]
        name = str(where[0]) if where else ""
        if wrong["type"] == "extra_forbidden":
            known = ", ".join(cls.model_fields)
            return SptError(f"there is no option {name}; expected some of {known}.", option=name)
        value = wrong["input"]
        found = f"{option(name)}None" if value is None else option(name, value)
        return SptError(f"{found}: expected {expected(cls.model_fields[name])}.", option=name)


def _plain(value: Any) -> Any:
    """Return a number of numpy as one of Python's, a list as a tuple; anything else as it is."""
    if isinstance(value, list):
        return tuple(value)
    return value.item() if type(value).__module__ == "numpy" and value.ndim == 0 else value


def extra_of(field: FieldInfo, name: str) -> str:
    """Return what `setting` was told of a field beside its limits; empty without it."""
    extra = field.json_schema_extra
    return str(extra.get(name, "")) if isinstance(extra, dict) else ""


def heading_of(model: type[Options], name: str) -> str:
    """Return the heading of the model that an option was first declared in."""
    homes = [
        home
        for home in model.__mro__
        if issubclass(home, Options) and name in home.model_fields and home.heading
    ]
    return homes[-1].heading if homes else ""


def _annotated_kinds(field: FieldInfo) -> tuple[Any, ...]:
    return get_args(field.annotation) if get_origin(field.annotation) in _UNIONS else ()


def kinds_of(field: FieldInfo) -> tuple[Any, ...]:
    """Return the types that a field takes, but for None."""
    kinds = _annotated_kinds(field) or (field.annotation,)
    plain = (get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds)
    return tuple(kind for kind in plain if kind is not type(None))


def item_of(field: FieldInfo) -> Any:
    """Return the type of each value of a field of `Several`; None for other fields.

    A field that makes all its values of one text (`PlainValidator`) is none of them.
    """
    kind = kinds_of(field)[0]
    marks = [*field.metadata, *(m for one in _annotated_kinds(field) for m in get_args(one)[1:])]
    if any(isinstance(mark, PlainValidator) for mark in marks):
        return None
    several = get_origin(kind) is tuple and get_args(kind)[1:] == (...,)
    return get_args(kind)[0] if several else None


def words_of(field: FieldInfo) -> tuple[str, ...]:
    """Return the words that a field takes, one or several."""
    kinds = [item_of(field), *kinds_of(field)]
    kinds = [kind for kind in kinds if get_origin(kind) is Literal]
    return tuple(word for kind in kinds for word in get_args(kind))


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """Return the words that a field takes; none if it takes others than words."""
    item = item_of(field)
    kinds = kinds_of(field) if item is None else (item,)
    if any(get_origin(kind) is not Literal for kind in kinds):
        return ()
    return words_of(field)


def expected(field: FieldInfo) -> str:
    """Return in words what values a field takes: ``"a whole number of points, 2 or more"``."""
    if expects := extra_of(field, "expects"):
        return expects
    if choices := choices_of(field):
        return f"{'one' if item_of(field) is None else 'some'} of {', '.join(choices)}"
    if item_of(field) is not None:
        return "several values"
    words = ", ".join(words_of(field))
    kind = next((name for one, name in _WORDS.items() if one in kinds_of(field)), "text")
    unit = extra_of(field, "unit")
    limits = _limits_of(field)
    span = " and ".join(_LIMITS[key].format(_number(value)) for key, value in limits.items())
    if {"ge", "le"} <= {*limits}:
        span = f"{_number(limits['ge'])} to {_number(limits['le'])}"
    if unit and int in kinds_of(field):
        kind = f"{kind} of {unit}"
    elif unit:
        span = f"{span} ({unit})" if span else f"in {unit}"
    kind = f"{words} or {kind}" if words else kind
    return f"{kind}, {span}" if span else kind


def _limits_of(field: FieldInfo) -> dict[str, float]:
    """Return the limits of a field's numbers, also of those that stand beside words.

    Limits that only keep a number within what computers hold are of no interest to people.
    """
    within = [one for kind in _annotated_kinds(field) if get_origin(kind) is Annotated
              for one in get_args(kind)[1:]]  # fmt: skip
    marks = [*field.metadata, *(m for one in within for m in getattr(one, "metadata", [one]))]
    found = {key: getattr(m, key) for m in marks for key in _LIMITS if hasattr(m, key)}
    return {key: value for key, value in found.items() if abs(value) < LARGEST_WHOLE}


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


class _OptionNames(dict[str, Any]):
    """Names the options in a description, as whoever reads it writes them."""

    def __missing__(self, name: str) -> _Named:
        return _Named(name)


class _Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __format__(self, value: str) -> str:
        return option(self.name, value or None)


def described(field: FieldInfo) -> str:
    """Return what an option means; other options are named as the caller writes them."""
    return (field.description or "").format_map(_OptionNames())


def takes(*models: type[Options]) -> Callable[[F], F]:
    """Return what shows the options of models as keyword arguments in a function's signature.

    The function takes them as ``**options``, and makes the models of them.
    """

    def decorate(function: F) -> F:
        given = signature(function)
        own = [p for p in given.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
        fields = {name: f for model in models for name, f in model.model_fields.items()}
        more = [
            Parameter(
                name, Parameter.KEYWORD_ONLY, default=field.get_default(),
                annotation=field.annotation,
            )
            for name, field in fields.items()
        ]  # fmt: skip
        at = sum(p.kind is not Parameter.KEYWORD_ONLY for p in own)
        function.__signature__ = given.replace(  # type: ignore[attr-defined]
            parameters=[*own[:at], *more, *own[at:]]
        )
        return function

    return decorate
