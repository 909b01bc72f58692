"""Custom: values that a function of the application computes from declared data."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.declarative.boxes import CALLS, Base, Box, Item, Owner, Product, Seal, Tag, box_tag, fill, verify


@pytest.fixture
def boxes(engine: Engine) -> iq.System:
    """Return a system with a few boxes."""
    Base.metadata.create_all(engine)
    system = iq.System(sessionmaker(engine), base=Base, unattached="allow")
    with system.session_factory.begin() as session:
        fill(session)
        session.flush()
        if engine.dialect.name == "postgresql":
            for table in ("box", "item"):
                session.execute(text(f"SELECT setval('{table}_id_seq', 1000)"))
    verify(system)
    return system


def run(system: iq.System, statement: Any, parameters: Any = None) -> None:
    with system.session_factory.begin() as session:
        session.execute(statement, parameters)


def calls(system: iq.System) -> list[int]:
    """Return the boxes for which the function was called, after proof that every value is true."""
    found = sorted(CALLS)
    verify(system)
    return found


@behaviour("R-A40", "R-A44")
def test_a_new_row_is_computed_once(boxes: iq.System) -> None:
    with boxes.session_factory.begin() as session:
        box = Box(id=10, name="new", owner_id=1, items=[Item(amount=5), Item(amount=6)], tags=[session.get(Tag, 1)])
        session.add(box)
        session.flush()
        assert box.label == "new/o1/5None+6None/t1/None/1.0/11"
        assert box.length == len(box.label)
    assert calls(boxes) == [10]


@behaviour("R-A40", "R-A44", "R-P73")
def test_each_change_of_data_reaches_its_rows_once(boxes: iq.System) -> None:
    def written(work: Any) -> list[int]:
        with boxes.session_factory.begin() as session:
            kept = [*session.scalars(select(Box))]
            work(session)
            session.flush()
            assert kept
        return calls(boxes)

    # itself, what it refers to, its members and what they refer to
    assert written(lambda s: setattr(s.get(Box, 1), "name", "x")) == [1]
    assert written(lambda s: setattr(s.get(Owner, 1), "name", "x")) == [2, 4]
    assert written(lambda s: setattr(s.get(Item, 1), "amount", 9)) == [1]
    assert written(lambda s: setattr(s.get(Product, 2), "name", "x")) == [1, 4]
    assert written(lambda s: s.get(Box, 1).items.append(Item(amount=7))) == [1]
    assert written(lambda s: s.delete(s.get(Item, 2))) == [1]
    # from one row to another
    assert written(lambda s: setattr(s.get(Item, 1), "box_id", 2)) == [1, 2]
    assert written(lambda s: setattr(s.get(Box, 1), "owner_id", 1)) == [1]
    # links, and rows that are linked
    assert written(lambda s: s.get(Box, 3).tags.extend(s.scalars(select(Tag)))) == [3]
    assert written(lambda s: setattr(s.get(Tag, 1), "name", "x")) == [3]
    assert written(lambda s: s.get(Box, 3).tags.pop()) == [3]
    # a relationship to one row that has the key
    assert written(lambda s: setattr(s.get(Box, 4), "seal", Seal(id=1, code="c"))) == [4]
    assert written(lambda s: setattr(s.get(Seal, 1), "code", "d")) == [4]
    assert written(lambda s: setattr(s.get(Seal, 1), "box_id", 1)) == [1, 4]
    assert written(lambda s: s.delete(s.get(Seal, 1))) == [1]

    # several of these in one flush
    def several(session: Session) -> None:
        box = session.get_one(Box, 1)
        box.name, box.owner_id = "y", 2
        session.add(Item(amount=1, box_id=1))

    assert written(several) == [1]


@behaviour("R-P82", "R-P75")
def test_what_is_not_read_computes_nothing(boxes: iq.System) -> None:
    run(boxes, update(Box).values(weight=7))
    run(boxes, update(Item).values(amount=Item.amount))
    run(boxes, update(Owner).values(name=Owner.name))
    storage = boxes.storage
    storage.dictionary.set("other", 5)
    storage.dictionary.set("rate", 1)
    assert calls(boxes) == []


@behaviour("R-A40")
def test_statements(boxes: iq.System) -> None:
    run(boxes, update(Item).where(Item.amount > 2).values(amount=Item.amount * 10))
    assert calls(boxes) == [2, 3, 4]
    run(boxes, update(Item).values(box_id=1))
    assert calls(boxes) == [1, 2, 3, 4]
    run(boxes, delete(Item).where(Item.amount == 1))
    assert calls(boxes) == [1]
    run(boxes, insert(Box), [{"id": n, "name": "none"} for n in range(20, 24)])
    assert calls(boxes) == [20, 21, 22, 23]
    run(boxes, insert(box_tag), [{"box_id": n, "tag_id": 1} for n in (1, 2)])
    assert calls(boxes) == [1, 2]
    run(boxes, delete(box_tag).where(box_tag.c.box_id == 1))
    assert calls(boxes) == [1]
    run(boxes, update(Box).where(Box.id == 20).values(name="some"))
    assert calls(boxes) == [20]


@behaviour("R-A45")
def test_a_dictionary_reaches_all_rows(boxes: iq.System) -> None:
    run(boxes, insert(Box), [{"id": n, "name": f"n{n}"} for n in range(10, 1310)])
    verify(boxes)
    boxes.storage.dictionary.set("rate", 2.5)
    assert calls(boxes) == [1, 2, 3, 4, *range(10, 1310)]


@behaviour("R-A40")
def test_a_dictionary_is_computed_from_records(boxes: iq.System) -> None:
    value = boxes.storage.dictionary
    assert value.get("total") == "5/19/1.0"
    run(boxes, update(Item).where(Item.amount <= 2).values(amount=2))  # none of them matches
    assert value.get("total") == "5/19/1.0"
    run(boxes, update(Item).where(Item.amount == 2).values(amount=3))
    assert value.get("total") == "8/28/1.0"
    value.set("rate", 3)
    assert value.get("total") == "8/28/3.0"
    verify(boxes)


@behaviour("R-A41")
def test_none_is_null_and_a_skipped_value_stays(boxes: iq.System) -> None:
    with boxes.session_factory.begin() as session:
        session.get_one(Box, 1).name = "none"
        session.flush()
        assert session.get_one(Box, 1).label is None
        assert session.get_one(Owner, 2).labelled == 1
    verify(boxes)


@pytest.mark.parametrize("seed", range(3))
def test_random_writes(boxes: iq.System, seed: int) -> None:
    random = Random(seed)
    for _ in range(25):
        with boxes.session_factory.begin() as session:
            for _ in range(random.choice([1, 1, 3])):
                write(boxes.storage.with_session(session), session, random)
        verify(boxes)


def write(storage: iq.Storage, session: Session, random: Random) -> None:
    """Make one random write, by an object, a statement or the storage."""
    keys = [*session.scalars(select(Box.id))]
    key = random.choice(keys)
    item = session.scalar(select(Item).order_by(Item.amount, Item.id).limit(1))
    match random.randint(0, 12):
        case 0:
            session.add(
                Box(name=random.choice(["none", "n"]), owner_id=random.choice([None, 1]), items=[Item(amount=4)])
            )
        case 1 if len(keys) > 2:
            box = session.get_one(Box, key)
            box.tags.clear()
            session.delete(box)
        case 2 if item is not None:
            item.amount, item.product_id = random.randint(0, 9), random.choice([None, 1, 2, 3])
        case 3 if item is not None:
            item.box_id = key
        case 4:
            session.execute(update(Item).where(Item.box_id == key).values(box_id=random.choice(keys)))
        case 5:
            session.execute(insert(Item), [{"amount": n, "box_id": key, "product_id": 1} for n in (1, 2)])
        case 6:
            session.execute(delete(Item).where(Item.amount == random.randint(0, 9)))
        case 7:
            storage.update("Product", {"id": random.randint(1, 3)}, {"name": f"p{random.randint(0, 9)}"})
        case 8:
            storage.dictionary.set("rate", random.randint(1, 3))
        case 9:
            box = session.get_one(Box, key)
            box.tags = [tag for tag in session.scalars(select(Tag)) if random.random() < 0.5]
        case 10:
            storage.update("Box", {"id": key}, {"name": f"b{random.randint(0, 9)}", "owner": {"id": 2}})
        case 11:
            box = session.get_one(Box, key)
            box.seal = None if box.seal else Seal(code="s")
        case _:
            storage.update("Tag", {"id": 1}, {"name": f"t{random.randint(0, 9)}"})
    session.flush()


def test_check_and_repair(boxes: iq.System) -> None:
    with boxes.session_factory().get_bind().begin() as connection:  # type: ignore[union-attr]
        connection.execute(text("UPDATE box SET label = 'x', total = 99 WHERE id = 1"))
        connection.execute(text("UPDATE dictionary_total SET value = 'x'"))
    report = boxes.check()
    assert {d.property for d in report.differences} == {"total", "label", "length", "value"}
    boxes.repair()
    verify(boxes)


def test_the_graph_has_the_data(boxes: iq.System) -> None:
    nodes = {node.name: node for node in boxes.graph().nodes}
    assert nodes["Box.label"].computation == "Custom(compute=label)"
    assert set(nodes["Box.label"].inputs) == {
        *("Box.name", "Box.total", "Owner.name", "Item", "Item.amount", "Product.name", "box_tag", "Tag", "Tag.name"),
        *("Seal", "Seal.code", "dictionary_rate.value"),
    }
    assert set(nodes["Box.length"].inputs) == {"Box.label"}


# -- what a function may return ---------------------------------------------------------------------------------------


class Other(DeclarativeBase):
    pass


RESULT: dict[str, Any] = {}


def result(ctx: iq.ComputationContext, deps: Any, record: Any) -> Any:
    answer, RESULT["context"] = RESULT["answer"], ctx
    return answer(record) if callable(answer) else answer


class Thing(Other):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    number: Mapped[int] = iq.computed(
        iq.Custom(
            "number",
            data_deps={"own": {"type": "property", "attribute_query": ["name"]}},
            compute=result,
            concurrency="locked",
        )
    )


@pytest.fixture
def things(engine: Engine) -> iq.System:
    Other.metadata.create_all(engine)
    RESULT["answer"] = 1
    system = iq.System(sessionmaker(engine), base=Other)
    with system.session_factory.begin() as session:
        session.add(Thing(id=1, name="a"))
    return system


def rename(system: iq.System) -> int:
    with system.session_factory.begin() as session:
        thing = session.get_one(Thing, 1)
        thing.name += "a"
        session.flush()
        return thing.number


@behaviour("R-A41")
def test_skip_leaves_the_value(things: iq.System) -> None:
    RESULT["answer"] = iq.ComputationResult.skip()
    assert rename(things) == 1
    with things.session_factory.begin() as session:
        session.add(Thing(id=2, name="b"))
        session.flush()
        assert session.get_one(Thing, 2).number == 0  # the column has no value yet
    assert things.check()


async def later() -> int:
    return 1


class Envelope:
    pass


@behaviour("R-P72", "R-P85")
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "returned None, but the column is NOT NULL"),
        ("text", "returned 'text', which a column of type INTEGER cannot store"),
        (Envelope(), "cannot store"),
        (lambda _: later(), "returned an awaitable"),
        (lambda record: record.other, "no attribute 'other'"),
        (lambda _: 1 // 0, "division"),
        (lambda _: 10**30, "cannot store"),
    ],
)
def test_results_that_are_refused(things: iq.System, answer: Any, told: str) -> None:
    RESULT["answer"] = answer
    with pytest.raises(iq.ComputationError, match=told) as caught:
        rename(things)
    assert "Thing.number" in str(caught.value)
    with things.session_factory() as session:
        assert session.get_one(Thing, 1).name == "a"


@behaviour("R-P80")
def test_a_failure_undoes_the_statement(things: iq.System) -> None:
    RESULT["answer"] = lambda _: 1 // 0
    with things.session_factory.begin() as session:
        with pytest.raises(iq.ComputationError):
            session.execute(update(Thing).values(name="b"))
        assert session.scalar(select(Thing.name)) == "a"


def test_the_context(things: iq.System) -> None:
    RESULT["answer"] = 2
    assert rename(things) == 2
    ctx = RESULT["context"]
    assert (ctx.name, ctx.dispatch) == ("number", None)
    assert ctx.isolation in ("READ COMMITTED", "SERIALIZABLE")


def test_values_are_not_assigned(things: iq.System) -> None:
    with things.session_factory() as session:
        session.get_one(Thing, 1).number = 5
        with pytest.raises(iq.ComputedWriteError, match="change the data"):
            session.flush()
