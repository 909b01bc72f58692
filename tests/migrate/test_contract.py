"""What the version before still uses goes in a last revision, after the values are filled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ForeignKey, UniqueConstraint, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.migrate.environment import Environment


def carts(*more: str, where: dict[str, Any] | None = None, table: bool = False) -> Any:
    """Return the base of carts and lines, with what is named."""

    class Base(DeclarativeBase):
        pass

    class Line(Base):
        __tablename__ = "line"
        id: Mapped[int] = mapped_column(primary_key=True)
        cart_id: Mapped[int] = mapped_column(ForeignKey("cart.id"), index=True)
        price: Mapped[int]

    class Cart(Base):
        __tablename__ = "cart"
        id: Mapped[int] = mapped_column(primary_key=True)
        lines: Mapped[list[Line]] = relationship()
        total: Mapped[int] = iq.computed(iq.Summation("lines", "price", where=where))
        if "label" in more:
            label: Mapped[str] = iq.computed(lambda cart: f"{cart.id}: {cart.total}")
            __table_args__ = (UniqueConstraint("label", name="uq_label"),)
        if "count" in more:
            count: Mapped[int] = iq.computed(iq.Count("lines"))
        if "code" in more:
            code: Mapped[str]

    Base.kept = [Line, Cart]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    if table:

        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            word: Mapped[str] = mapped_column(index=True)

        Base.kept.append(Note)  # type: ignore[attr-defined]
    return Base


ROWS = (
    "INSERT INTO cart (id, label) VALUES (1, '1: 5'), (2, '2: 0')",
    "INSERT INTO line (id, cart_id, price) VALUES (1, 1, 5), (2, 1, 0)",
    "UPDATE cart SET total = 5 WHERE id = 1",
)


def upgrade_part(source: str) -> str:
    return source.partition("def downgrade")[0]


def test_dropped_values_may_be_null_until_they_are_dropped(environment: Environment) -> None:
    environment.migrate(carts("label", "code", table=True))
    environment.run(*(row.replace("label)", "label, code)").replace("')", "', 'c')") for row in ROWS))
    environment.use(carts("count"))
    expand, fill, contract = map(upgrade_part, environment.revision())
    assert "add_column" in expand
    assert "interaqt_retire_backfill('cart.label')" in expand
    assert "drop_" not in expand + fill
    assert "drop_table('note')" in contract
    assert contract.index("'uq_label'") < contract.index("'label')")
    environment.upgrade("+1")
    # both versions insert, and the old one reads what it knows
    environment.run(
        "INSERT INTO cart (id, label) VALUES (3, '3: 0')", "INSERT INTO cart (id, label, code) VALUES (4, '4: 0', 'c')"
    )
    assert environment.rows("SELECT id, code FROM cart ORDER BY id")[2:] == [(3, None), (4, "c")]
    environment.upgrade()
    environment.check()
    assert environment.rows("SELECT count FROM cart ORDER BY id") == [(2,), (0,), (0,), (0,)]


def test_the_way_back(environment: Environment) -> None:
    environment.migrate(carts("label", table=True))
    environment.use(carts())
    expand, contract = map(upgrade_part, environment.revision())
    assert "drop_column" in contract
    assert "drop_" not in expand
    environment.upgrade()
    environment.downgrade("-2")
    environment.use(carts("label", table=True))
    environment.run(*ROWS)
    assert [one["name"] for one in inspect(environment.engine).get_unique_constraints("cart")] == ["uq_label"]
    environment.use(carts())
    environment.upgrade()
    environment.check()


def test_a_changed_declaration_has_a_step_before_its_values(environment: Environment) -> None:
    """So that `alembic upgrade +1` never fills while the version before is writing."""
    environment.migrate(carts("label"))
    environment.run(*ROWS)
    environment.use(carts("label", where={"price": (">", 9)}))
    expand, fill = environment.revision()
    assert "op.interaqt_retire_backfill('Cart.total')" in upgrade_part(expand)
    assert "op.interaqt_backfill(" in upgrade_part(fill)
    environment.upgrade("+1")
    assert environment.rows("SELECT total, label FROM cart WHERE id = 1") == [(5, "1: 5")]
    environment.upgrade()
    assert environment.rows("SELECT total, label FROM cart WHERE id = 1") == [(0, "1: 0")]
    environment.check()


@pytest.mark.parametrize("stop", [1, 2])
def test_a_changed_declaration_comes_back(environment: Environment, stop: int) -> None:
    environment.migrate(carts("label"))
    environment.run(*ROWS)
    changed = carts("label", where={"price": (">", 9)})
    (before,) = environment.heads()
    environment.use(changed)
    environment.revision()
    environment.upgrade(f"+{stop}")
    environment.run("UPDATE cart SET total = 7")  # as both versions left it
    environment.downgrade(f"-{stop}")
    environment.use(carts("label"))
    assert environment.rows("SELECT name, phase FROM interaqt_backfill WHERE name = 'cart.total'") == [
        ("cart.total", "waiting")
    ]
    environment.upgrade(before)
    assert environment.rows("SELECT id, total FROM cart ORDER BY id") == [(1, 5), (2, 0)]


def test_without_computed_values_a_revision_is_as_alembic_writes_it(
    environment_for: Callable[[str], Environment],
) -> None:
    environment = environment_for("pysqlite")
    environment.migrate(carts("code"))
    (source,) = environment.migrate(carts())
    assert "drop_column" in source
