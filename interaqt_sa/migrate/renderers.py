"""Rendering of the operations in revisions."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Any, Literal

from alembic.autogenerate.render import renderers
from alembic.operations.ops import AlterColumnOp
from sqlalchemy import JSON, Numeric, Text, TextClause
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..dialects.running_sum_type import RunningSum
from . import operations as op
from .constraint_operations import SetNotNull, ValidateConstraint
from .enum_operations import AddEnumLabel, CreateEnum, DropEnum
from .legacy_table_operation import AdoptTable, ReturnTable
from .native_enums import is_array, native_enum, render_enum
from .unconverted_values import USING, ConvertValue

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

_PACKAGE = __name__.partition(".")[0]


class _Lines(str):
    """A statement that is rendered line by line."""

    __slots__ = ()


def _call(context: AutogenContext, name: str, *args: Any, **kw: Any) -> str:
    """Return the source of a call, without keywords that are ``None``."""
    shown = [_source(context, arg) for arg in args]
    shown += [f"{key}={_source(context, value)}" for key, value in kw.items() if value is not None]
    return f"{context.opts['alembic_module_prefix']}{name}({', '.join(shown)})"


def _source(context: AutogenContext, value: Any) -> str:
    if isinstance(value, TypeEngine):
        return _type_source(context, value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, TextClause):
        return f"{context.opts['sqlalchemy_module_prefix']}text({value.text!r})"
    if value == {}:
        return "{}"
    if isinstance(value, dict):
        pairs: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        lines = [f"{_source(context, key)}: {_source(context, item)}," for key, item in pairs.items()]
        return "\n".join(["{", *(indent(line, "    ") for line in lines), "}"])
    if isinstance(value, (tuple, list)):
        items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return f"[{', '.join(_source(context, item) for item in items)}]"
    if isinstance(value, _Lines):
        lines = [f"    {line!r}" for line in value.splitlines(keepends=True)]
        return "\n".join(["(", *lines, ")"])
    # names may be instances of quoted_name, whose repr is not a plain string literal
    return repr(str(value)) if isinstance(value, str) else repr(value)


def _type_source(context: AutogenContext, type_: TypeEngine[Any]) -> str:
    """Return the source of a type as Alembic renders it, including imports.

    Alembic has no function for types alone, so an operation that contains only the type is rendered.
    """
    operation = AlterColumnOp("t", "c", modify_type=type_)
    source: Any = renderers.dispatch(operation)(context, operation)
    return str(source).partition("type_=")[2].removesuffix(")")


@renderers.dispatch_for(ConvertValue)
def _convert_value(context: AutogenContext, operation: ConvertValue) -> str:
    # Alembic does not render options of a dialect
    plain: Any = renderers.dispatch(AlterColumnOp)
    source: str = plain(context, operation)
    return f"{source.removesuffix(')')},\n{' ' * 11}{USING}={operation.kw[USING]!r})"


@renderers.dispatch_for(op.Note)
def _note(context: AutogenContext, operation: op.Note) -> str:
    # a statement, because a function cannot consist of comments
    return f"pass  # {operation.text}"


@renderers.dispatch_for(op.CreateSequence)
def _create_sequence(context: AutogenContext, operation: op.CreateSequence) -> str:
    return _sequence_call(context, "interaqt_create_sequence", operation)


@renderers.dispatch_for(op.DropSequence)
def _drop_sequence(context: AutogenContext, operation: op.DropSequence) -> str:
    return _sequence_call(context, "interaqt_drop_sequence", operation)


def _sequence_call(context: AutogenContext, name: str, operation: op.SequenceOperation) -> str:
    return _call(context, name, operation.name, **{**operation.options, "schema": operation.schema})


@renderers.dispatch_for(CreateEnum)
def _create_enum(context: AutogenContext, operation: CreateEnum) -> str:
    return _call(context, "interaqt_create_enum", operation.name, operation.labels, schema=operation.schema)


@renderers.dispatch_for(DropEnum)
def _drop_enum(context: AutogenContext, operation: DropEnum) -> str:
    return _call(context, "interaqt_drop_enum", operation.name, schema=operation.schema)


@renderers.dispatch_for(AddEnumLabel)
def _add_enum_label(context: AutogenContext, operation: AddEnumLabel) -> str:
    (label,) = operation.labels
    return _call(
        context,
        "interaqt_add_enum_label",
        operation.name,
        label,
        before=operation.before,
        schema=operation.schema,
    )


@renderers.dispatch_for(op.RetireBackfill)
def _retire_backfill(context: AutogenContext, operation: op.RetireBackfill) -> str:
    return _call(context, "interaqt_retire_backfill", *operation.names)


@renderers.dispatch_for(op.ReopenBackfill)
def _reopen_backfill(context: AutogenContext, operation: op.ReopenBackfill) -> str:
    return _call(context, "interaqt_reopen_backfill", operation.values)


@renderers.dispatch_for(op.MoveLegacyIds)
def _move_legacy_ids(context: AutogenContext, operation: op.MoveLegacyIds) -> str:
    return _call(
        context,
        "interaqt_move_legacy_ids",
        operation.sequence,
        operation.table,
        operation.column,
        operation.records,
        schema=operation.schema,
    )


@renderers.dispatch_for(op.LockLegacyIds)
def _lock_legacy_ids(context: AutogenContext, operation: op.LockLegacyIds) -> str:
    return _call(context, "interaqt_lock_legacy_ids", schema=operation.schema)


@renderers.dispatch_for(op.ReturnLegacyIds)
def _return_legacy_ids(context: AutogenContext, operation: op.ReturnLegacyIds) -> str:
    return _call(
        context,
        "interaqt_return_legacy_ids",
        operation.sequence,
        operation.table,
        operation.column,
        operation.records,
        schema=operation.schema,
    )


@renderers.dispatch_for(AdoptTable)
def _adopt_table(context: AutogenContext, operation: AdoptTable) -> str:
    return _table_call(context, "interaqt_adopt_table", operation)


@renderers.dispatch_for(ReturnTable)
def _return_table(context: AutogenContext, operation: ReturnTable) -> str:
    return _table_call(context, "interaqt_return_table", operation)


def _table_call(context: AutogenContext, name: str, operation: AdoptTable | ReturnTable) -> str:
    return _call(context, name, operation.legacy, operation.table, operation.columns, schema=operation.schema)


@renderers.dispatch_for(op.Backfill)
def _backfill(context: AutogenContext, operation: op.Backfill) -> str:
    options: dict[str, Any] = {
        "batch": operation.batch if operation.batch != op.DEFAULT_BATCH else None,
        "inline": operation.inline or None,
    }
    if not operation.inline:
        # tables that the revision creates have no rows
        known = [give() for give in operation.without_models]
        options["sql"] = {one.name: [_Lines(sql) for sql in one.sql] for one in known if one.sql} or None
        options["tables"] = {one.name: one.table for one in known} or None
    given = [*operation.values.items()]
    return _call(context, "interaqt_backfill", *(given[0] if len(given) == 1 else [operation.values]), **options)


@renderers.dispatch_for(op.CheckRows)
def _check_rows(context: AutogenContext, operation: op.CheckRows) -> str:
    columns = operation.columns or None
    return _call(
        context,
        "interaqt_check_rows",
        operation.required,
        operation.table,
        operation.where,
        columns=columns,
        schema=operation.schema,
    )


@renderers.dispatch_for(SetNotNull)
def _set_not_null(context: AutogenContext, operation: SetNotNull) -> str:
    return _call(context, "interaqt_set_not_null", operation.table, operation.column, schema=operation.schema)


@renderers.dispatch_for(ValidateConstraint)
def _validate_constraint(context: AutogenContext, operation: ValidateConstraint) -> str:
    return _call(
        context,
        "interaqt_validate_constraint",
        operation.constraint,
        operation.table,
        columns=operation.columns or None,
        schema=operation.schema,
    )


@renderers.dispatch_for(op.Verify)
def _verify(context: AutogenContext, operation: op.Verify) -> str:
    return _call(context, "interaqt_verify", *operation.names)


@renderers.dispatch_for(op.MoveLinks)
def _move_links(context: AutogenContext, operation: op.MoveLinks) -> str:
    return _call(context, "interaqt_move_links", operation.relation, operation.forth, operation.back)


@renderers.dispatch_for(op.CheckUnique)
def _check_unique(context: AutogenContext, operation: op.CheckUnique) -> str:
    return _call(
        context,
        "interaqt_check_unique",
        operation.constraint,
        operation.table,
        operation.columns,
        where=operation.where,
        nulls_not_distinct=operation.nulls_not_distinct or None,
        schema=operation.schema,
    )


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Render types of this package as their database types, because revisions may outlive the package's modules."""
    if kind != "type":
        return False
    # array types render their item types themselves
    enum = None if is_array(item) else native_enum(item, context.dialect)
    if enum is not None:
        context.imports.add("from sqlalchemy.dialects import postgresql")
        return render_enum(enum)
    if type(item) in (postgresql.JSON, postgresql.JSONB):
        return _postgresql_json(context, item)
    of_postgresql = type(item).__module__.startswith("sqlalchemy.dialects.postgresql")
    if is_array(item) and of_postgresql and context.dialect.name != "postgresql":
        # for other dialects Alembic renders the item type without a prefix
        context.imports.add("from sqlalchemy.dialects import postgresql")
        inner, dimensions = _type_source(context, item.item_type), item.dimensions
        return f"postgresql.ARRAY({inner}{f', dimensions={dimensions}' if dimensions else ''})"
    plain = _plain(context, item)
    return _type_source(context, plain) if plain is not None else False


