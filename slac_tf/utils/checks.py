"""Checks of settings: each refusal names the setting, its value and what was expected.

A check is called with settings, or stands beside an argument as its annotation, `batch_size: checks.Count`, of a
function that is `checked`.
"""

import functools
import inspect
import math
import typing
from typing import Annotated, Any, Callable, Mapping, Sequence, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Made = TypeVar("_Made")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check(fits: Callable[[Any], bool], expected: str) -> Callable[..., None]:
    """Makes a check: `check("build_x", batch_size=0)` raises ValueError where the value of a setting does not fit."""

    def check(where: str, **values: Any) -> None:
        for name, value in values.items():
            if not fits(value):
                raise ValueError(f"{where}.{name}: {value!r}, expected {expected}")

    return check


counts = _check(_is_count, "an integer of at least 1")
whole_numbers = _check(lambda value: type(value) is int and value >= 0, "an integer of at least 0")
sizes = _check(
    lambda value: isinstance(value, (tuple, list)) and all(_is_count(size) for size in value),
    "integers of at least 1 such as (256, 256)",
)
fractions = _check(lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1")
not_negative = _check(lambda value: _is_number(value) and value >= 0, "a number of at least 0")
positive = _check(lambda value: _is_number(value) and value > 0, "a number above 0")
numbers = _check(_is_number, "a number")
booleans = _check(lambda value: isinstance(value, bool), "True or False")
references = _check(callable, "a reference: @ and a name, without quotes")

Count = Annotated[int, counts]
WholeNumber = Annotated[int, whole_numbers]
Sizes = Annotated[Sequence[int], sizes]
Fraction = Annotated[float, fractions]
NotNegative = Annotated[float, not_negative]
Positive = Annotated[float, positive]
Number = Annotated[float, numbers]
Boolean = Annotated[bool, booleans]
Reference = Annotated[Callable[..., _Made], references]


def checked(function: _Function) -> _Function:
    """Lets a function be called only with arguments that pass the checks in their annotations.

    Args:
        function: Its annotations may be `Count` and the like, or one of them in `Optional`.

    Returns:
        The function, which raises ValueError where an argument does not fit; the message names function and argument.
    """
    where = function.__qualname__.rpartition(".__init__")[0] or function.__name__  # a class is called by its own name
    signature = inspect.signature(function)
    annotations = {name: parameter.annotation for name, parameter in signature.parameters.items()}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        annotated(where.rpartition(".")[2], annotations, bound.arguments)
        return function(*args, **kwargs)

    vars(call)["__signature__"] = signature  # which gin reads
    return typing.cast(_Function, call)


def annotated(where: str, annotations: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Looks at values by the checks in their annotations.

    Args:
        where: What they are settings of.
        annotations: By name, each `Count` and the like, one of them in `Optional`, or any other.
        values: By name.

    Raises:
        ValueError: If one does not fit; the message names it.
    """
    for name, annotation in annotations.items():
        # An Optional's arguments are what it is made of.
        for each in (annotation, *typing.get_args(annotation)):
            for check in getattr(each, "__metadata__", ()):
                if each is annotation or values[name] is not None:
                    check(where, **{name: values[name]})
