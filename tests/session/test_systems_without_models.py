"""What looks at nothing does not say that all is well, and what was never attached is not detached."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

import interaqt_sa as iq
from tests.session.cupboard import Cupboard


@pytest.mark.parametrize("look", ["check", "repair", "verify"])
@pytest.mark.parametrize("base", ["none", "empty"])
def test_a_system_without_models(look: str, base: str) -> None:
    class Base(DeclarativeBase):
        pass

    engine = create_engine("sqlite://")
    system = iq.System(sessionmaker(engine), base=None if base == "none" else Base)
    with pytest.raises(iq.DefinitionFault, match=r"no tables to look at: give .* System\(…, base=Base\)"):
        getattr(system, look)()


def test_models_without_computed_values_are_well(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    iq.compile_schema(Base, entities=[iq.Entity("Plain", [iq.Property("name", str)])])
    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    assert system.check().ok
    system.verify()


def test_what_was_never_attached() -> None:
    engine = create_engine("sqlite://")
    cupboard = Cupboard()
    attached, other = sessionmaker(engine), sessionmaker(engine)
    system = iq.System(attached, base=cupboard.Base)
    for target in (other, Session):
        with pytest.raises(iq.FrameworkError, match=r"were never attached to this System$"):
            system.detach(target)
    another = iq.System(other, base=cupboard.Base)
    with pytest.raises(iq.FrameworkError, match="were never attached"):
        another.detach(attached)
    system.detach(attached)
    system.detach(attached)  # again changes nothing


def test_what_is_attached_through_a_class_above() -> None:
    class Own(Session):
        pass

    engine = create_engine("sqlite://")
    cupboard = Cupboard()
    system = iq.System(Own, base=cupboard.Base)
    below = sessionmaker(engine, class_=Own)
    with pytest.raises(iq.FrameworkError, match=r"attached through .*\.Own: detach that"):
        system.detach(below)
    system.detach(Own)


def test_asynchronous_factories() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    cupboard = Cupboard()
    attached: Any = async_sessionmaker(engine)
    system = iq.AsyncSystem(attached, base=cupboard.Base)
    with pytest.raises(iq.FrameworkError, match="never attached to this AsyncSystem"):
        system.detach(async_sessionmaker(engine))
    system.detach(attached)
