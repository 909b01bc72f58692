"""The programs in docs/examples."""

from __future__ import annotations

from types import ModuleType

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from docs.examples import derived_rows, existing_app, fixtures, mixed, script, service, workflow
from tests.support.engines import EngineFactory
from tests.support.urls import ASYNC_DRIVERS, SYNC_DRIVERS


@pytest.fixture(params=SYNC_DRIVERS)
def engine(request: pytest.FixtureRequest, engine_for: EngineFactory) -> sa.Engine:
    return engine_for(request.param)


@pytest.mark.parametrize(
    "program", [existing_app, mixed, workflow, derived_rows, script], ids=lambda p: p.__name__.rpartition(".")[2]
)
def test_program(program: ModuleType, engine: sa.Engine) -> None:
    program.main(engine)


@pytest.mark.parametrize("driver", ASYNC_DRIVERS)
async def test_service(driver: str, async_engine_for: object) -> None:
    made: AsyncEngine = async_engine_for(driver)  # type: ignore[operator]
    await service.main(made.url.render_as_string(hide_password=False))


def test_a_dataclass(engine: sa.Engine) -> None:
    import interaqt_sa as iq
    from docs.examples.existing_app import Member, Plain, Team

    system = iq.System(engine, base=Plain)
    Plain.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        team = Team(name="a", members=[Member(), Member()])
        session.add(team)
        session.flush()
        assert team.size == 2


def test_a_session_that_is_rolled_back(engine: sa.Engine) -> None:
    with fixtures.rolled_back_session(engine) as session:
        customer = existing_app.Customer()
        session.add(customer)
        session.commit()
        customer.orders.append(existing_app.Order(price=2, qty=2))
        session.commit()
        assert customer.spent == 4
        assert existing_app.system.check().ok
    assert not sa.inspect(engine).has_table("customer")


def test_what_a_migration_would_do(engine: sa.Engine) -> None:
    from docs.examples.alembic_env import missing

    with engine.connect() as connection:
        assert missing(connection).count("CreateTableOp") >= 5
