"""Every fault of a declaration is reported, all at once, with its place and the way out."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ARRAY, ForeignKey, MetaData, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from interaqt_sa.definitions.aggregates import Count
from interaqt_sa.definitions.constraints import NonNullConstraint, UniqueConstraint
from interaqt_sa.definitions.dictionary import Dictionary
from interaqt_sa.definitions.records import Entity, Property, Relation
from interaqt_sa.definitions.transform import Transform
from interaqt_sa.errors import DefinitionError
from interaqt_sa.schema.compile_schema import compile_schema


class Odd(UserDefinedType[str]):
    """Has no form in SQL text."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "ODD"


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    boss_id: Mapped[int]


class Pair(Base):
    __tablename__ = "pair"
    a: Mapped[int] = mapped_column(primary_key=True)
    b: Mapped[int] = mapped_column(primary_key=True)


class Letter(Base):
    __tablename__ = "letter"
    id: Mapped[int] = mapped_column(primary_key=True)
    sender_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    reader_id: Mapped[int] = mapped_column(ForeignKey("user.id"))


def rel(
    source: Any = "A", one: str = "b", target: Any = "B", other: str = "a", type: Any = "n:1", **kw: Any
) -> Relation:
    return Relation(source=source, source_property=one, target=target, target_property=other, type=type, **kw)


A, B = Entity("A", [Property("n", int)]), Entity("B", [Property("n", int)])


def double(row: Any) -> int:
    return 2 * int(row.n)


def plus(a: int, b: int) -> int:
    return a + b


Derived = Transform("A", lambda row: row, attribute_query=["n"])


