"""Recognise writes in textual SQL, in the forms whose table and columns can be parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import Connection, Table
from sqlalchemy.sql import quoted_name

from ..plan import Plan
from ..propagation.rows_of_foreign_key_actions import leads_on
from .rows_under_other_names import behind_name, other_name
from .sql_text import procedures_on, running_statements
from .table_identity import TableNames

_NAME = r'(?:"(?:[^"]|"")+"|`[^`]+`|\[[^\]]+\]|\w+)'
_DOTTED = rf"{_NAME}(?:\s*\.\s*{_NAME})?"
_TABLE = rf"(?P<table>{_DOTTED})"
_ONE = rf"(?:only\s+)?{_DOTTED}"
_WRITES = re.compile(
    rf"""\b(?:
        (?P<insert>(?:insert|replace)(?:\s+or\s+\w+)?\s+into)\s+{_TABLE.replace("table", "inserted")}
      | (?P<update>update)(?:\s+or\s+\w+)?\s+(?:only\s+)?{_TABLE.replace("table", "updated")}
            (?:\s*\*)?(?:\s+(?:as\s+)?(?!set\b){_NAME})?\s+set\b(?=(?P<set>.*))
      | (?P<delete>delete\s+from)\s+(?:only\s+)?{_TABLE.replace("table", "deleted")}
      | (?P<merge>merge\s+into)\s+(?:only\s+)?{_TABLE.replace("table", "merged")}
      | (?P<truncate>truncate)\s+(?:table\s+)?(?P<truncated>{_ONE}(?:\s*\*)?(?:\s*,\s*{_ONE}(?:\s*\*)?)*)
      | (?P<copy>copy)\s+{_TABLE.replace("table", "copied")}(?=(?:\s*\([^()]*\))?\s+from\b)
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_LISTED = re.compile(rf"(?:\bonly\s+)?(?P<table>{_DOTTED})", re.IGNORECASE)
_VERBS = ("insert", "update", "delete", "merge", "truncate", "copy")
_TABLES = ("inserted", "updated", "deleted", "merged", "copied")


def textual_writes(
    text: str, plan: Plan, names: TableNames, connection: Connection | None = None
) -> Iterator[tuple[Table, str]]:
    """Yield the tables of writes that computed values depend on, with the verb of the write.

    :param text: SQL text for which :func:`.may_write` is true.
    :param connection: where the text runs; without it procedures, partitions and views are not looked up.
    """
    procedures = None if connection is None else procedures_on(connection)
    for statement in running_statements(text, procedures):
        for found in _WRITES.finditer(statement):
            verb = next(name for name in _VERBS if found[name])
            for spelled in _spelled(found):
                parts = [_unquoted(part) for part in re.findall(_NAME, spelled)]
                wanted = names.spelled(parts[0] if len(parts) > 1 else None, parts[-1])
                tables = [table for table in plan.tables_named(parts[-1]) if names.of(table) == wanted]
                yield from ((table, verb) for table in tables if _matters(found, table, plan))
                if connection is not None and plan.sources.keys().isdisjoint(tables):
                    for table in behind_name(connection, wanted, plan, names):
                        if _matters(found, table, plan):
                            yield table, other_name(verb, spelled)


def _spelled(found: re.Match[str]) -> list[str]:
    if found["truncated"]:
        return [one["table"] for one in _LISTED.finditer(found["truncated"])]
    return [next(found[name] for name in _TABLES if found[name])]


def _unquoted(name: str) -> quoted_name:
    is_quoted = not re.fullmatch(r"\w+", name)
    return quoted_name(name[1:-1].replace('""', '"') if is_quoted else name, quote=is_quoted)


def _matters(found: re.Match[str], table: Table, plan: Plan) -> bool:
    source = plan.sources.get(table)
    if (found["delete"] or found["truncate"] or found["merge"]) and leads_on(plan, table):
        return True
    if found["truncate"] and _empties_others(found, table, plan):
        return True
    if source is None:
        return False
    if source.same_row or table in plan.reactions or any(edge.python for edge in source.edges):
        return True
    if not found["update"]:
        is_host = source.host is not None and any(not edge.has_foreign_key for edge in source.host.edges)
        return (
            bool(source.edges)
            or is_host
            or (bool(found["insert"] or found["copy"]) and _gives_computed(found, table, plan))
        )
    inputs = {*source.inputs, *plan.found_by(source), *(c for c in table.columns if c in plan.columns)}
    inputs |= set(source.host.vector) if source.host is not None else set()
    changed = found["set"].partition(";")[0]
    return any(re.search(rf"(?<!\w){re.escape(column.name)}(?!\w)", changed, re.IGNORECASE) for column in inputs)


def _empties_others(found: re.Match[str], table: Table, plan: Plan) -> bool:
    """Whether a TRUNCATE empties watched tables that refer to ``table``, whatever their foreign key actions."""
    if not re.match(r"[^;]*\bcascade\b", found.string[found.end() :], re.IGNORECASE):
        return False
    emptied, reached = {table}, [table]
    while reached:
        children = {constraint.table for constraint in plan.children.get(reached.pop(), ())} - emptied
        reached.extend(children)
        emptied |= children
    return any(child in plan.sources for child in emptied - {table})


def _gives_computed(found: re.Match[str], table: Table, plan: Plan) -> bool:
    """Whether an INSERT assigns computed columns: by their names, or because it assigns all columns."""
    computed = {column.name.casefold() for column in table.columns if column in plan.columns}
    listed = re.match(r"\s*\(([^()]*)\)", found.string[found.end() :])
    if listed is None:
        rest = found.string[found.end() :].lstrip().casefold()
        return bool(computed) and not rest.startswith("default")
    return any(_unquoted(name).casefold() in computed for name in re.findall(_NAME, listed[1]))


def textual_write(table: Table, verb: str) -> str:
    """Return the warning for a write in SQL text by an attached session."""
    return (
        f"this SQL text writes {table.fullname!r} ({verb}), so that computed values are not updated; use "
        "session.execute() with insert(), update() or delete(), or set System(unmanaged_dml='allow') and run "
        "system.repair() afterwards"
    )
