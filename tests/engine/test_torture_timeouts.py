"""Many writers whose statements and commits fail in every way that the application may survive: nothing drifts.

Lock time-outs and statement time-outs end a transaction, which is repeated, or a savepoint, after which it goes on;
deferred constraints fail at COMMIT.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.engine.schedules import assert_true, engine_of
from tests.engine.test_torture_threads import run_workers
from tests.engine.workload import SINGLE, Conflicts, fill, long_rounds, transaction
from tests.support.torture import Torture

pytestmark = [
    pytest.mark.concurrency,
    pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning"),
]

#: a table of its own, so that no trigger and no constraint of the shop makes the engine more careful
DDL = """
    CREATE TABLE promise (id INTEGER PRIMARY KEY);
    CREATE TABLE claim (promise_id INTEGER REFERENCES promise DEFERRABLE INITIALLY DEFERRED)
"""


def break_at_commit(session: Session) -> None:
    session.execute(text("INSERT INTO claim VALUES (1)"))


def limited(session: Session, setting: str, random: Random) -> None:
    session.execute(text(f"SET LOCAL {setting} = {random.randint(1, 15)}"))


def unlimited(session: Session, setting: str) -> None:
    session.execute(text(f"SET LOCAL {setting} = 0"))


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
def test_nothing_drifts(postgres_shop: iq.System, torture: Torture, setting: str) -> None:
    engine = engine_of(postgres_shop)
    with postgres_shop.session_factory.begin() as session:
        fill(session)
    with engine.begin() as connection:
        connection.execute(text(DDL))
    conflicts = Conflicts(engine)
    survived: Counter[str] = Counter()

    def several_steps(random: Random, number: int) -> Any:
        def work(session: Session) -> None:
            for step in range(3):
                write = transaction(SINGLE, f"{number}.{random.random()}.{step}")
                if random.random() < 0.5:
                    with_time_out(session, write)
                else:
                    write(session)
            if random.random() < 0.3:
                limited(session, setting, random)
                transaction(SINGLE, f"{number}.{random.random()}.last")(session)
                unlimited(session, setting)
            if random.random() < 0.25:
                break_at_commit(session)

        def with_time_out(session: Session, write: Any) -> None:
            savepoint = session.begin_nested()
            try:
                limited(session, setting, random)
                write(session)
                if savepoint.is_active:  # the work rolls back itself where two have met
                    unlimited(session, setting)
                    savepoint.commit()
            except DBAPIError:
                savepoint.rollback()
                survived["savepoint"] += 1

        return work

    def work(number: int) -> None:
        for turn in range(2 * long_rounds(torture)):
            try:
                iq.run_with_transaction_retry(
                    postgres_shop.session_factory, several_steps(Random(f"{number}.{turn}"), number), max_attempts=1000
                )
                survived["whole"] += 1
            except (DBAPIError, iq.FrameworkError) as error:
                survived["commit" if "claim" in str(error) else "whole transaction"] += 1

    run_workers(torture.workers, work)
    assert_true(postgres_shop)
    expected = {"lock_timeout": "55P03", "statement_timeout": "57014"}[setting]
    assert conflicts[expected], conflicts
    assert survived["savepoint"], survived
    assert survived["commit"], survived
    assert survived["whole"], survived
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM claim")).scalar() == 0