def unique(*properties: str, **kw: Any) -> Entity:
    return Entity("E", [Property("n", int)], constraints=[UniqueConstraint("u", properties, **kw)])


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        # what is not available yet
        ({"entities": [Entity("E", base_entity="A")]}, "E: base_entity= needs match_expression="),
        ({"entities": [Entity("E", match_expression={"n": 1})]}, "E: match_expression= restricts the rows of another"),
        ({"entities": [Entity("E", input_entities=["A"])]}, "E: its input 'A' is not an entity of the same call"),
        (
            {"entities": [Entity("E", common_properties=[Property("n", int)])]},
            "E: common_properties= belongs to merged",
        ),
        (
            {"entities": [A, B], "relations": [rel(base_relation="R")]},
            "a filtered record has the table",
        ),
        ({"entities": [A, B], "relations": [rel(input_relations=["R"])]}, "a merged record has the properties"),
        ({"entities": [A], "relations": [rel(target="A", other="b", type="n:1")]}, "symmetric, which only"),
        # names
        ({"entities": [A, Entity("A")]}, "Entity 'A' is given twice"),
        ({"entities": [A, B], "relations": [rel(name="A")]}, "Relation 'A' is given twice"),
        ({"entities": [Entity("User", table_name="users")]}, "User: a declarative class has this name"),
        ({"entities": [Entity("E", table_name="user")]}, "E: its table would be 'user', which is that of the table"),
        ({"entities": [Entity("HTTPLog"), Entity("HttpLog")]}, "HttpLog: its table would be 'http_log', which is that"),
        ({"entities": [Entity("E", [Property("n", int), Property("n", str)])]}, "E.n is declared twice"),
        ({"entities": [Entity("E", [Property("id", int)])]}, "E.id: every record has this attribute by itself"),
        (
            {"entities": [Entity("E", [Property("userName", int), Property("user_name", int)])]},
            "E.user_name: the table has a column 'user_name' already",
        ),
        ({"entities": [Entity("E", [Property("n", int, column_name="id")])]}, "E.n: the table has a column 'id'"),
        ({"dictionaries": [Dictionary("d", int), Dictionary("d", int)]}, "Dictionary 'd' is given twice"),
        (
            {"entities": [Entity("E", table_name="dictionary_d")], "dictionaries": [Dictionary("d", int)]},
            "d: its table would be 'dictionary_d', which is that of E",
        ),
        ({"entities": [Entity("a b")]}, "a b: Entity name 'a b' must be letters, digits and underscores"),
        ({"entities": [Entity("E", [Property("1a", int)])]}, "E.1a: Property name '1a' must be letters, digits and"),
        ({"entities": [Entity("E", [Property("é", int)])]}, "E.é: Property name 'é' must be letters, digits and unde"),
        ({"entities": [Entity("E", [Property("", int)])]}, "E.: Property name '' must be letters, digits and undersc"),
        ({"entities": [A, B], "relations": [rel(name="a.b")]}, "a.b: Relation name 'a.b' must be letters, digits and"),
        ({"entities": [A, B], "relations": [rel(one="a b")]}, "Relation property name 'a b' must be letters, digits"),
        ({"dictionaries": [Dictionary("a b", int)]}, "Dictionary 'a b': Dictionary name 'a b' must be letters, digit"),
        ({"entities": [Entity("E", constraints=[NonNullConstraint("a.b", "id")])]}, "constraint 'a.b': NonNullConstr"),
        *(
            ({"entities": [Entity("E", [Property(name, int)])]}, f"E.{name}: Property name {name!r}: on mapped classes")
            for name in ("__dict__", "__class__", "__eq__", "__hash__", "__init__", "__mapper__", "_sa_instance_state")
        ),
        ({"entities": [Entity("__table__")]}, "Entity name '__table__': on mapped classes, names that begin with '__'"),
        ({"entities": [A, B], "relations": [rel(name="__x")]}, "belong to Python and SQLAlchemy; choose another, col"),
        ({"entities": [A, B], "relations": [rel(one="__eq__")]}, "Relation property name '__eq__': on mapped classes"),
        ({"entities": [A, B], "relations": [rel(other="__eq__")]}, "Relation 'A_b___eq___B': Relation property name"),
        # what is not a definition
        ({"entities": [User]}, "is not an Entity; declarative classes are known without being given"),
        ({"entities": [rel()]}, "is not an Entity"),
        ({"relations": [A]}, "is not a Relation"),
        ({"dictionaries": ["d"]}, "'d' is not a Dictionary"),
        ({"entities": [Entity("E", ["n"])]}, "E: properties= holds 'n', which is not a Property"),  # type: ignore[list-item]
        (
            {"entities": [Entity("E", constraints=["n"])]},  # type: ignore[list-item]
            "E: constraints= holds 'n', which is not a UniqueConstraint or NonNullConstraint",
        ),
        # types and computations
        ({"entities": [Entity("E", [Property("n", "integer")])]}, "E.n: there is no type 'integer'; give one of 'str"),
        ({"entities": [Entity("E", [Property("n", object)])]}, "E.n: there is no type <class 'object'>"),
        ({"dictionaries": [Dictionary("d", "x")]}, "Dictionary 'd': there is no type 'x'"),
        ({"entities": [Entity("E", computation=Count("A"))]}, "E: computation=Count(source='A') computes a value"),
        ({"entities": [Entity("E", [Property("n", int, computation=Derived)])]}, "E.n: a Transform derives whole rows"),
        (
            {"entities": [Entity("E", [Property("n", int, computation=Count("x"), default=1)])]},
            "E.n has a computation and a default",
        ),
        ({"dictionaries": [Dictionary("d", int, computation=Derived)]}, "Dictionary 'd': Transform does not make one"),
        (
            {"dictionaries": [Dictionary("d", int, computation=Count("A"), default=1)]},
            "'d' has a computation and a def",
        ),
        (
            {"entities": [Entity("E", [Property("n", int, computed=double, computation=Count("x"))])]},
            "E.n has both computed= and computation=; keep one",
        ),
        (
            {"entities": [Entity("E", [Property("n", int, computation=double)])]},  # type: ignore[arg-type]
            "is not a computation; use computed= for a function of the row",
        ),
        (
            {"entities": [Entity("E", [Property("n", int, computation=3)])]},  # type: ignore[arg-type]
            "E.n: computation=3 is not a computation; give one, such as Count(",
        ),
        (
            {"dictionaries": [Dictionary("d", int, computation=double)]},  # type: ignore[arg-type]
            "does not make one global value; use an aggregate over a record, such as Count('Order')",
        ),
        (
            {"entities": [Entity("E", [Property("n", int, computed=Count("x"))])]},  # type: ignore[arg-type]
            "E.n: computed= takes a function of the row; write computation=Count(source='x')",
        ),
        (
            {"entities": [Entity("E", [Property("n", int, computed=3)])]},  # type: ignore[arg-type]
            "E.n: computed=3 is not a function of the row",
        ),
        (
            {"entities": [Entity("E", [Property("n", ARRAY)])]},
            "E.n: type <class 'sqlalchemy.sql.sqltypes.ARRAY'>",
        ),
        (
            {"entities": [Entity("E", [Property("n", int, default=plus)])]},
            "cannot be used: ",
        ),
        (
            {"entities": [Entity("E", [Property("n", int, column_name=3)])]},  # type: ignore[arg-type]
            "E.n: column_name=3 is not a string",
        ),
        # relations
        ({"entities": [A, B], "relations": [rel(type="n:m")]}, "type 'n:m' is not one of '1:1', '1:n', 'n:1', 'n:n'"),
        (
            {"entities": [A, B], "relations": [rel(is_target_reliance=True)]},
            "is_target_reliance needs one source per target, type '1:1' or '1:n', not 'n:1'",
        ),
        (
            {"entities": [B], "relations": [rel(source=3)]},
            "source: 3 is not a record; give its name, its definition or it",
        ),
        ({"entities": [A], "relations": [rel()]}, "Relation 'A_b_a_B', target: there is no record 'B'"),
        ({"entities": [A], "relations": [rel(target=B)]}, "target: there is no record 'B'"),
        ({"entities": [A], "relations": [rel(target=int)]}, "target: class int is not mapped"),
        ({"entities": [A], "relations": [rel(target=Pair)]}, "Pair has a primary key of 2 columns"),
        ({"entities": [A, B], "relations": [rel(one="n")]}, "A.n: relation 'A_n_a_B' needs this name, but it is taken"),
        (
            {"entities": [A, B], "relations": [rel(), rel(other="as_", name="R")]},
            "A.b: relation 'R' needs this name, but it is taken",
        ),
        (
            {"entities": [Entity("A", [Property("b_id", int)]), B], "relations": [rel()]},
            "A.b_id: relation 'A_b_a_B' needs this name",
        ),
        ({"entities": [A], "relations": [rel(target=User, other="name")]}, "User.name: relation"),
        (
            {"entities": [A], "relations": [rel(source=User, one="boss", target="A", other="users")]},
            "User has a column 'boss_id' that is not a foreign key to A",
        ),
        (
            {"relations": [rel(source=Letter, one="user", target=User, other="letters")]},
            "Letter has several foreign keys to User (reader_id, sender_id); name the relation property after",
        ),
        (
            {"entities": [A, B], "relations": [rel(type="n:n", properties=[Property("source", int)])]},
            "A_b_a_B.source: every record has this attribute by itself",
        ),
        # constraints
        ({"entities": [unique()]}, "E, constraint 'u': it needs at least one property, each once, not ()"),
        ({"entities": [unique(["n"])]}, "E, constraint 'u': it covers properties by their names, not ['n']"),  # type: ignore[arg-type]
        (
            {"entities": [Entity("E", [Property("n", int)], constraints=[NonNullConstraint("u", ["n"])])]},  # type: ignore[arg-type]
            "E, constraint 'u': it covers properties by their names, not ['n']",
        ),
        ({"entities": [unique("n", "n")]}, "it needs at least one property, each once, not ('n', 'n')"),
        ({"entities": [unique("m")]}, "E, constraint 'u': there is no property 'm'; a constraint may cover n"),
        ({"entities": [unique("n.m")]}, "there is no property 'n.m'"),
        ({"entities": [Entity("E", constraints=[NonNullConstraint("c", "x")])]}, "E, constraint 'c': there is no prop"),
        (
            {
                "entities": [Entity("A", constraints=[UniqueConstraint("u", ["bs"])]), B],
                "relations": [rel(one="bs", type="1:n")],
            },
            "A, constraint 'u': 'bs' is not a column of a",
        ),
        ({"entities": [unique("n"), Entity("F", constraints=[NonNullConstraint("u", "id")])]}, "E has a constraint of"),
        ({"entities": [unique("n", where={"m": 1})]}, "E, constraint 'u': there is no property 'm'"),
        ({"entities": [unique("n", where={"n": ("contains", 1)})]}, "'contains' needs a collection"),
        ({"entities": [unique("n", where={"n": "is null"})]}, "'n' is BigInteger() and never 'is null'; give a value"),
        ({"entities": [unique("n", where={"n": ("exist", {"m": 1})})]}, "'exist' is not possible here"),
        ({"entities": [unique("n", where=lambda e: e.m == 1)]}, "there is no property 'm'"),
        ({"entities": [unique("n", where=lambda e: e.n is None)]}, "which is not a SQL expression"),
        ({"entities": [unique("n", where=3)]}, "3 is not a predicate"),
        ({"entities": [unique("n", where={"n": object()})]}, "'n' is BigInteger() and never <object object"),
        ({"entities": [unique("n", where={"n": ("like", "x%")})]}, "'n' is BigInteger(); 'like' compares texts"),
        ({"entities": [unique("n", where=lambda e: e.n)]}, "which is BigInteger(), not a condition; compare it"),
        (
            {
                "entities": [
                    Entity(
                        "E",
                        [Property("n", Odd())],
                        constraints=[UniqueConstraint("u", ["n"], where={"n": "x"})],
                    )
                ]
            },
            "cannot be written into SQL",
        ),
    ],
)
def test_faults(given: dict[str, Any], fault: str) -> None:
    tables, classes = set(Base.metadata.tables), set(Base.registry.mappers)
    with pytest.raises(DefinitionError) as caught:
        compile_schema(Base, **given)
    assert any(fault in str(found) for found in caught.value.exceptions), str(caught.value)
    assert fault in str(caught.value)
    assert (set(Base.metadata.tables), set(Base.registry.mappers)) == (tables, classes), "nothing was added"


