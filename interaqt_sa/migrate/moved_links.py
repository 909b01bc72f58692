"""Move links of relations whose storage has changed, as from a foreign key (1:n) to a link table (n:n)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AddColumnOp, CreateTableOp, DropColumnOp, DropTableOp, ModifyTableOps, UpgradeOps
from alembic.util import CommandError
from sqlalchemy import MetaData, Table

from ..definitions.records import Relation
from ..errors import DefinitionFault
from ..schema.compile.tables import table_name
from ..schema.filtered_lookup import base_record
from ..schema.metadata_state import Catalog
from ..schema.naming import fit_identifier, snake_case
from ..schema.record_lookup import resolve_record
from .backfill_state import metadatas
from .operations import CheckUnique, MoveLinks

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy.engine.reflection import Inspector

#: ``-x`` option with the names of relations whose links need not be moved
APPROVE = "approve"


@dataclass(frozen=True)
class Storage:
    """The storage of a relation's links: rows of ``table`` that refer to both ends.

    :ivar source: the column with the key of the source; ``target`` is that of the target. With a foreign key, one of
        them is the row's own key.
    :ivar is_link: whether the rows are links.
    """

    table: Table | str
    schema: str | None
    source: str
    target: str
    is_link: bool
    held: str

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.table.name if isinstance(self.table, Table) else self.table


def move_links(context: AutogenContext, upgrade_ops: UpgradeOps) -> None:
    """Insert operations that move links, after the creation of the new storage and before the drop of the old one."""
    moves: list[MoveLinks] = []
    checks: list[CheckUnique] = []
    dropped: list[Any] = []
    for metadata in metadatas(context.metadata):
        for relation in Catalog.of(metadata).definitions.values():
            if not isinstance(relation, Relation):
                continue
            ends = _ends(metadata, relation)
            new = None if ends is None else _new_storage(metadata, relation, ends, upgrade_ops)
            old = None if ends is None or new is None else _old_storage(context.inspector, relation, ends, new)
            if new is None or ends is None:
                continue
            if old is None:
                _refuse_lost_links(context, relation, ends, new)
                continue
            checks += _checks(old, new, relation)
            moves.append(_move(context, relation, old, new))
            dropped += _take_drops(upgrade_ops, old)
    upgrade_ops.ops[:] = [*checks, *upgrade_ops.ops, *moves, *dropped]


def _ends(metadata: MetaData, relation: Relation) -> tuple[Table, Table] | None:
    """Return the tables of source and target, if each has a single-column key."""
    tables: list[Any] = []
    for end in (relation.source, relation.target):
        try:
            table: Any = resolve_record(metadata, base_record(metadata, end)).local_table
        except DefinitionFault:
            return None
        if not isinstance(table, Table) or len(table.primary_key.columns) != 1:
            return None
        tables.append(table)
    return tables[0], tables[1]


def _key(table: Table) -> str:
    return str(next(iter(table.primary_key.columns)).name)


def _forms(relation: Relation, ends: tuple[Table, Table]) -> Iterator[Storage]:
    """Yield all possible storages of a relation."""
    source, target = ends
    link = table_name(relation)
    yield Storage(link, source.schema, "source_id", "target_id", is_link=True, held="source_id")
    on_target = fit_identifier(f"{snake_case(relation.target_property)}_id")
    yield Storage(target, target.schema, on_target, _key(target), is_link=False, held=on_target)
    on_source = fit_identifier(f"{snake_case(relation.source_property)}_id")
    yield Storage(source, source.schema, _key(source), on_source, is_link=False, held=on_source)


def _new_storage(
    metadata: MetaData, relation: Relation, ends: tuple[Table, Table], upgrade_ops: UpgradeOps
) -> Storage | None:
    """Return the new storage of links, if this revision creates it next to existing tables."""
    created = {(op.schema, op.table_name) for op in upgrade_ops.ops if isinstance(op, CreateTableOp)}
    if any((table.schema, table.name) in created for table in ends):
        return None
    added = {
        (container.schema, container.table_name, op.column.name)
        for container in upgrade_ops.ops
        if isinstance(container, ModifyTableOps)
        for op in container.ops
        if isinstance(op, AddColumnOp)
    }
    for form in _forms(relation, ends):
        if form.is_link and (form.schema, form.name) in created:
            return form
        if not form.is_link and (form.schema, form.name, form.held) in added:
            return form
    return None


def _old_storage(inspector: Inspector, relation: Relation, ends: tuple[Table, Table], new: Storage) -> Storage | None:
    """Return the existing storage of a relation's links, if the models do not declare it any more."""
    for form in _forms(relation, ends):
        declared = ends[0].metadata.tables.get(form.name if form.schema is None else f"{form.schema}.{form.name}")
        if form == new or (declared is not None and form.held in declared.columns):
            continue
        if not inspector.has_table(form.name, schema=form.schema):
            continue
        columns = {column["name"] for column in inspector.get_columns(form.name, schema=form.schema)}
        referred = {
            (key["constrained_columns"][0], key["referred_table"])
            for key in inspector.get_foreign_keys(form.name, schema=form.schema)
            if len(key["constrained_columns"]) == 1
        }
        wanted = {(form.source, ends[0].name), (form.target, ends[1].name)} if form.is_link else set[Any]()
        if not form.is_link:
            other = ends[0] if form.held == form.source else ends[1]
            wanted = {(form.held, other.name)}
        if columns >= {form.source, form.target} and wanted <= referred:
            return form
    return None


