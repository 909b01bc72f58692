"""Check that a custom kind of computation conforms to the protocol, when it is registered and when it is planned."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement

from ...definitions.computation import Computation
from ...errors import ComputationProtocolError, DefinitionFault


def check_computations(computations: Iterable[Any]) -> None:
    """Check that computation classes can be registered.

    :raises TypeError: if one is not a subclass of Computation.
    :raises ComputationProtocolError: if ``_fields`` lacks one of its parameters.
    """
    for computation in computations:
        if not (isinstance(computation, type) and issubclass(computation, Computation)):
            raise TypeError(f"accumulates() takes classes of computations, not {computation!r}")
        # migrations detect changed declarations by these attributes
        unnamed = [name for name in _parameters(computation) if name not in computation._fields]
        if unnamed:
            raise ComputationProtocolError(
                f"{computation.__name__}._fields lacks {', '.join(map(repr, unnamed))}: it must name every parameter "
                "of the constructor, so that a changed declaration is detected, and each must be an attribute too"
            )


def check_accumulator(cls: Any, base: type[Any]) -> None:
    """Check that an accumulator class is complete.

    :param base: the required base class.
    :raises TypeError: if it is not a subclass of ``base``.
    :raises ComputationProtocolError: if a method is missing.
    """
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise TypeError(f"accumulates() decorates a subclass of Accumulator or Selection, not {cls!r}")
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise ComputationProtocolError(f"{cls.__name__} lacks {', '.join(f'{name}()' for name in missing)}")


def _parameters(computation: type[Any]) -> list[str]:
    _, *parameters = inspect.signature(computation.__init__).parameters.values()
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def numbers_of(accumulator: Any, running: Sequence[ColumnElement[Any]], make: Callable[[], Any]) -> list[Any]:
    """Return the result of ``make``, the expressions of a member, after checking all methods of the accumulator.

    :param running: the running columns.
    :raises DefinitionFault: if a method returns an invalid value.
    """
    name, count = type(accumulator).__name__, len(running)
    numbers = _expressions(f"{name}.sql()", _called(f"{name}.sql()", make), count)
    total: Any = getattr(accumulator, "total", None)
    if total is not None:
        _expressions(f"{name}.total()", _called(f"{name}.total()", lambda: total(numbers)), count)
        joined: Any = getattr(accumulator, "joined", None)
        after = _called(f"{name}.joined()", lambda: joined(running, running))
        if after is not None:
            _expressions(f"{name}.joined()", after, count)
    if count > 1 and not _says_result(type(accumulator)):
        raise DefinitionFault(f"{name} has {count} hidden columns: define result(), the value computed from them")
    result = _called(f"{name}.result()", lambda: accumulator.result(running))
    _require_expression(f"{name}.result()", result)
    return numbers


def _says_result(cls: type[Any]) -> bool:
    inherited = next(base for base in cls.__mro__ if "result" in vars(base))
    return inherited.__module__ != f"{__package__}.accumulator"


def _called(name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (DefinitionFault, ComputationProtocolError):
        raise
    except Exception as error:
        raise DefinitionFault(f"{name} raised {type(error).__name__}: {error}") from error


def _expressions(name: str, found: Any, count: int) -> list[Any]:
    if isinstance(found, (str, bytes)) or not isinstance(found, Sequence):
        raise DefinitionFault(
            f"{name} returned {found!r}: return a list of SQL expressions, one for each hidden column"
        )
    expressions: list[Any] = list(found)  # pyright: ignore[reportUnknownArgumentType]
    if len(expressions) != count:
        raise DefinitionFault(
            f"{name} returned a list of {len(expressions)} instead of {count}: return one expression for each of "
            "hidden_columns(), in the same order, or the value itself if there are none"
        )
    for expression in expressions:
        _require_expression(name, expression)
    return expressions


def _require_expression(name: str, expression: Any) -> None:
    if not isinstance(expression, (ColumnElement, int, float)) and not hasattr(expression, "__clause_element__"):
        raise DefinitionFault(f"{name} returned {expression!r}, which is not a SQL expression")
