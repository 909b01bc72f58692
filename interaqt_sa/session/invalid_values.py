"""Convert errors of drivers and databases about invalid values."""

from __future__ import annotations

from ..definitions.short_repr import shorten
from ..dialects.database_errors import error_chain
from ..dialects.value_errors import value_error
from ..errors import InvalidValueError


def invalid_value(error: BaseException) -> InvalidValueError | None:
    """Return an :class:`.InvalidValueError` if ``error`` is about a value; the caller raises it ``from error``."""
    found = value_error(error)
    if found is None:
        return None
    told = next((str(link) for link in error_chain(found) if str(link)), type(found).__name__)
    return InvalidValueError(f"a value cannot be stored or compared: {shorten(told)}")