def test_all_faults_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        compile_schema(
            MetaData(),
            entities=[Entity("E", [Property("n", "x"), Property("id", int)], retention=1)],
            relations=[rel(source="E", target="Missing", other="es")],
            dictionaries=[Dictionary("d", "y")],
        )
    places = {(fault.record, fault.property) for fault in caught.value.exceptions}
    assert places == {("E", None), ("E", "n"), ("E", "id"), ("E_b_es_Missing", "target"), ("d", None)}


def test_what_is_compiled_keeps_its_meaning() -> None:
    metadata = MetaData()
    compile_schema(metadata, entities=[A, B], relations=[rel()], dictionaries=[Dictionary("d", int)])
    for given, kind in (
        ({"entities": [Entity("A", [Property("n", str)])]}, "Entity 'A'"),
        ({"relations": [rel(type="1:1")]}, "Relation 'A_b_a_B'"),
        ({"dictionaries": [Dictionary("d", str)]}, "Dictionary 'd'"),
    ):
        with pytest.raises(DefinitionError, match=f"{kind} is compiled on this MetaData already, with other content"):
            compile_schema(metadata, **given)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="has no rows of its own, a foreign key holds it"):
        compile_schema(metadata, relations=[rel(source="A_b_a_B", one="x", target="B", other="y")])
    other = MetaData()
    compile_schema(other, entities=[unique("n")])
    with pytest.raises(DefinitionError, match="F, constraint 'u': E has a constraint of this name"):
        compile_schema(other, entities=[Entity("F", [Property("n", int)], constraints=[UniqueConstraint("u", ["n"])])])


def test_a_record_mapped_to_a_select_has_no_foreign_keys() -> None:
    class Local(DeclarativeBase):
        pass

    class Row(Local):
        __tablename__ = "row"
        id: Mapped[int] = mapped_column(primary_key=True)

    class View(Local):
        __table__ = select(Row.__table__).subquery()
        __mapper_args__ = {"primary_key": [__table__.c.id]}

    with pytest.raises(DefinitionError, match="View is not mapped to a table"):
        compile_schema(Local, entities=[A], relations=[rel(target=View)])


@pytest.mark.parametrize("base", [3, "Base", object()])
def test_the_base_must_hold_a_metadata(base: Any) -> None:
    with pytest.raises(TypeError, match="base must be a DeclarativeBase"):
        compile_schema(base)