def _refuse_lost_links(context: AutogenContext, relation: Relation, ends: tuple[Table, Table], new: Storage) -> None:
    """Refuse a new link table next to a foreign key between its ends that no property declares any more.

    It may hold the links of the relation, whose property has another name now.
    """
    environment = context.migration_context.environment_context
    given = {} if environment is None else environment.get_x_argument(as_dictionary=True)
    if not new.is_link or relation.name in str(given.get(APPROVE, "")).split(","):
        return
    for table, other in ((ends[1], ends[0]), ends):
        for key in context.inspector.get_foreign_keys(table.name, schema=table.schema):
            column, *more = key["constrained_columns"]
            if not more and key["referred_table"] == other.name and column not in table.columns:
                raise CommandError(
                    f"relation {relation.name!r} gets a table for its links, and {table.name}.{column}, a key of "
                    f"{other.name}, is not declared any more. If it holds the links of this relation, change the type "
                    f"and the name of its property in two revisions; otherwise give -x {APPROVE}={relation.name}"
                )


def _checks(old: Storage, new: Storage, relation: Relation) -> Iterator[CheckUnique]:
    """Yield the checks for links that the new storage cannot hold."""
    single: list[str] = []
    if not new.is_link:
        single.append(old.target if new.held == new.source else old.source)
    if relation.type == "1:1":
        single = [old.source, old.target]
    for column in single:
        if column != "id" or old.is_link:
            yield CheckUnique(f"relation {relation.name} ({relation.type})", old.name, [column], schema=old.schema)


def _move(context: AutogenContext, relation: Relation, old: Storage, new: Storage) -> MoveLinks:
    if new.is_link and isinstance(new.table, str):
        _refuse_required(relation)
    forth = [_statement(context, old, new)]
    back = [_statement(context, new, old)]
    if old.is_link:
        back.insert(0, f"DELETE FROM {_quoted(context, old)}")
    return MoveLinks(relation.name, forth, back)


def _refuse_required(relation: Relation) -> None:
    missing = [p.name for p in relation.properties if p.nullable is False and p.computation is None]
    if missing:
        raise CommandError(
            f"relation {relation.name!r} gets rows of its own, whose {', '.join(missing)} may not be NULL: existing "
            "links have no value for it. Add the property as nullable first, fill it, and require it afterwards"
        )


def _statement(context: AutogenContext, old: Storage, new: Storage) -> str:
    """Return SQL that writes the links of ``old`` into ``new``."""
    quote = context.dialect.identifier_preparer.quote
    source, target, held = quote(old.source), quote(old.target), quote(new.held)
    if new.is_link:
        return (
            f"INSERT INTO {_quoted(context, new)} ({quote(new.source)}, {quote(new.target)}) "
            f"SELECT {source}, {target} FROM {_quoted(context, old)} "
            f"WHERE {source} IS NOT NULL AND {target} IS NOT NULL"
        )
    value, key, own = (source, target, new.target) if new.held == new.source else (target, source, new.source)
    table = _quoted(context, new)
    # an alias, because both may be columns of one table
    return (
        f"UPDATE {table} SET {held} = (SELECT min(link.{value}) FROM {_quoted(context, old)} AS link "
        f"WHERE link.{key} = {table}.{quote(own)})"
    )


def _quoted(context: AutogenContext, storage: Storage) -> str:
    preparer = context.dialect.identifier_preparer
    schema = f"{preparer.quote(storage.schema)}." if storage.schema else ""
    return f"{schema}{preparer.quote(storage.name)}"


def _take_drops(upgrade_ops: UpgradeOps, old: Storage) -> Iterator[Any]:
    """Remove from ``upgrade_ops``, and yield, the operations that drop the old storage."""
    for container in list(upgrade_ops.ops):
        if isinstance(container, DropTableOp) and (container.schema, container.table_name) == (old.schema, old.name):
            upgrade_ops.ops.remove(container)
            yield container
        elif isinstance(container, ModifyTableOps) and (container.schema, container.table_name) == (
            old.schema,
            old.name,
        ):
            mine = [op for op in container.ops if isinstance(op, DropColumnOp) and op.column_name == old.held]
            container.ops[:] = [op for op in container.ops if op not in mine]
            if mine:
                yield ModifyTableOps(old.name, mine, schema=old.schema)
