"""A value of another kind has a default of another type, which is no value to compare with the old one."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Boolean, ForeignKey, Integer
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeEngine

import interaqt_sa as iq
from tests.migrate.environment import Environment


def _models(computation: iq.Computation[Any], kind: TypeEngine[Any]) -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))
        done: Mapped[bool]

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Any]] = relationship(Item)
        value: Mapped[Any] = iq.computed(computation, kind)

    return Base


@pytest.mark.parametrize("to_boolean", [True, False])
def test_autogenerate_compares_them(postgres_environment: Environment, to_boolean: bool) -> None:
    models = [_models(iq.Count("items"), Integer()), _models(iq.Any("items", expression={"done": True}), Boolean())]
    before, after = models if to_boolean else models[::-1]
    postgres_environment.migrate(before)
    postgres_environment.use(after)
    assert postgres_environment.revision()
