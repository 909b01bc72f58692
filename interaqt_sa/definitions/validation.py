"""Argument checks shared by the definitions."""

from __future__ import annotations

import inspect
import re
from typing import Any

from ..errors import ComputationProtocolError, DefinitionFault

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def require_string(kind: str, name: object) -> str:
    """Check that ``name`` is a string, and return it.

    :raises TypeError: if it is not.
    """
    if not isinstance(name, str):
        raise TypeError(f"{kind} name {name!r} is not a string")
    return name


def check_name(kind: str, name: object) -> str:
    """Check that ``name`` is valid in paths and identifiers, and return it.

    :raises DefinitionFault: if it is not a string of letters, digits and underscores, or begins with a digit.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise DefinitionFault(
            f"{kind} name {name!r} must be letters, digits and underscores, not starting with a digit; "
            "it ends up in paths and SQL identifiers"
        )
    return name


def check_mapped_name(kind: str, name: object) -> str:
    """Check that ``name`` is valid for a mapped class or its attribute, and return it.

    :raises DefinitionFault: as for :func:`check_name`, and if the name is reserved by Python or SQLAlchemy.
    """
    checked = check_name(kind, name)
    if checked.startswith(("__", "_sa_")):
        raise DefinitionFault(
            f"{kind} name {checked!r}: on mapped classes, names that begin with '__' or '_sa_' belong to Python and "
            "SQLAlchemy; choose another, column_name= and table_name= are free"
        )
    return checked


def is_coroutine_function(function: object) -> bool:
    """Whether calling ``function`` returns a coroutine."""
    call = getattr(function, "__call__", None)  # noqa: B004  an instance's own __call__, which may be async
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def require_function(function: object, where: str) -> None:
    """Check that ``function`` can be called.

    :raises ComputationProtocolError: if it cannot.
    """
    if not callable(function):
        raise ComputationProtocolError(f"{where} is {function!r}, which is not a function")


def refuse_text(values: object, where: str) -> None:
    """Check that ``values`` is not a string, which would be iterated by character, in place of a list of names.

    :raises ComputationProtocolError: if it is one.
    """
    if isinstance(values, str):
        raise ComputationProtocolError(f"{where} is a list of names: write [{values!r}]")


def refuse_coroutine_function(function: object, where: str) -> None:
    """Check that ``function`` is not a coroutine function, whose result would not be available at once.

    :raises ComputationProtocolError: if it is one.
    """
    if is_coroutine_function(function):
        raise ComputationProtocolError(
            f"{where}: {function!r} is async; the value is needed inside the write, give a plain function"
        )


def refuse_awaitable(value: Any, where: str) -> Any:
    """Check that ``value`` is not an awaitable, and return it.

    :raises ComputationProtocolError: if it is one; a coroutine is closed first, so that it causes no warning.
    """
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise ComputationProtocolError(f"{where} returned an awaitable; the value is needed at once")
    return value
