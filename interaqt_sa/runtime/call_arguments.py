"""Explain calls with wrong arguments."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from ..definitions.event_source import EventSource
from ..definitions.short_repr import shorten

P = ParamSpec("P")
R = TypeVar("R")

_KNOWN = frozenset({"args", "event_source", "name", "session"})


def dispatching(method: Callable[P, R]) -> Callable[P, R]:
    """Explain wrong arguments of a method that dispatches: the arguments of an event are one mapping, not keywords.

    The signature stays, so that type checkers refuse such calls too.

    :param method: the method, which may be a coroutine function.
    """
    if inspect.iscoroutinefunction(method):

        async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            _check(method.__name__, args, kwargs)
            return await cast("Awaitable[Any]", method(*args, **kwargs))

        return cast("Callable[P, R]", wraps(method)(call_async))

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        _check(method.__name__, args, kwargs)
        return method(*args, **kwargs)

    return call


def _check(method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    unknown = [name for name in kwargs if name not in _KNOWN]
    if not unknown and len(args) + len(kwargs) - ("session" in kwargs) == 3:
        return
    controller, *rest = args
    given = rest[0] if rest else kwargs.get("event_source", kwargs.get("name"))
    source = controller._dispatcher.source(given)
    takes = "{…}" if source is None else source.arguments_outline()
    name = shorten(given.name if isinstance(given, EventSource) else given)
    fault = f"not {', '.join(f'{name}=' for name in unknown)}" if unknown else f"but {len(rest)} arguments were given"
    raise TypeError(
        f"{method}() takes an event source and the arguments of the event as one mapping, {fault}: "
        f"{method}({name}, {takes}); besides them it takes session="
    )
