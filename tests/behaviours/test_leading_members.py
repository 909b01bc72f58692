"""First and Latest of definitions: over relations of every type, with writes by the storage, events and statements."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, insert, update
from sqlalchemy.dialects import postgresql, sqlite

import interaqt_sa as iq

PLACED = iq.Entity("Placed", [iq.Property("code", int), iq.Property("rank", int)])


def system_of(engine: Engine) -> tuple[iq.System, iq.Controller]:
    team = iq.Entity(
        "Team",
        [
            iq.Property("first", str, computation=iq.First("tasks", "title", by="rank")),
            iq.Property("latest", int, computation=iq.Latest("tasks", "weight", by="owner.level")),
            iq.Property("urgent", str, computation=iq.Latest("open_tasks", "title", by="rank")),
            iq.Property("best", int, computation=iq.Latest("fans", "level", by="heaviest")),
        ],
    )
    owner = iq.Entity(
        "Owner",
        [
            iq.Property("level", int),
            iq.Property("heaviest", int, computation=iq.Latest("tasks", "weight", by="weight")),
        ],
    )
    task = iq.Entity(
        "Task",
        [
            iq.Property("code", int),
            iq.Property("title", str),
            iq.Property("rank", int),
            iq.Property("open", bool, default=True),
            iq.Property("weight", int, computed=lambda task: (task.rank or 0) * 10),
        ],
        constraints=[iq.UniqueConstraint("one_code", ["code"])],
    )
    open_task = iq.Entity("OpenTask", base_entity=task, match_expression={"open": True})
    relations = [
        iq.Relation(source=team, source_property="tasks", target=task, target_property="team", type="1:n"),
        iq.Relation(source=team, source_property="open_tasks", target=open_task, target_property="by", type="n:n"),
        iq.Relation(source=owner, source_property="tasks", target=task, target_property="owner", type="1:n"),
        iq.Relation(source=team, source_property="fans", target=owner, target_property="liked", type="n:n"),
    ]
    dictionaries = [
        iq.Dictionary("first_title", str, computation=iq.First("Task", "title", by="rank")),
        iq.Dictionary("urgent_title", str, computation=iq.Latest("OpenTask", "title", by="rank")),
    ]
    controller = iq.Controller(
        iq.System(engine, base=MetaData()),
        entities=[team, owner, task, open_task, PLACED],
        relations=relations,
        dictionaries=dictionaries,
        event_sources=[iq.EventSource("place", PLACED, after_dispatch=_place)],
    )
    controller.setup(install=True)
    return controller.system, controller


def _place(ctx: Any, args: Any, data: Any) -> None:
    ctx.storage.update("Task", iq.MatchExp.atom("code", ("=", args["code"])), {"rank": args["rank"]})


def _pick(pick: Any, rows: list[dict[str, Any]], field: str, by: Any) -> Any:
    counted = [row for row in rows if by(row) is not None]
    return pick(counted, key=lambda row: (by(row), row["id"]))[field] if counted else None


def _rank(task: dict[str, Any]) -> Any:
    return task["rank"]


def assert_true(system: iq.System) -> None:
    """Compare with plain Python over all members, and with the recomputation."""
    storage = system.storage
    every: Any = {"attribute_query": ["*"]}
    owned: Any = {"attribute_query": ["*", ("owner", {"attribute_query": ["level"]})]}
    query: Any = ["*", ("tasks", owned), ("open_tasks", every), ("fans", every)]
    for team in storage.find("Team", attribute_query=query):
        assert team["first"] == _pick(min, team["tasks"], "title", _rank)
        assert team["latest"] == _pick(max, team["tasks"], "weight", lambda t: t["owner"] and t["owner"]["level"])
        assert team["urgent"] == _pick(max, team["open_tasks"], "title", _rank)
        assert team["best"] == _pick(max, team["fans"], "level", lambda fan: fan["heaviest"])
    tasks = storage.find("Task", attribute_query=["*"])
    assert storage.dictionary.get("first_title") == _pick(min, tasks, "title", _rank)
    assert storage.dictionary.get("urgent_title") == _pick(max, [t for t in tasks if t["open"]], "title", _rank)
    report = system.check()
    assert report.ok, report


@pytest.mark.parametrize("seed", range(3))
def test_every_route_of_writing(engine: Engine, seed: int) -> None:
    system, controller = system_of(engine)
    storage, chance = system.storage, random.Random(seed)
    task: Any = system.schema.mapped_class("Task")
    upsert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    owners = [storage.create("Owner", {"level": level})["id"] for level in (1, 2, 2, None)]
    teams = [storage.create("Team", {"fans": [{"id": owner} for owner in owners[:2]]})["id"] for _ in range(2)]
    codes = iter(range(10_000))

    def some() -> dict[str, Any]:
        code = next(codes)
        rank = chance.choice([None, 1, 2, 3])
        return {"code": code, "title": f"task {code % 4}", "rank": rank, "open": chance.random() < 0.7}

    for _ in range(40):
        ids = [row["id"] for row in storage.find("Task", attribute_query=["*"])]
        known = [row["code"] for row in storage.find("Task", attribute_query=["*"])]
        one = iq.MatchExp.atom("id", ("=", chance.choice(ids or [0])))
        routes = ["create", "nested", "update", "move", "delete", "relate", "end", "like", "level", "event"]
        match chance.choice([*routes, "object", "insert", "bulk", "purge", "upsert"] if ids else ["create"]):
            case "create":
                ends = {"team": {"id": chance.choice(teams)}, "owner": {"id": chance.choice(owners)}}
                storage.create("Task", {**some(), **ends})
            case "nested":
                storage.update("Team", iq.MatchExp.atom("id", ("=", chance.choice(teams))), {"tasks": [some(), some()]})
            case "update":
                storage.update("Task", one, {"rank": chance.choice([None, 0, 2, 5]), "open": chance.random() < 0.5})
            case "move":
                storage.update("Task", one, {"team": chance.choice([None, {"id": chance.choice(teams)}])})
            case "delete":
                storage.delete("Task", one)
            case "relate":
                listed = [{"id": key} for key in chance.sample(ids, min(2, len(ids)))]
                listed = [task for task in listed if storage.find_one("Task", {"id": task["id"], "open": True})]
                storage.update("Team", iq.MatchExp.atom("id", ("=", chance.choice(teams))), {"open_tasks": listed})
            case "end":
                storage.update("Task", one, {"owner": None})
            case "like":
                fans = [{"id": owner} for owner in chance.sample(owners, 2)]
                storage.update("Team", iq.MatchExp.atom("id", ("=", chance.choice(teams))), {"fans": fans})
            case "level":
                storage.update("Owner", {"id": chance.choice(owners)}, {"level": chance.choice([None, 1, 3])})
            case "event":
                controller.dispatch("place", {"code": chance.choice(known), "rank": chance.choice([0, 2, 9])})
            case "object":
                with system.session_factory.begin() as session:
                    session.get_one(task, chance.choice(ids)).title = "another"
            case "insert":
                with system.session_factory.begin() as session:
                    session.execute(insert(task), [{**some(), "team_id": chance.choice(teams)} for _ in range(3)])
            case "bulk":
                with system.session_factory.begin() as session:
                    session.execute(update(task).where(task.id % 3 == 0).values(rank=task.rank + 1))
            case "purge":
                storage.delete("Task", {"rank": 1})
            case "upsert":
                rows = [{**some(), "team_id": chance.choice(teams)}, {**some(), "code": chance.choice(known)}]
                statement = upsert(task).values([{"team_id": None, **row} for row in rows])
                given = {"rank": statement.excluded.rank, "title": statement.excluded.title}
                with system.session_factory.begin() as session:
                    session.execute(statement.on_conflict_do_update(index_elements=["code"], set_=given))
        assert_true(system)