def _plain(context: AutogenContext, item: TypeEngine[Any]) -> TypeEngine[Any] | None:
    """Return the SQLAlchemy type that a type of this package represents, ``None`` if it is not of this package."""
    if not type(item).__module__.startswith(f"{_PACKAGE}."):
        return None
    plain: TypeEngine[Any]
    if isinstance(item, JSON):
        plain = JSON(none_as_null=item.none_as_null)
    elif isinstance(item, RunningSum):
        plain = Numeric().with_variant(Text(), "sqlite")
    else:
        assert isinstance(item, TypeDecorator)
        stored: TypeEngine[Any] = item.load_dialect_impl(context.dialect)
        plain = stored.as_generic()
    # there is no public way to get the variants of a type
    for dialect, variant in item._variant_mapping.items():  # pyright: ignore[reportPrivateUsage]
        plain = plain.with_variant(variant, dialect)
    return plain


def _postgresql_json(context: AutogenContext, item: postgresql.JSON) -> str:
    """Render the type as Alembic does on PostgreSQL; for others Alembic renders the inner type without a prefix."""
    context.imports.add("from sqlalchemy.dialects import postgresql")
    inner = _type_source(context, item.astext_type)
    return f"postgresql.{type(item).__name__}(none_as_null={item.none_as_null!r}, astext_type={inner})"
