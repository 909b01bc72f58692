"""Values are filled again if a revision writes what they are computed from, in whatever way."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Column, ForeignKey, Integer, Numeric, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.definitions.transform import Transform
from tests.migrate.environment import Environment

ROWS = (
    "INSERT INTO box (id, name) VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO item (id, box_id, n) VALUES (1, 1, 10), (2, 1, 20), (3, 2, 5)",
    "INSERT INTO tag (id) VALUES (1), (2)",
)


def described(item: Any) -> dict[str, Any]:
    return {"item_id": item.id, "text": f"{item.n}", "length": len(f"{item.n}")}


def without_length(item: Any) -> dict[str, Any]:
    return {name: value for name, value in described(item).items() if name != "length"}


# the same function in two versions of a program
without_length.__qualname__ = described.__qualname__


def boxes(*, type_: Any = None, has_length: bool = True, has_values: bool = True) -> Any:
    """Return a base with aggregates over members, links and a path, a function of the row, and derived rows."""

    class Base(DeclarativeBase):
        pass

    links = Table(
        "link",
        Base.metadata,
        Column("box_id", ForeignKey("box.id")),
        Column("tag_id", ForeignKey("tag.id"), index=True),
    )

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), index=True)
        n: Mapped[Any] = mapped_column(type_ or Integer(), nullable=True)
        if has_values:
            label: Mapped[str | None] = iq.computed(lambda item: f"{item.n}")

    class Tag(Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        items: Mapped[list[Item]] = relationship()
        tags: Mapped[list[Tag]] = relationship(secondary=links)
        if has_values:
            total: Mapped[Decimal] = iq.computed(iq.Summation("items", "n"), Numeric(12, 2))
            number: Mapped[int] = iq.computed(iq.Count("items"))
            tagged: Mapped[int] = iq.computed(iq.Count("tags"))

    Base.kept = [Item, Tag, Box]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    if not has_values:
        return Base

    class Note(Base):
        __tablename__ = "note"
        __computation__ = Transform(Item, described if has_length else without_length)
        id: Mapped[int] = mapped_column(primary_key=True)
        item_id: Mapped[int]
        text: Mapped[str] = mapped_column(String)
        if has_length:
            length: Mapped[int]

    Base.kept.append(Note)  # type: ignore[attr-defined]
    return Base


def is_true(environment: Environment, base: Any) -> bool:
    report = iq.System(environment.engine, base=base, configure_sqlite=False).check()
    assert report.ok, report.differences
    return True


def by_hand(environment: Environment, *lines: str) -> None:
    """Write a revision whose upgrade consists of `lines`."""
    made: Any = command.revision(environment.config(), message="by hand")
    path = Path(made.path)
    head = path.read_text().partition("def upgrade(")[0]
    head += "import sqlalchemy\nfrom sqlalchemy import Column, Integer, Numeric, String, column, table\n"
    body = "\n".join(f"    {line}" for line in lines)
    path.write_text(f"{head}def upgrade() -> None:\n{body}\n\n\ndef downgrade() -> None:\n    pass\n")


def start(environment: Environment) -> Any:
    base = boxes()
    environment.migrate(base)
    environment.run(*ROWS)
    iq.System(environment.engine, base=base, configure_sqlite=False).repair()
    return base


WRITES = [
    "op.execute('UPDATE item SET n = n + 1')",
    'op.execute("""UPDATE "item" SET box_id = 2 WHERE id = 1""")',
    "op.execute('INSERT INTO item (id, box_id, n) VALUES (9, 2, 100)')",
    "op.execute('WITH found AS (SELECT 3 AS id) DELETE FROM item WHERE id IN (SELECT id FROM found)')",
    "op.execute('INSERT INTO link (box_id, tag_id) VALUES (1, 1), (1, 2)')",
    "op.execute(table('item', column('n')).update().values(n=7))",
    "op.bulk_insert(table('item', column('id'), column('box_id'), column('n')), [{'id': 9, 'box_id': 1, 'n': 4}])",
    "op.bulk_insert(table('box', column('id'), column('name')), [{'id': 9, 'name': 'c'}])",
    "op.get_bind().execute(sqlalchemy.text('UPDATE item SET n = 3 WHERE id = 2'))",
    "op.get_bind().exec_driver_sql('UPDATE item SET n = 3 WHERE id = 2')",
    "op.execute('UPDATE box SET total = 12, number = 5')",
    "op.execute(\"UPDATE note SET text = 'other'\")",
]


@pytest.mark.parametrize("write", WRITES)
def test_a_later_revision_writes(environment: Environment, write: str) -> None:
    base = start(environment)
    by_hand(environment, write)
    environment.upgrade()
    assert is_true(environment, base)
    environment.check()


@pytest.mark.parametrize("place", ["in its revision", "in the next", "after its back-fill"])
def test_rows_that_are_written_after_a_back_fill(environment: Environment, place: str) -> None:
    base = boxes()
    environment.use(base)
    if place == "after its back-fill":
        environment.migrate(boxes(has_values=False))
        environment.use(base)
    environment.revision()
    writes = [f"op.execute({row!r})" for row in (*ROWS, "INSERT INTO link (box_id, tag_id) VALUES (1, 1)")]
    if place == "in the next":
        by_hand(environment, *writes)
    else:
        (path,) = [one for one in environment.versions.glob("*.py") if "op.interaqt_backfill(" in one.read_text()]
        head, mark, rest = path.read_text().partition("\n\ndef downgrade")
        path.write_text("\n    ".join([head.rstrip(), *writes]) + "\n" + mark + rest)
    environment.upgrade()
    assert is_true(environment, base)
    environment.check()


def test_statements_that_write_nothing_that_is_read(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    from interaqt_sa.migrate import backfill_passes

    start(environment)
    filled = list[str]()
    real = backfill_passes.backfill_values

    def noted(statements: Any, values: Any, *args: Any, **kw: Any) -> Any:
        filled.extend(value.name for value in values)
        return real(statements, values, *args, **kw)

    monkeypatch.setattr(backfill_passes, "backfill_values", noted)
    by_hand(
        environment,
        "op.execute(\"UPDATE box SET name = 'other'\")",
        "op.execute('SELECT n FROM item')",
        "op.create_index('by_n', 'item', ['n'])",
    )
    environment.upgrade()
    assert filled == []


def test_a_column_that_is_dropped_and_added(environment: Environment) -> None:
    base = start(environment)
    added = [
        "op.drop_column('box', 'total')",
        "op.add_column('box', Column('total', Numeric(12, 2), server_default='0'))",
    ]
    by_hand(environment, *added)
    environment.upgrade()
    assert is_true(environment, base)
    by_hand(environment, "op.drop_column('item', 'n')")
    by_hand(environment, "op.add_column('item', Column('n', Integer))")  # a member's
    environment.upgrade()
    assert is_true(environment, base)
    by_hand(
        environment,
        "with op.batch_alter_table('item') as batch:",
        "    batch.drop_column('n')",
        "    batch.add_column(Column('n', Integer, server_default='6'))",
    )
    environment.upgrade()
    assert is_true(environment, base)
    by_hand(environment, "op.execute('ALTER TABLE box DROP COLUMN number')")
    by_hand(environment, "op.execute('ALTER TABLE box ADD COLUMN number INTEGER NOT NULL DEFAULT 0')")
    environment.upgrade()
    assert is_true(environment, base)


@pytest.mark.parametrize("way", ["batch", "statement"])
def test_a_column_that_is_converted_by_hand(environment: Environment, way: str) -> None:
    if way == "statement" and not environment.is_postgresql:
        pytest.skip("SQLite cannot alter a column")
    environment.migrate(boxes(type_=Numeric(10, 2)))
    environment.run(*ROWS, "UPDATE item SET n = 1.5")
    iq.System(environment.engine, base=boxes(type_=Numeric(10, 2)), configure_sqlite=False).repair()
    if way == "batch":
        by_hand(
            environment,
            "with op.batch_alter_table('item') as batch:",
            "    batch.alter_column('n', type_=Integer, existing_type=Numeric(10, 2))",
        )
    else:
        by_hand(environment, "op.execute('ALTER TABLE item ALTER COLUMN n TYPE INTEGER')")
    base = boxes()
    environment.use(base)
    environment.upgrade()
    assert is_true(environment, base)


def test_derived_rows_that_get_a_column(environment: Environment) -> None:
    before = boxes(has_length=False)
    environment.migrate(before)
    environment.run(*ROWS)
    iq.System(environment.engine, base=before, configure_sqlite=False).repair()

    base = boxes()
    environment.migrate(base)

    assert environment.rows("SELECT length FROM note ORDER BY id") == [(2,), (2,), (1,)]
    assert is_true(environment, base)
    if environment.is_postgresql:
        with pytest.raises(Exception, match="null value"):
            environment.run("UPDATE note SET length = NULL")
