"""Tables and columns of any name work in every kind of statement; records and attributes of such names are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, update
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq
from tests.support.statements import count_statements

_NAMES = [
    *('a"b', "c'd", "e%f", "%s", "%(x)s", ":g", "h::int", "[i]", "j`k", "l;m--", "n\\o", "p q", "ü☃", "?", "{x}", "$1"),
    "select",
]
_ALPHA = iq.Entity(
    "Alpha",
    [iq.Property(f"p{n}", str, column_name=name) for n, name in enumerate(_NAMES)],
    table_name='al"pha %s :x [y]',
)
_BETA = iq.Entity(
    "Beta",
    [
        iq.Property("n", int, column_name='n" %(n)s :n'),
        iq.Property("count", int, computation=iq.Count("alphas", where={"p0": "v"}), column_name='%count "c" :c'),
        iq.Property("last", str, computation=iq.Max("alphas", "p5")),
    ],
    table_name="beta%')",
)
_RELATIONS = [
    iq.Relation(source=_BETA, source_property="alphas", target=_ALPHA, target_property="beta", type="1:n"),
    iq.Relation(
        name="Liking",
        source=_ALPHA,
        source_property="likes",
        target=_BETA,
        target_property="liked",
        type="n:n",
        properties=[iq.Property("why", str, column_name='w%s"')],
    ),
]
DEFINITIONS: dict[str, Any] = {"entities": [_ALPHA, _BETA], "relations": _RELATIONS}
_VALUES = {**{f"p{n}": name for n, name in enumerate(_NAMES)}, "p0": "v"}
_BOTH = [_VALUES, {"p0": "w"}]
_QUERY = [
    "*",
    "beta.count",
    ("likes", {"attribute_query": ["n", ("&", {"attribute_query": ["why"]})]}),
]


@pytest.fixture
def system(engine: Engine) -> iq.System:
    controller = iq.Controller(iq.System(engine, base=MetaData()), **DEFINITIONS)
    controller.setup(install=True)
    return controller.system


@pytest.mark.parametrize("is_observed", [False, True])
def test_names_of_tables_and_columns(system: iq.System, engine: Engine, is_observed: bool) -> None:
    if is_observed:  # SQLAlchemy runs all statements
        with count_statements(engine):
            _check(system)
    else:
        _check(system)


def _check(system: iq.System) -> None:
    storage = system.storage
    storage.create("Beta", {"n": 1, "alphas": _BOTH, "liked": [{"p0": "z", "&": {"why": "%s :x"}}]})
    for name, value in _VALUES.items():
        for match in ({name: value, "beta.n": 1}, {name: ("in", [value, "other"])}, {name: ("like", value)}):
            if match[name] == ("like", "n\\o"):
                continue
            (found,) = storage.find("Alpha", match, attribute_query=_QUERY, order_by={name: "ASC"})
            assert {key: found[key] for key in _VALUES} == _VALUES
            assert found["beta"] == {"id": 1, "count": 1}
    assert storage.find("Alpha", {"likes.&.why": "%s :x"}) == [{"id": 3}]
    page = storage.find("Alpha", order_by={"p6": "DESC", "p12": "ASC"}, limit=1)
    assert len(storage.find("Alpha", order_by={"p6": "DESC", "p12": "ASC"}, after=page.cursor)) == 2
    alpha: Any = system.schema.mapped_class("Alpha")
    with system.session_factory.begin() as session:
        session.execute(update(alpha).where(alpha.p2 == "e%f").values(p0="not", p5="%(y)s"))
    assert storage.find("Beta", attribute_query=["count", "last"]) == [{"id": 1, "count": 0, "last": "%(y)s"}]
    storage.update("Alpha", {"p3": ("is null",)}, {"p0": "v", "p3": "%s"})
    assert system.check().ok
    system.repair()
    storage.delete("Alpha", {"p0": ("in", ["v", "not"])})
    assert storage.find("Beta", attribute_query=["count", "last"]) == [{"id": 1, "count": 0, "last": None}]


async def test_names_of_tables_and_columns_async(async_engine: AsyncEngine) -> None:
    controller = iq.AsyncController(iq.AsyncSystem(async_engine, base=MetaData()), **DEFINITIONS)
    await controller.setup(install=True)
    storage = controller.system.storage
    await storage.create("Beta", {"n": 1, "alphas": _BOTH})
    for _ in range(2):
        (found,) = await storage.find("Alpha", _VALUES, attribute_query=["*", "beta.count"])
        assert {key: found[key] for key in _VALUES} == _VALUES
    assert (await controller.system.check()).ok


_CALLS: list[Callable[[iq.Storage, str], Any]] = [
    lambda storage, name: storage.find(name),
    lambda storage, name: storage.create(name, {}),
    lambda storage, name: storage.find("Alpha", {name: 1}),
    lambda storage, name: storage.find("Alpha", {f"likes.{name}": 1}),
    lambda storage, name: storage.find("Alpha", attribute_query=[name]),
    lambda storage, name: storage.find("Alpha", attribute_query=[(name, {})]),
    lambda storage, name: storage.find("Alpha", order_by={name: "ASC"}),
    lambda storage, name: storage.find("Alpha", {"p0": (name, 1)}),
    lambda storage, name: storage.find("Alpha", {"p0": iq.MatchExp.ref(name)}),
    lambda storage, name: storage.create("Alpha", {name: 1}),
    lambda storage, name: storage.create("Alpha", {"likes": [{"id": 1, "&": {name: 1}}]}),
    lambda storage, name: storage.update("Alpha", {"id": 1}, {name: 1}),
    lambda storage, name: storage.add_relation(name, 1, 1),
    lambda storage, name: storage.find_path("Alpha", 1, 1, name),
    lambda storage, name: storage.dictionary.get(name),
]


@pytest.mark.parametrize("call", range(len(_CALLS)))
def test_unknown_names(system: iq.System, engine: Engine, call: int) -> None:
    for name in [*_NAMES, "", ".", "a..b", "&", "a\0b", "\ud800", "x" * 10_000_000, "__class__", "metadata"]:
        with count_statements(engine) as statements, pytest.raises(iq.DefinitionFault) as caught:
            _CALLS[call](system.storage, name)
        assert not [text for text in statements if not text.startswith("SELECT")]
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", [*_NAMES[:-1], "", "a.b", "&", "a\0b", "\ud800"])
def test_names_of_records_and_attributes_are_identifiers(name: str) -> None:
    for given in (
        {"entities": [iq.Entity(name)]},
        {"entities": [iq.Entity("Thing", [iq.Property(name, str)])]},
        {
            "entities": [iq.Entity("Thing")],
            "relations": [
                iq.Relation(source="Thing", source_property=name, target="Thing", target_property="other", type="n:n")
            ],
        },
        {
            "entities": [iq.Entity("Thing")],
            "relations": [
                iq.Relation(
                    name=name, source="Thing", source_property="a", target="Thing", target_property="b", type="n:n"
                )
            ],
        },
    ):
        if name == "ü☃" or not name.isidentifier():
            with pytest.raises(iq.DefinitionError):
                iq.compile_schema(MetaData(), **given)  # type: ignore[arg-type]
