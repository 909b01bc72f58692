"""Values that a function of the application computes from declared data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from ..errors import ComputationProtocolError
from .computation import Computation, T
from .computation_result import ComputationContext, ComputationResult
from .dependency_arguments import parse_dependencies
from .references import References
from .validation import refuse_coroutine_function, require_function

Concurrency = Literal["locked", "serializable", "atomic-safe"]
_LEVELS = ("locked", "serializable", "atomic-safe")


class Custom(Computation[T]):
    """A value that a function computes from declared data, whenever any of the data changes.

    On a property or a computed column, the function is called for each new row, and for each row whose data has
    changed. Before, the row is locked, and its data is read after that; so the value is exact, however many
    transactions change the data at the same time. In a :class:`.Dictionary` it is called when a row of its records
    changes.

    :param name: name of the computation, for errors and traces.
    :param data_deps: the data that the function reads, by the name under which it finds it:

        * ``{"type": "property", "attribute_query": ["name", "owner.name", ("items", ["amount"])]}``: attributes of the
          row itself, of rows that it refers to, and of the members of its relationships, which are lists in the order
          of their keys. On properties only.
        * ``{"type": "records", "source": "Order", "attribute_query": ["total"], "match": {"status": "paid"}}``: all
          rows of a record, or those that match. In dictionaries only.
        * a :class:`.Dictionary`, or ``{"type": "global", "source": …}``: its value.
    :param compute: a pure function ``compute(ctx, deps, record)`` that returns the value. ``deps`` has the data by
        name, ``record`` the key of the row and its declared attributes; ``None`` in a dictionary. ``None`` is stored as
        NULL, ``ComputationResult.skip()`` leaves the stored value.
    :param concurrency: with ``"locked"``, which is recommended, the function runs at READ COMMITTED under the lock of
        its row. With ``"serializable"`` a dispatch that calls it is repeated at SERIALIZABLE, after it has locked the
        tables that are read against all other writers: slow, and only needed if the function reads more than its
        arguments; in a session of the application, and on SQLite, it is the same as ``"locked"``. ``"atomic-safe"``
        states that the function needs neither; it is called like ``"locked"``.
    :raises ComputationProtocolError: if an argument is invalid, or ``compute`` is a coroutine function.

    ::

        label: Mapped[str | None] = computed(
            Custom(
                "label",
                data_deps={"own": {"type": "property", "attribute_query": ["name", ("items", ["amount"])]}},
                compute=lambda ctx, deps, record: f"{record.name}: {len(record['items'])}",
                concurrency="locked",
            )
        )
    """

    _fields = ("name", "data_deps", "compute", "concurrency")
    is_global = True
    is_evaluated = True
    way_to_change = "change the data that it is computed from"

    def __init__(
        self,
        name: str,
        *,
        data_deps: Mapping[str, Any] | None = None,
        compute: Callable[[ComputationContext, Mapping[str, Any], Any], T | ComputationResult] | None = None,
        concurrency: Concurrency = "serializable",
    ) -> None:
        given: Any = name
        if not isinstance(given, str) or not given:
            raise ComputationProtocolError(f"Custom takes its name first, such as Custom('score', …), not {name!r}")
        where = f"Custom({name!r})"
        if concurrency not in _LEVELS:
            raise ComputationProtocolError(
                f"{where}: invalid concurrency {concurrency!r}; it is one of {', '.join(map(repr, _LEVELS))}"
            )
        if compute is None:
            raise ComputationProtocolError(f"{where} needs compute=, the function that returns the value")
        require_function(compute, f"{where}: compute")
        refuse_coroutine_function(compute, f"{where}: compute")
        self.name = name
        self.dependencies = parse_dependencies(data_deps, where)
        self.data_deps = data_deps
        self.compute = compute
        self.concurrency = concurrency
        self.requires_serializable = concurrency == "serializable"

    def references(self) -> References:
        return replace(super().references(), dependencies=self.dependencies)

    def meaning(self) -> dict[str, Any]:
        # the name is for people, and the level changes no value
        return {"data_deps": [dependency.meaning() for dependency in self.dependencies], "compute": self.compute}
