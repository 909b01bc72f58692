"""Checks that every definition makes of its arguments."""

from __future__ import annotations

import inspect
import re
from typing import Any

from ..errors import ComputationProtocolError, DefinitionFault

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def require_string(kind: str, name: object) -> str:
    """Return ``name``.

    :raises TypeError: if it is not a string.
    """
    if not isinstance(name, str):
        raise TypeError(f"{kind} name {name!r} is not a string")
    return name


def check_name(kind: str, name: object) -> str:
    """Return ``name`` if it can stand in paths and identifiers.

    :raises DefinitionFault: if it is not a string of letters, digits and underscores.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise DefinitionFault(
            f"{kind} name {name!r} must be letters, digits and underscores, not starting with a digit; "
            "it ends up in paths and SQL identifiers"
        )
    return name


def check_mapped_name(kind: str, name: object) -> str:
    """Return ``name`` if a mapped class can be called so, or have it as an attribute.

    :raises DefinitionFault: as :func:`check_name`, and if Python or SQLAlchemy keep something there.
    """
    checked = check_name(kind, name)
    if checked.startswith(("__", "_sa_")):
        raise DefinitionFault(
            f"{kind} name {checked!r}: on mapped classes, names that begin with '__' or '_sa_' belong to Python and "
            "SQLAlchemy; choose another, column_name= and table_name= are free"
        )
    return checked


def is_coroutine_function(function: object) -> bool:
    """Whether calling ``function`` gives a coroutine."""
    call = getattr(function, "__call__", None)  # noqa: B004  an instance's own __call__, which may be async
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def require_function(function: object, where: str) -> None:
    """Refuse what cannot be called.

    :raises ComputationProtocolError: if ``function`` is none.
    """
    if not callable(function):
        raise ComputationProtocolError(f"{where} is {function!r}, which is not a function")


def refuse_text(values: object, where: str) -> None:
    """Refuse a text that stands where a list of names belongs, which would be read letter by letter.

    :raises ComputationProtocolError: if ``values`` is one.
    """
    if isinstance(values, str):
        raise ComputationProtocolError(f"{where} is a list of names: write [{values!r}]")


def refuse_coroutine_function(function: object, where: str) -> None:
    """Refuse a function that would return a coroutine where a value is needed at once.

    :raises ComputationProtocolError: if ``function`` is a coroutine function.
    """
    if is_coroutine_function(function):
        raise ComputationProtocolError(
            f"{where}: {function!r} is async; the value is needed inside the write, give a plain function"
        )


def refuse_awaitable(value: Any, where: str) -> Any:
    """Return ``value``.

    :raises ComputationProtocolError: if it is an awaitable; a coroutine is closed first, so that it causes no warning.
    """
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise ComputationProtocolError(f"{where} returned an awaitable; the value is needed at once")
    return value
