"""Processes of an old and a new version write throughout, while the procedure of the documentation is followed."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

import interaqt_sa as iq
from tests.migrate.environment import Environment
from tests.migrate.live import new_models, old_models
from tests.migrate.live.processes import LockWaits, Processes

log = logging.getLogger(__name__)


def fill(environment: Environment, regions: int, hosts: int, members: int) -> None:
    """Insert rows as the old version keeps them."""
    environment.run(
        f"INSERT INTO region (id) SELECT g FROM generate_series(1, {regions}) AS g",
        "INSERT INTO host (id, region_id, name, label)"
        f" SELECT g, 1 + mod(g, {regions}), 'h' || g, '' FROM generate_series(1, {hosts}) AS g",
        "INSERT INTO item (id, host_id, price, qty, tag, total)"
        f" SELECT g, 1 + mod(g * 7, {hosts}), mod(g, 100), mod(g, 5), 'old', mod(g, 100) * mod(g, 5)"
        f" FROM generate_series(1, {members}) AS g",
        "UPDATE host SET spent = found.s, count = found.n"
        " FROM (SELECT host_id, sum(total) AS s, count(*) AS n FROM item GROUP BY 1) AS found WHERE host_id = id",
        "UPDATE host SET label = name || ': ' || count",
        "UPDATE region SET spent = (SELECT sum(h.spent) FROM host AS h WHERE h.region_id = region.id)",
        "ANALYZE",
    )


@pytest.mark.parametrize(
    ("sizes", "beside", "options", "blocked"),
    [
        # processes of a busy machine wait for each other: there it is a few statements, not none
        pytest.param((30, 60, 600), 1.0, ("batch=10", "pause=0.02"), 0.03, id="small"),
        pytest.param((1_000, 50_000, 1_000_000), 10.0, (), 0.0, id="full", marks=pytest.mark.slow),
    ],
)
def test_two_versions_write_throughout(
    postgres_environment: Environment,
    tmp_path: Path,
    sizes: tuple[int, int, int],
    beside: float,
    options: tuple[str, ...],
    blocked: float,
) -> None:
    environment = postgres_environment
    environment.migrate(old_models.Base)
    fill(environment, *sizes)
    assert iq.System(environment.engine, base=old_models.Base, configure_sqlite=False).check()
    environment.use(new_models.Base)
    assert len(environment.revision()) == 4  # columns; values and NOT NULL; indexes; what is dropped

    url = environment.engine.url.render_as_string(hide_password=False)
    running: list[Processes] = []
    took = {}
    with LockWaits(environment.engine) as waits:
        try:
            old = Processes("old", url, tmp_path, [1, 2], sizes)
            running.append(old)
            old.wait_until_ready()
            time.sleep(beside)
            begin = time.monotonic()
            environment.upgrade("+1")
            took["expand"] = time.monotonic() - begin
            new = Processes("new", url, tmp_path, [3, 4], sizes)
            running.append(new)
            new.wait_until_ready()
            time.sleep(beside)
            old_told = old.end()
            begin = time.monotonic()
            environment.upgrade("head", "verify", *options)
            took["head"] = time.monotonic() - begin
            time.sleep(beside / 4)
            new_told = new.end()
        finally:
            for processes in running:
                processes.kill()

    told = [*old_told, *new_told]
    longest = round(waits.longest * 1000)
    log.info("Regions, hosts, members: %s; %s; longest lock wait %s ms: %s", sizes, took, longest, told)
    # one that fails ends at once, so that without an error all have written to the end
    assert [error for one in told for error in one["errors"]] == []
    assert sum(one["blocked"] for one in told) <= blocked * sum(sum(one["written"].values()) for one in told)
    assert all(min(one["written"].values()) > 0 for one in told)
    report = iq.System(environment.engine, base=new_models.Base, configure_sqlite=False).check()
    assert report.ok, report
    environment.check()
