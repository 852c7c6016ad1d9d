"""Checks of settings: each refusal names the setting, its value and what was expected."""

import math
from typing import Any, Callable, Sequence


def counts(where: str, **values: int) -> None:
    """Refuses what is no count.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name.

    Raises:
        ValueError: If one is not an integer of at least 1; the message names it.
    """
    for name, value in values.items():
        if not _is_count(value):
            raise ValueError(f"{where}.{name}: {value!r}, expected an integer of at least 1")


def whole_numbers(where: str, **values: int) -> None:
    """Refuses what is no integer of at least 0.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name.

    Raises:
        ValueError: If one is not; the message names it.
    """
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{where}.{name}: {value!r}, expected an integer of at least 0")


def sizes(where: str, **values: Sequence[int]) -> None:
    """Refuses what are no sizes of layers.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name; an empty one is fine.

    Raises:
        ValueError: If one is not a tuple or list of integers of at least 1; the message names it.
    """
    for name, value in values.items():
        if not isinstance(value, (tuple, list)) or not all(_is_count(size) for size in value):
            raise ValueError(f"{where}.{name}: {value!r}, expected integers of at least 1 such as (256, 256)")


def fractions(where: str, **values: float) -> None:
    """Refuses what is no number from 0 to 1.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name.

    Raises:
        ValueError: If one is not; the message names it.
    """
    for name, value in values.items():
        if not _is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"{where}.{name}: {value!r}, expected a number from 0 to 1")


def not_negative(where: str, **values: float) -> None:
    """Refuses what is no number of at least 0.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name.

    Raises:
        ValueError: If one is not; the message names it.
    """
    for name, value in values.items():
        if not _is_number(value) or value < 0:
            raise ValueError(f"{where}.{name}: {value!r}, expected a number of at least 0")


def positive(where: str, **values: float) -> None:
    """Refuses what is no number above 0.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name.

    Raises:
        ValueError: If one is not; the message names it.
    """
    for name, value in values.items():
        if not _is_number(value) or value <= 0:
            raise ValueError(f"{where}.{name}: {value!r}, expected a number above 0")


def numbers(where: str, **values: float) -> None:
    """Refuses what is no finite number.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name.

    Raises:
        ValueError: If one is none; the message names it.
    """
    for name, value in values.items():
        if not _is_number(value):
            raise ValueError(f"{where}.{name}: {value!r}, expected a number")


def booleans(where: str, **values: bool) -> None:
    """Refuses what is neither True nor False.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name.

    Raises:
        ValueError: If one is neither; the message names it.
    """
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ValueError(f"{where}.{name}: {value!r}, expected True or False")


def references(where: str, **values: Callable[..., Any]) -> None:
    """Refuses what cannot be called.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name.

    Raises:
        ValueError: If one cannot be called; the message names it.
    """
    for name, value in values.items():
        if not callable(value):
            raise ValueError(f"{where}.{name}: {value!r}, expected a reference: @ and a name, without quotes")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
