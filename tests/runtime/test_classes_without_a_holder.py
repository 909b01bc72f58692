"""A system keeps the mapped classes that it was given: without them there would be nothing to check."""

from __future__ import annotations

import gc

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq


def _models() -> type[DeclarativeBase]:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        counted: Mapped[int] = iq.computed(iq.Count("nothing"))

    Base.host = Host  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    return Base


def test_a_fault_is_told_after_a_collection(engine: Engine) -> None:
    system = iq.System(engine, base=_models())
    gc.collect()
    with pytest.raises(iq.DefinitionError, match=r"Host\.counted: .*'nothing'"):
        system.check()
