"""Columns that a mapping leaves out by ``exclude_properties`` are read by the database all the same."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Boolean, Column, ForeignKey, Integer, MetaData, Table, delete, insert, true, update
from sqlalchemy.orm import Mapped, mapped_column, registry, relationship

from interaqt_sa import Count, DefinitionError, Summation, System, computed
from tests.declarative.kept import Keep, Kept


def declared(**hidden: Any) -> tuple[registry, Any, Any, Table]:
    """Return a host and its members, of which the mapping leaves columns out."""
    mapped = registry(metadata=MetaData())
    member = Table(
        "member",
        mapped.metadata,
        Column("id", Integer, primary_key=True),
        Column("host_id", ForeignKey("host.id")),
        Column("open", Boolean, nullable=False, server_default=true()),
        Column("amount", Integer, nullable=False, server_default="1"),
    )

    @mapped.mapped
    class Host:
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Any]] = relationship("Member", viewonly=True)
        size: Mapped[int] = computed(Count("members"))
        open_size: Mapped[int] = computed(Count("members", where=member.c.open))
        if "field" in hidden:
            total: Mapped[int] = computed(Summation("members", hidden["field"]))

    Host.__annotations__["members"] = Mapped[list["Member"]]

    class Member:
        pass

    mapped.map_imperatively(Member, member, exclude_properties=hidden["out"])
    return mapped, Host, Member, member


@pytest.mark.parametrize("out", [["host_id"], ["open"], ["host_id", "open", "amount"]], ids="+".join)
def test_hidden_keys_and_conditions(keep: Keep, out: list[str]) -> None:
    mapped, host, member, table = declared(out=out)
    kept: Kept = keep(mapped.metadata)
    with kept.begin() as session:
        session.add_all([host(id=1), host(id=2)])
        session.flush()
        rows = ((1, True), (1, False), (2, True))
        session.execute(insert(table), [{"host_id": key, "open": is_open} for key, is_open in rows])
    assert kept.stored(host.id, host.size, host.open_size) == [(1, 2, 1), (2, 1, 1)]
    kept.run(update(table).where(table.c.id == 1).values(host_id=2, open=False))
    assert kept.stored(host.id, host.size, host.open_size) == [(1, 1, 0), (2, 2, 1)]
    with kept.begin() as session:
        session.delete(session.get_one(member, 3))
    assert kept.stored(host.id, host.size, host.open_size) == [(1, 1, 0), (2, 1, 0)]
    kept.run(delete(table).where(table.c.host_id == 2))
    assert kept.stored(host.id, host.size, host.open_size) == [(1, 1, 0), (2, 0, 0)]


def test_a_hidden_field_is_a_fault_of_the_declaration(keep: Keep) -> None:
    mapped, *_ = declared(out=["amount"], field="amount")
    system: System = keep(mapped.metadata).system
    with pytest.raises(DefinitionError) as caught:
        system.verify()
    assert "amount" in str(caught.value.context["faults"][0])
