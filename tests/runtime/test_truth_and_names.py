"""Reports and results are true when they are `.ok`; objects show what they are in one short line."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, MetaData, create_engine, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq

#: values are broken on purpose, past every session
pytestmark = pytest.mark.filterwarnings("ignore:this SQL text:interaqt_sa.UnattachedWriteWarning")

Member = iq.Entity("Member", [iq.Property("amount", int)])
Host = iq.Entity(
    "Host",
    [
        iq.Property("name", str),
        iq.Property("n", int, computation=iq.Count("members")),
        iq.Property("total", int, computation=iq.Summation("members", "amount")),
    ],
)
Members = iq.Relation(source=Host, source_property="members", target=Member, target_property="host", type="1:n")


@pytest.fixture
def system(engine: Engine) -> iq.System:
    system = iq.System(engine, base=iq.compile_schema(MetaData(), entities=[Host, Member], relations=[Members]))
    iq.Controller(system).setup(install=True)
    return system


def test_a_report_is_true_when_nothing_differs(system: iq.System, engine: Engine) -> None:
    for _ in range(7):
        system.storage.create("Host", {"members": [{"amount": 2}]})
    report = system.check()
    assert report
    assert bool(report) is report.ok is True
    assert repr(report) == f"CheckReport(ok, checked={report.checked})"
    with engine.begin() as connection:
        connection.execute(text("UPDATE host SET n = 9"))
        connection.execute(text("UPDATE host SET total = 5 WHERE id = 1"))
    report = system.check()
    assert not report
    assert bool(report) is report.ok is False
    shown = repr(report)
    assert "8 differences" in shown
    assert "Host.n 7" in shown
    assert "Host.total 1" in shown
    assert "Host 1: n is 9, computed 1" in shown
    assert len(shown) < 400
    assert not (report + iq.CheckReport(()))
    assert iq.CheckReport(()) + iq.CheckReport((), 3)
    system.repair()
    assert system.check()


def test_a_report_of_long_values_is_short() -> None:
    long = iq.Difference("Host", 1, "name", "x" * 10_000, 10**5000)
    assert len(repr(iq.CheckReport([long] * 1000, 1000))) < 2000


def test_a_result_is_true_when_it_was_applied(system: iq.System) -> None:
    source = iq.EventSource("make", "Member", guard=lambda _, args: args["ok"], resolve=lambda *_: "x" * 10_000)
    controller = iq.Controller(system, event_sources=[source])
    applied, failed = controller.dispatch(source, {"ok": True}), controller.dispatch(source, {"ok": False})
    assert applied
    assert bool(applied) is applied.ok
    assert not failed
    assert bool(failed) is failed.ok
    assert repr(applied).startswith("DispatchResult(applied, data='xxx")
    assert repr(failed).startswith("DispatchResult(failed, error=InteractionGuardError")
    assert max(len(repr(applied)), len(repr(failed))) < 200


def test_objects_show_what_they_are(system: iq.System, engine: Engine) -> None:
    source = iq.EventSource("make", "Member")
    controller = iq.Controller(system, event_sources=[source])
    assert repr(system.schema) == f"Schema({engine.dialect.name}, tables=4, computed=2)"
    assert repr(iq.Schema.of(system.metadata)) == "Schema(tables=4, computed=2)"
    assert repr(system).endswith("tables=4, computed=2)")
    assert engine.dialect.name in repr(system)
    assert repr(controller) == f"Controller({system!r}, event_sources=['make'])"
    assert repr(system.storage) == f"Storage({system.schema!r})"
    with system.session_factory() as session:
        assert "in a session" in repr(system.storage.with_session(session))


def test_a_password_is_not_shown() -> None:
    engine = create_engine("postgresql+psycopg://user:secret@nowhere/db")
    assert "secret" not in repr(iq.System(engine))
    assert repr(iq.System(sessionmaker())) == "System(no engine yet, tables=0, computed=0)"


async def test_asynchronous_objects(async_engine: AsyncEngine) -> None:
    system = iq.AsyncSystem(async_sessionmaker(async_engine))
    assert repr(system).startswith("AsyncSystem(")
    assert repr(iq.AsyncController(system)) == f"AsyncController({system!r}, event_sources=[])"
    assert repr(system.storage).startswith("AsyncStorage(")


def test_what_is_shown_configures_no_mappers() -> None:
    class Base(DeclarativeBase):
        pass

    class Half(Base):
        __tablename__ = "half"
        id: Mapped[int] = mapped_column(primary_key=True)
        other = relationship("Missing")

    system = iq.System(sessionmaker(), base=Base)
    assert repr(system) == "System(no engine yet, tables=1, computed=0)"
    assert iq.computed_names(Half) == ()
    assert not inspect(Half).configured
    Base.registry.dispose()
