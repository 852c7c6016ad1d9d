"""Checks of settings."""


def counts(where: str, **values: int) -> None:
    """Refuses what is no count.

    Args:
        where: The configurable that the settings belong to.
        **values: Settings by name.

    Raises:
        ValueError: If one is not an integer of at least 1; the message names it.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{where}.{name}: {value!r}, expected an integer of at least 1")
