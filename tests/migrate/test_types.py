"""The types of properties, as revisions show them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op_text
from alembic.migration import MigrationContext
from alembic.operations import ops
from sqlalchemy import JSON, Column, DateTime, MetaData, Text
from sqlalchemy.dialects import postgresql, sqlite

from interaqt_sa.definitions.aggregates import Count
from interaqt_sa.definitions.dictionary import Dictionary
from interaqt_sa.definitions.records import Entity, Property
from interaqt_sa.dialects.column_types import AwareDateTime, Json, Timestamp
from interaqt_sa.interactions import Interaction
from interaqt_sa.migrate import configure
from interaqt_sa.schema.compile_schema import compile_schema
from interaqt_sa.schema.schema_inspection import Schema
from tests.migrate.environment import Environment

WORDS = ("string", "number", "boolean", "timestamp", "object", "id")
CLASSES: tuple[Any, ...] = (str, int, float, Decimal, bool, datetime, dict, list, UUID)
OF_SQLALCHEMY = (Text, JSON(none_as_null=True), JSON().with_variant(postgresql.JSONB(), "postgresql"))


def things(*, grown: bool) -> Schema:
    """Compile an entity that, when `grown`, has a property of every type beside it."""
    types = (*WORDS, *CLASSES, *OF_SQLALCHEMY) if grown else ()
    properties = [Property(f"single{place}", type_) for place, type_ in enumerate(types)]
    properties += [Property(f"many{place}", type_, collection=True) for place, type_ in enumerate(types)]
    if grown:
        properties += [Property("words", list, default=lambda: ["a"], nullable=False)]
    thing = Entity("Thing", [Property("name", str), *properties])
    return compile_schema(
        MetaData(),
        entities=[thing],
        dictionaries=[
            Dictionary("options", dict),
            Dictionary("total", int, computation=Count("Thing")),
        ]
        if grown
        else [],
        event_sources=[Interaction("Pay")] if grown else [],
    )


def test_revisions_have_plain_types_and_import_them(environment: Environment) -> None:
    environment.migrate(things(grown=False))
    environment.run("INSERT INTO thing (name) VALUES ('a')")

    sources = environment.migrate(things(grown=True))

    assert "interaqt_sa" not in sources[0].replace("op.interaqt", "")
    assert "sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, " in sources[0]
    assert environment.rows("SELECT count(*) FROM thing WHERE words IS NOT NULL") == [(1,)]
    environment.downgrade("base")
    environment.upgrade()
    environment.check()


@pytest.mark.parametrize("dialect", [postgresql.dialect(), sqlite.dialect()], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    "type_",
    [
        Json(),
        Json().with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
        Text().with_variant(Json(), "sqlite"),
        Timestamp().with_variant(Text(), "sqlite"),
        AwareDateTime().with_variant(Timestamp(), "postgresql"),
        Json().with_variant(sqlalchemy.ARRAY(Timestamp()), "postgresql"),
        DateTime(timezone=True).with_variant(postgresql.JSONB(astext_type=Timestamp()), "postgresql"),
    ],
    ids=repr,
)
def test_types_in_types(type_: Any, dialect: Any) -> None:
    settings = configure(MetaData())
    context = MigrationContext.configure(dialect=dialect, opts=settings)
    prefixes = {"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None}
    rendering = AutogenContext(context, opts=settings | prefixes)

    code = render_op_text(rendering, ops.AddColumnOp("thing", Column("value", type_)))

    assert "interaqt_sa" not in code
    names: dict[str, Any] = {"sa": sqlalchemy, "op": SimpleNamespace(add_column=lambda _, column: column)}
    for line in sorted(rendering.imports):
        exec(line, names)
    column: Column[Any] = eval(code, names)
    assert column.type.compile(dialect) == type_.compile(dialect)
