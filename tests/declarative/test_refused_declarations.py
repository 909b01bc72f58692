"""Declarations that cannot work: all their faults at once, before any SQL, each with the way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    TypeDecorator,
    and_,
    create_engine,
    func,
    literal_column,
    select,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    foreign,
    mapped_column,
    relationship,
)

from interaqt_sa import Any as AnyOf
from interaqt_sa import (
    Average,
    Computation,
    ComputationProtocolError,
    Controller,
    Count,
    DefinitionError,
    DefinitionFault,
    Entity,
    Every,
    Property,
    Relation,
    Summation,
    System,
    Transform,
    computed,
)
from tests.declarative.test_types import Cents
from tests.support.statements import count_statements


def faults_of(base: type[DeclarativeBase]) -> list[str]:
    """Return the faults of the models of ``base``; nothing may have been sent to a database before they are found."""
    engine = create_engine("sqlite://")
    with count_statements(engine) as statements, pytest.raises(DefinitionError) as caught:
        System(engine, base=base).check()
    assert statements == []
    assert isinstance(caught.value, ExceptionGroup)
    engine.dispose()
    return [str(fault) for fault in caught.value.exceptions]


def fault_of(computation: Computation[Any], column_type: Any = Integer, *arguments: Any, **options: Any) -> str:
    """Return the only fault of a host with one computed column."""

    class Base(DeclarativeBase):
        pass

    class Product(Base):
        __tablename__ = "product"
        id: Mapped[int] = mapped_column(primary_key=True)
        active: Mapped[bool]
        code: Mapped[str]

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        best_id: Mapped[int | None] = mapped_column(ForeignKey("product.id"))
        best: Mapped[Any] = relationship(Product, foreign_keys=best_id)
        members: Mapped[list[Any]] = relationship(lambda: Member, back_populates="host")
        loose: Mapped[Any] = relationship(
            Product, primaryjoin=lambda: foreign(Host.id) == Product.id, viewonly=True, uselist=False
        )
        value: Mapped[Any] = computed(computation, column_type, *arguments, nullable=False, **options)

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))
        host: Mapped[Host] = relationship(back_populates="members")
        product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
        product: Mapped[Product] = relationship()
        product_code: Mapped[str]
        by_code: Mapped[Product] = relationship(
            primaryjoin=lambda: foreign(Member.product_code) == Product.code, viewonly=True
        )
        live: Mapped[Product | None] = relationship(
            primaryjoin=lambda: and_(foreign(Member.product_id) == Product.id, Product.active), viewonly=True
        )
        status: Mapped[str]
        amount: Mapped[Decimal] = mapped_column(Numeric(10, 3))
        cents: Mapped[Decimal] = mapped_column(Cents())
        varied: Mapped[Any] = mapped_column(Integer().with_variant(Numeric(10, 2), "postgresql"))
        length = column_property(func.length(literal_column("status")))

    (fault,) = faults_of(Base)
    assert fault.startswith("Host.value: ")
    return fault


@pytest.mark.parametrize(
    ("computation", "text"),
    [
        (Count("membres"), r"'membres' is not a relationship of Host; did you mean 'members'\?"),
        (Count("active"), "'active' is not a relationship of Host; did you mean"),
        (Count(Decimal), "is not a relationship of Host; a whole table is computed into a Dictionary"),
        (Count("members", where={"statsu": "x"}), "Member has no column attribute 'statsu'; it has status"),
        (Count("members", where={"product.activ": 1}), "Product has no column attribute 'activ'; it has active"),
        (Count("members", where={"prod.active": 1}), "'prod' is not a relationship of Member; did you mean 'product'?"),
        (Count("members", where={"host.members.status": "x"}), "'members' does not refer to one row by a foreign key"),
        (Count("members", where={"by_code.active": True}), "does not follow a foreign key.*declare the ForeignKey"),
        (
            Count("members", where={"live.active": True}),
            "the join condition of Member.live requires more than equal keys .*, but a path follows keys",
        ),
        (Count("members", where={"length": 3}), "'length' is a SQL expression, not a stored column"),
        (
            Count("members", callback=bool, attribute_query=["product.nothing"]),
            "Product has no column attribute 'nothing'",
        ),
        (Summation("members", "totl"), "Member has no column attribute 'totl'"),
        (Summation("members", "status"), r"'status' is String\(\), which cannot be summed"),
    ],
    ids=repr,
)
def test_names_and_paths(computation: Computation[Any], text: str) -> None:
    assert re.search(text, fault_of(computation)), fault_of(computation)


def test_a_subquery_in_where() -> None:
    def where(member: Any) -> Any:
        return member.amount > select(func.avg(member.amount)).scalar_subquery()

    assert "holds a subquery, whose rows are not watched" in fault_of(Count("members", where=where))


def test_a_function_that_fails_in_where() -> None:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id"))
        members: Mapped[list[Any]] = relationship("Host")
        typo: Mapped[int] = computed(Count("members", where=lambda host: host.hots_id == 1))
        zero: Mapped[bool] = computed(Every("members", expression=lambda host: host.id == 1 / 0))
        other: Mapped[int] = computed(Count("nothing"))

    engine = create_engine("sqlite://")
    with pytest.raises(DefinitionError) as caught:
        System(engine, base=Base).check()
    engine.dispose()
    typo, zero, other = caught.value.exceptions
    assert re.match(r"Host\.typo: where=<function .* raised AttributeError: type object 'Host' has no", str(typo))
    assert re.match(r"Host\.zero: where=<function .* raised ZeroDivisionError: division by zero", str(zero))
    assert str(other).startswith("Host.other: 'nothing' is not a relationship")
    assert isinstance(typo.__cause__, AttributeError)
    assert isinstance(zero.__cause__, ZeroDivisionError)


def test_columns_of_other_tables_in_where() -> None:
    other = Table("other", MetaData(), Column("id", Integer))
    found = fault_of(Count("members", where=lambda member: member.amount > other.c.id))
    assert "reads other.id, which is not a column of Member; use a path such as" in found


@pytest.mark.parametrize("quantifier", [Every, AnyOf])
def test_quantifiers_over_one(quantifier: Any) -> None:
    found = fault_of(quantifier("best", expression={"active": True}), Boolean)
    assert f"{quantifier.__name__} needs a relationship to many, not Host.best" in found


@pytest.mark.parametrize(
    ("computation", "arguments", "options", "text"),
    [
        (Count("members"), (Integer,), {"default": 0}, "has no default= or onupdate= of its own"),
        (Count("members"), (Integer,), {"onupdate": 0}, "has no default= or onupdate= of its own"),
        (Count("members"), (Integer, ForeignKey("product.id")), {}, "a key cannot be computed"),
        (Count("members"), (String(5),), {}, "Count needs a column of type Integer, Numeric, Float, not String"),
        (Every("members", expression={"status": "x"}), (Integer,), {}, "Every needs a column of type Boolean, not Int"),
        (Average("members", "amount"), (Integer,), {}, "Average needs a column of type Numeric, Float, not Integer"),
        (Average("members", "amount", empty=None), (Float,), {}, "needs a nullable column, such as Mapped"),
        (Summation("members", "amount"), (Numeric(10, 2),), {}, "would round the sum of 'amount'"),
        (Summation("members", "amount"), (Integer,), {}, "would round the sum of 'amount'.*at least its scale"),
        (Summation("members", "cents"), (Integer,), {}, "must be of one type where either converts its values"),
        (Count("members"), (Cents(),), {}, "does not store the value of Count unchanged"),
        (Summation("members", "varied"), (Numeric(10, 2),), {}, "'varied' .* holds another kind of number on another"),
        (Average("members", "varied"), (Float,), {}, "'varied' .* holds another kind of number on another database"),
        (
            Summation("members", "amount"),
            (Numeric(10, 3).with_variant(Numeric(10, 2), "sqlite"),),
            {},
            "the computed column .* give variants that are alike",
        ),
    ],
    ids=str,
)
def test_columns_that_cannot_hold_the_value(
    computation: Computation[Any], arguments: Any, options: dict[str, Any], text: str
) -> None:
    assert re.search(text, fault_of(computation, *arguments, **options))


def test_a_column_where_the_hidden_one_belongs() -> None:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        mean: Mapped[float] = computed(Average("members", "n"))
        _mean__sum: Mapped[float | None]
        every: Mapped[bool] = computed(Every("members", expression={"n": 1}))
        other: Mapped[int | None] = mapped_column("_every__unmatched", key="other")
        members: Mapped[list[Any]] = relationship("Member")

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))
        n: Mapped[int]

    class Copy(Base):
        __tablename__ = "copy"
        __computation__ = Transform(Member, lambda row: {"n": row.n}, attribute_query=["n"])
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int]
        _transform__index: Mapped[int]

    found = sorted(faults_of(Base))
    for fault, (value, column) in zip(
        found,
        [("Copy", "_transform__index"), ("Host.every", "_every__unmatched"), ("Host.mean", "_mean__sum")],
        strict=True,
    ):
        assert fault.startswith(f"{value}: ")
        assert f"keeps its state in a column {column!r}, but table" in fault


def test_a_property_where_the_hidden_column_belongs() -> None:
    host = Entity("Host", [Property("mean", float, computation=Average("members", "n")), Property("_mean__sum", float)])
    members = Relation(source=host, source_property="members", target="Member", target_property="host", type="1:n")
    engine = create_engine("sqlite://")
    member = Entity("Member", [Property("n", int)])
    controller = Controller(System(engine), entities=[host, member], relations=[members])
    with count_statements(engine) as statements, pytest.raises(DefinitionError, match=r"Host\.mean: .*'_mean__sum'"):
        controller.setup(install=True)
    assert statements == []
    engine.dispose()


def test_all_faults_of_several_models_come_at_once() -> None:
    class Base(DeclarativeBase):
        pass

    class One(Base):
        __tablename__ = "one"
        id: Mapped[int] = mapped_column(primary_key=True)
        first: Mapped[int] = computed(Count("nothing"))
        second: Mapped[int] = computed(Count("twos", where={"nothing": 1}))
        right: Mapped[int] = computed(Count("twos"))
        twos: Mapped[list[Two]] = relationship()

    class Two(Base):
        __tablename__ = "two"
        id: Mapped[int] = mapped_column(primary_key=True)
        one_id: Mapped[int] = mapped_column(ForeignKey("one.id"))
        third: Mapped[int] = computed(Count("anything"))

    faults = faults_of(Base)
    assert [fault.partition(":")[0] for fault in faults] == ["One.first", "One.second", "Two.third"]
    with pytest.raises(DefinitionError) as caught:
        System(create_engine("sqlite://"), base=Base).check()
    assert [(f.record, f.property) for f in caught.value.exceptions if isinstance(f, DefinitionFault)] == [
        ("One", "first"),
        ("One", "second"),
        ("Two", "third"),
    ]
    assert all(fault in str(caught.value) for fault in faults)


def test_a_faulty_declaration_fails_the_first_flush_before_any_write(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[int] = computed(Count("nothing"))

    Base.metadata.create_all(engine)
    system = System(engine, base=Base)
    with system.session_factory() as session:
        session.add(Host())
        with pytest.raises(DefinitionError, match="'nothing' is not a relationship of Host; it has none"):
            session.flush()


@pytest.mark.parametrize("concrete", ["host", "member"])
def test_concrete_inheritance(concrete: str) -> None:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Any]] = relationship(lambda: SubMember if concrete == "member" else Member, viewonly=True)
        value: Mapped[int] = computed(Count("members"))

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))

    class SubMember(Member):
        __tablename__ = "sub_member"
        __mapper_args__ = {"concrete": True}
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))

    if concrete == "host":

        class SubHost(Host):
            __tablename__ = "sub_host"
            __mapper_args__ = {"concrete": True}
            id: Mapped[int] = mapped_column(primary_key=True)
            others: Mapped[list[Member]] = relationship(
                primaryjoin=lambda: SubHost.id == foreign(Member.host_id), viewonly=True
            )
            value: Mapped[int] = computed(Count("others"))

    (fault,) = faults_of(Base)
    assert "uses concrete inheritance, whose rows have no common table; use joined or single-table" in fault


# -- what fails where it is written -----------------------------------------------------------------------------------


async def async_callback(member: Any) -> bool:
    return True


class AsyncCallable:
    async def __call__(self, member: Any) -> bool:
        return True


@pytest.mark.parametrize("callback", [async_callback, AsyncCallable()])
def test_asynchronous_callbacks(callback: Any) -> None:
    with pytest.raises(ComputationProtocolError, match="is async; the value is needed inside the write"):
        Count("members", callback=callback, attribute_query=[])
    with pytest.raises(ComputationProtocolError, match="is async; the value is needed inside the write"):
        computed(callback)


@pytest.mark.parametrize(
    "declare",
    [lambda: Count("members", callback=bool), lambda: Every("members", bool), lambda: AnyOf("members", bool)],
)
def test_a_callback_without_attribute_query(declare: Callable[[], object]) -> None:
    with pytest.raises(ComputationProtocolError, match=r"a callback sees only declared attributes; name them in"):
        declare()


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda: Every("members"), "takes either a callback or an expression"),
        (lambda: AnyOf("members", bool, expression={"a": 1}, attribute_query=[]), "either a callback or an expression"),
        (lambda: Every("members", {"a": 1}), r"is not a function; for conditions use expression=\{"),  # type: ignore[arg-type]
        (lambda: AnyOf("members", {"a": 1}), r"is not a function; for conditions use expression=\{"),  # type: ignore[arg-type]
        (lambda: Count("members", callback={"a": 1}), r"is not a function; for conditions use where=\{"),  # type: ignore[arg-type]
        (lambda: Count(None), "needs a source"),
        (lambda: Summation("members", ""), "takes the name of one attribute"),
        (lambda: Summation("members", ["amount"]), "takes the name of one attribute"),  # type: ignore[arg-type]
        (lambda: Average("members", "amount", nulls="drop"), "'ignore' or 'zero'"),  # type: ignore[arg-type]
    ],
)
def test_arguments(declare: Callable[[], object], text: str) -> None:
    with pytest.raises(ComputationProtocolError, match=text):
        declare()


def test_where_a_computation_belongs() -> None:
    with pytest.raises(TypeError, match="takes a computation or a function of the row, not 3"):
        computed(3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="takes a computation or a function of the row, not <class"):
        computed(Count)
    with pytest.raises(TypeError, match="belongs in a Column or mapped_column"):
        Table("t", MetaData(), Count("members"))
    with pytest.raises(TypeError, match="System takes an Engine, a sessionmaker, a scoped_session"):
        System(Session())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="base must be a DeclarativeBase, registry, MetaData or Schema"):
        System(create_engine("sqlite://"), base=object())


class Shouted(TypeDecorator[str]):
    """Converted by SQL, not in Python."""

    impl = String
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> Any:
        return func.upper(bindparam, type_=self)


def test_keys_that_sql_converts() -> None:
    class Base(DeclarativeBase):
        pass

    class Box(Base):
        __tablename__ = "box"
        code: Mapped[str] = mapped_column(Shouted, primary_key=True)
        size: Mapped[int] = computed(Count("things"))
        things: Mapped[list[Any]] = relationship("Thing")

    class Thing(Base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_code: Mapped[str] = mapped_column(ForeignKey(Box.code), index=True)

    (fault,) = faults_of(Base)
    assert "Box.size: " in fault
    assert "process_bind_param()" in fault
