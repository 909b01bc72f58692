"""Values over trees are filled, whatever the order of rows and the size of batches."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.migrate.environment import Environment


def tree(*, computed: bool) -> Any:
    """Return a base whose nodes know the size below them, and whose owners know that of their nodes."""

    class Base(DeclarativeBase):
        pass

    class Node(Base):
        __tablename__ = "node"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"), index=True)
        owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id"), index=True)
        size: Mapped[int]
        children: Mapped[list[Node]] = relationship()
        if computed:
            total: Mapped[int] = iq.computed(lambda node: node.size + node.below)
            below: Mapped[int] = iq.computed(iq.Summation("children", "total"))
            large: Mapped[int] = iq.computed(iq.Count("children", where={"below": (">", 0)}))

    class Owner(Base):
        __tablename__ = "owner"
        id: Mapped[int] = mapped_column(primary_key=True)
        nodes: Mapped[list[Node]] = relationship()
        if computed:
            owned: Mapped[int] = iq.computed(iq.Summation("nodes", "total"))

    Base.kept = [Node, Owner]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    return Base


@pytest.mark.parametrize("batch", [1, 3, 1000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_tree_is_filled(environment: Environment, seed: int, batch: int) -> None:
    chance = random.Random(seed)
    count = 20
    names = chance.sample(range(1, 100), count)
    parents = {names[0]: None} | {
        name: chance.choice([None, *names[:place]]) for place, name in enumerate(names) if place
    }
    sizes = {name: chance.randint(0, 9) for name in names}
    owners = {name: chance.choice([None, 1, 2]) for name in names}
    environment.migrate(tree(computed=False))
    environment.run("INSERT INTO owner (id) VALUES (1), (2)")
    for name in names:
        row = ", ".join("NULL" if v is None else str(v) for v in (name, parents[name], owners[name], sizes[name]))
        environment.run(f"INSERT INTO node (id, parent_id, owner_id, size) VALUES ({row})")

    base = tree(computed=True)
    environment.use(base)
    environment.revision()
    environment.upgrade("head", f"batch={batch}")

    def children(name: int) -> list[int]:
        return [child for child, parent in parents.items() if parent == name]

    def total(name: int) -> int:
        return sizes[name] + sum(map(total, children(name)))

    expected = [(n, total(n), total(n) - sizes[n]) for n in sorted(names)]
    assert environment.rows("SELECT id, total, below FROM node ORDER BY id") == expected
    owned = [(o, sum(total(n) for n in names if owners[n] == o)) for o in (1, 2)]
    assert environment.rows("SELECT id, owned FROM owner ORDER BY id") == owned
    assert iq.System(environment.engine, base=base, configure_sqlite=False).check()
    environment.check()
