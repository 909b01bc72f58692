"""One migration of a database and environment at a time: others wait, but not for ever."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.util import CommandError

from interaqt_sa.migrate import migration_lock
from interaqt_sa.migrate.exclusive_runs import MigrationLockTimeoutError
from tests.migrate.environment import Environment
from tests.migrate.shop import shop


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_who_waits_too_long_is_told_for_whom(environment_for: Callable[[str], Environment], driver: str) -> None:
    environment = environment_for(driver)
    environment.use(shop())
    environment.revision()
    with environment.engine.connect() as other:
        ((pid,),) = other.exec_driver_sql("SELECT pg_backend_pid()")
        other.rollback()
        with migration_lock(other):
            with pytest.raises(MigrationLockTimeoutError, match=rf"not ended within 0\.5 seconds: pid {pid} \("):
                environment.upgrade("head", "lock-wait=0.5")
            with ThreadPoolExecutor() as pool:
                waiting = pool.submit(environment.upgrade)
                with pytest.raises(TimeoutError):
                    waiting.result(timeout=0.5)
                other.exec_driver_sql("SELECT pg_advisory_unlock_all()")
                waiting.result(timeout=30)
    environment.check()


def test_a_transaction_of_the_caller_waits_no_longer(postgres_environment: Environment) -> None:
    environment = postgres_environment
    environment.use(shop())
    environment.revision()
    with (
        environment.engine.connect() as other,
        migration_lock(other),
        environment.connect() as connection,
        pytest.raises(MigrationLockTimeoutError, match="another migration of this database"),
    ):
        environment.upgrade("head", "lock-wait=0", connection=connection)


def test_environments_do_not_wait_for_each_other(
    postgres_environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told apart by their version tables."""
    environment = postgres_environment
    environment.use(shop())
    environment.revision()
    real = MigrationContext.configure

    def elsewhere(*args: Any, **kw: Any) -> Any:
        kw["opts"] = {**kw.get("opts", {}), "version_table": "versions_of_tenant"}
        return real(*args, **kw)

    with environment.engine.connect() as other, migration_lock(other):
        monkeypatch.setattr(MigrationContext, "configure", elsewhere)
        environment.upgrade("head", "lock-wait=0")
    assert len(environment.rows("SELECT * FROM versions_of_tenant")) == 1


@pytest.mark.parametrize("wrong", ["lock-wait=soon", "lock-wait=-1"])
def test_seconds_are_checked(postgres_environment: Environment, wrong: str) -> None:
    postgres_environment.use(shop())
    postgres_environment.revision()
    with pytest.raises(CommandError, match="-x lock-wait= takes seconds"):
        postgres_environment.upgrade("head", wrong)
