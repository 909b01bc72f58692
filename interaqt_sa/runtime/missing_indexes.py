"""Log the indexes that are missing, without which whole tables, or all members of a host, are read."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Inspector, MetaData

from ..engine.engine import plan_of
from ..schema.member_indexes import MemberIndex, member_indexes

log = logging.getLogger(__name__)


def tell_missing_indexes(connection: Connection, metadata: MetaData, inspector: Inspector) -> None:
    """Log the foreign keys of members, and the columns that order them, that no index of the database begins with."""
    _tell_foreign_keys(connection, metadata, inspector)
    for wanted, values in _distinct(metadata).items():
        table = wanted.table
        if not wanted.is_among(_indexed(inspector, table.name, connection.schema_for_object(table))):
            whole = "all members of its host" if wanted.keys else "all rows"
            log.warning(
                "%s has no index on %s: whenever the row that %s shows leaves or changes, %s are read; declare one by "
                "Index(…, %s)",
                table.fullname,
                ", ".join(str(column.name) for column in wanted.columns),
                " or ".join(values),
                whole,
                ", ".join(repr(str(column.name)) for column in wanted.columns),
            )


def _distinct(metadata: MetaData) -> dict[MemberIndex, list[str]]:
    """Return the wanted indexes with the values that use them."""
    found: dict[tuple[object, ...], tuple[MemberIndex, list[str]]] = {}
    # those with more columns first: they serve values that need fewer
    for wanted in sorted(member_indexes(metadata), key=lambda wanted: -len(wanted.columns)):
        _, values = found.setdefault((wanted.table, frozenset(wanted.keys), wanted.order[0]), (wanted, []))
        values.append(wanted.value)
    return dict(found.values())


def _tell_foreign_keys(connection: Connection, metadata: MetaData, inspector: Inspector) -> None:
    plan = plan_of(metadata)
    for table in metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            if table not in plan.sources or key.referred_table not in plan.hosts:
                continue
            schema = connection.schema_for_object(table)
            names = [column.name for column in key.columns]
            if not any(set(names) == set(found[: len(names)]) for found in _indexed(inspector, table.name, schema)):
                log.warning(
                    "%s has no index on %s: whenever a row of %s is computed again or deleted, the whole table is "
                    "read; declare one by index=True or Index()",
                    table.fullname,
                    ", ".join(names),
                    key.referred_table.fullname,
                )


def _indexed(inspector: Inspector, table: str, schema: str | None) -> Iterator[Sequence[str | None]]:
    yield inspector.get_pk_constraint(table, schema)["constrained_columns"]
    for index in inspector.get_indexes(table, schema):
        if not any(name.endswith("_where") for name in index.get("dialect_options", {})):
            yield index["column_names"]
    for unique in inspector.get_unique_constraints(table, schema):
        yield unique["column_names"]
