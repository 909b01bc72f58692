"""What differs between databases is in one package, and a database that is not there is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Numeric, Table, create_mock_engine, select
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import sessionmaker

import interaqt_sa
from interaqt_sa import Entity, Property, System, compile_schema
from interaqt_sa.dialects import dialect_for
from interaqt_sa.dialects.functions import finite
from interaqt_sa.errors import TransactionCapabilityError

PACKAGE = Path(interaqt_sa.__file__).parent
#: how code tells one database from another
_ASKS = re.compile(
    r"dialect\.name\s*(==|!=|\bin\b)|\bPGDialect\b|\bSQLiteDialect\b|@compiles\(.*,|sqlalchemy\.dialects(\.| import)"
)
#: catalogue look-ups and DDL of migrations, and a literal that is rendered into the environment of the application
_MAY_ASK = ("dialects/", "migrate/")


class CockroachDialect(PGDialect):
    """Like that of ``sqlalchemy-cockroachdb``: a subclass of PostgreSQL's."""

    name = "cockroachdb"


@pytest.mark.parametrize("url", ["mssql+pyodbc://", "oracle://", "mysql://", "mariadb://"])
def test_another_database_is_refused_with_the_names_of_those_that_are_not(url: str) -> None:
    engine: Any = create_mock_engine(url, lambda *_: None)
    with pytest.raises(TransactionCapabilityError, match=r"not supported; .* postgresql, sqlite"):
        System(engine)
    with pytest.raises(TransactionCapabilityError, match=r"not supported; .* postgresql, sqlite"):
        System(sessionmaker(engine))


def test_a_subclass_of_a_known_dialect_is_another_database() -> None:
    with pytest.raises(TransactionCapabilityError, match="'cockroachdb' is not supported"):
        dialect_for(CockroachDialect())  # type: ignore[no-untyped-call]


def test_functions_are_not_rendered_for_another_database() -> None:
    number = Table("t", MetaData(), Column("n", Numeric)).c.n
    with pytest.raises(CompileError, match=r"finite .* 'cockroachdb'"):
        select(finite(number)).compile(dialect=CockroachDialect())  # type: ignore[no-untyped-call]


def test_tables_of_definitions_are_not_made_on_another_database() -> None:
    item = Entity("Item", [Property("name", str)])
    schema = compile_schema(MetaData(), entities=[item])
    engine: Any = create_mock_engine("mssql+pyodbc://", lambda ddl, *_: str(ddl.compile(dialect=engine.dialect)))
    with pytest.raises(CompileError, match=r"NextId .* 'mssql'"):
        schema.metadata.create_all(engine, checkfirst=False)


def test_only_the_dialects_ask_which_database_it_is() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.relative_to(PACKAGE).as_posix().startswith(_MAY_ASK)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _ASKS.search(line)
    ]
    assert found == []
