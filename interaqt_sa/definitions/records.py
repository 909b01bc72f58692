"""Entities, properties and relations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, TypeAlias, overload

from sqlalchemy.types import TypeEngine

from ..errors import DefinitionFault
from .computation import Computation
from .constraints import NonNullConstraint, UniqueConstraint
from .retention import Retention
from .same_row import SameRow
from .type_aliases import RecordRef, Where
from .validation import require_string

Cardinality: TypeAlias = Literal["1:1", "1:n", "n:1", "n:n"]
PropertyType: TypeAlias = str | type[Any] | TypeEngine[Any]
Constraint: TypeAlias = UniqueConstraint | NonNullConstraint


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a record, stored in a column.

    :param name: name of the attribute.
    :param type: ``"string"``, ``"number"`` (double precision), ``"boolean"``, ``"timestamp"`` (milliseconds since
        1970), ``"object"`` (JSON), ``"id"``; or ``str``, ``int``, ``float``, ``Decimal``, ``bool``, ``datetime``
        (with time zone), ``dict``, ``list``, ``UUID``; or a SQLAlchemy type.
    :param default: value of a new row for which none is given, copied for each row, or a function without parameters
        that returns it.
    :param computed: pure function of the row's other columns; the result is stored.
    :param computation: computes the value, such as ``Count("orders")``.
    :param collection: whether the value is a list, stored as JSON.
    :param nullable: whether it may be NULL; counts and sums never are.
    :param column_name: name of the column; default: the name in snake case.
    :raises TypeError: if the name is not a string. All other checks are made when the record is compiled.

    ::

        Property("total", "number", computed=lambda item: item.price * item.quantity)
    """

    name: str
    type: PropertyType
    _: KW_ONLY
    default: Any = None
    computed: Callable[[Any], Any] | None = None
    computation: Computation[Any] | None = None
    collection: bool = False
    nullable: bool = True
    column_name: str | None = None

    def __post_init__(self) -> None:
        require_string("Property", self.name)
        if callable(self.computed) and self.computation is None:
            object.__setattr__(self, "computation", SameRow(self.computed))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Property):
            return NotImplemented
        return _property_values(self) == _property_values(other)

    def __hash__(self) -> int:
        return hash((Property, self.name))


def _property_values(value: Property) -> tuple[Any, ...]:
    # __post_init__ makes a SameRow of computed=, and two properties of one function are equal
    computation = None if value.computed else value.computation
    return (
        *(value.name, value.type, value.default, value.computed, computation),
        *(value.collection, value.nullable, value.column_name),
    )


@dataclass(frozen=True, slots=True)
class Entity:
    """A record that is stored in a table of its own, or a filtered record: the rows of another record that match.

    :param name: unique among all records of a schema; also the name of the mapped class.
    :param properties: :class:`Property` values; every entity has an ``id`` in addition.
    :param computation: a :class:`.Transform` that derives the rows.
    :param constraints: :class:`.UniqueConstraint` and :class:`.NonNullConstraint` values.
    :param table_name: name of the table; default: the name in snake case.
    :param table_args: further arguments of the :class:`~sqlalchemy.schema.Table`, such as an ``Index``; a mapping at
        the end holds its keyword arguments.
    :param base_entity: makes it a filtered entity: the record whose matching rows are its members; an entity, a
        relation, a mapped class, or another filtered record. A filtered entity has the table, the properties and the
        relations of its base, and takes no arguments besides ``match_expression`` and ``constraints``, which apply to
        its members.
    :param match_expression: the condition of a filtered entity, in any form that ``where=`` of :class:`.Count` takes:
        over columns of the row and of its x:1 neighbours.
    :param input_entities: makes it a merged entity: the entities whose rows it contains, compiled in the same call.
        They have one table and one sequence of ids; a property of the same name is one column. The attribute
        ``record_type`` is the name of the input. Inputs may be filtered or merged themselves.
    :param common_properties: properties that each input of a merged entity has to declare, with the same type.
    :param identity: names of the properties that identify a row, its natural key: they are NOT NULL and unique
        together, and ``storage.create()`` of a record that exists returns the existing one. ``storage.update()`` does
        not change them. They are scalars without default or computation.
    :param retention: how long rows are kept, for ``storage.prune()``.
    :raises TypeError: if the name is not a string. All other checks are made when the entity is compiled.

    ::

        Order = Entity("Order", [Property("total", "number", default=0)])
        LargeOrder = Entity("LargeOrder", base_entity=Order, match_expression={"total": (">", 1000)})
        Contact = Entity("Contact", input_entities=["Customer", "Supplier"])
    """

    name: str
    properties: tuple[Property, ...]
    computation: Computation[Any] | None
    base_entity: RecordRef | None
    match_expression: Where | None
    input_entities: tuple[RecordRef, ...]
    common_properties: tuple[Property, ...]
    constraints: tuple[Constraint, ...]
    identity: tuple[str, ...] | None
    retention: Retention | None
    table_name: str | None
    table_args: tuple[Any, ...]

    def __init__(
        self,
        name: str,
        properties: Iterable[Property] = (),
        *,
        computation: Computation[Any] | None = None,
        base_entity: RecordRef | None = None,
        match_expression: Where | None = None,
        input_entities: Iterable[RecordRef] = (),
        common_properties: Iterable[Property] = (),
        constraints: Iterable[Constraint] = (),
        identity: Iterable[str] | None = None,
        retention: Retention | None = None,
        table_name: str | None = None,
        table_args: Iterable[Any] = (),
    ) -> None:
        _assign(
            self,
            name=require_string("Entity", name),
            properties=tuple(properties),
            computation=computation,
            base_entity=base_entity,
            match_expression=match_expression,
            input_entities=tuple(input_entities),
            common_properties=tuple(common_properties),
            constraints=tuple(constraints),
            identity=identity if identity is None or isinstance(identity, str) else tuple(identity),
            retention=retention,
            table_name=table_name,
            table_args=tuple(table_args),
        )

    def __hash__(self) -> int:
        return hash((Entity, self.name))


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation between two records, or a filtered relation: the pairs of another relation that match.

    :param source: a record: name, definition or mapped class.
    :param source_property: attribute of the source that refers to its targets.
    :param target: a record: name, definition or mapped class.
    :param target_property: attribute of the target that refers to its sources.
    :param type: the cardinality, ``"1:1"``, ``"1:n"``, ``"n:1"`` or ``"n:n"``: ``"1:n"`` is one source with many
        targets.
    :param name: unique among all records of a schema; default:
        ``<Source>_<source_property>_<target_property>_<Target>``.
    :param properties: values that each pair has; such a relation has a table and a mapped class.
    :param computation: a :class:`.Transform` that derives the pairs.
    :param is_target_reliance: whether targets exist only with their source; ``"1:1"`` and ``"1:n"``. They are deleted
        with it. Storage lets them change to another source, but refuses to leave them without one: delete them
        instead. In a session, targets that are removed from the source's relationship are deleted.
    :param constraints: as for :class:`Entity`, over ``"source"``, ``"target"`` and the properties.
    :param base_relation: makes it a filtered relation: the relation whose matching pairs are its members; it may be
        filtered itself. A filtered relation needs a name and two property names, which read the members at the ends;
        source, target, type and properties are those of its base.
    :param match_expression: the condition of a filtered relation, over its properties, ``source.…`` and ``target.…``.
    :param input_relations: makes it a merged relation: the ``"n:n"`` relations between the same records whose pairs it
        contains, compiled in the same call; see ``input_entities`` of :class:`Entity`.
    :raises TypeError: if a name is not a string. All other checks are made when the relation is compiled.

    ::

        Relation(source=Customer, source_property="orders", target=Order, target_property="customer", type="1:n")
        Relation(
            name="Leadership",
            base_relation="Membership",
            source_property="led_teams",
            target_property="leaders",
            match_expression={"role": "lead"},
        )
    """

    name: str
    source: RecordRef
    source_property: str
    target: RecordRef
    target_property: str
    type: Cardinality
    properties: tuple[Property, ...]
    computation: Computation[Any] | None
    is_target_reliance: bool
    base_relation: RecordRef | None
    match_expression: Where | None
    input_relations: tuple[RecordRef, ...]
    constraints: tuple[Constraint, ...]

    @overload
    def __init__(
        self,
        *,
        source: RecordRef,
        source_property: str,
        target: RecordRef,
        target_property: str,
        type: Cardinality,
        name: str | None = None,
        properties: Iterable[Property] = (),
        computation: Computation[Any] | None = None,
        is_target_reliance: bool = False,
        constraints: Iterable[Constraint] = (),
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        name: str,
        base_relation: RecordRef,
        match_expression: Where,
        source_property: str,
        target_property: str,
        constraints: Iterable[Constraint] = (),
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        name: str,
        input_relations: Iterable[RecordRef],
        source_property: str,
        target_property: str,
        constraints: Iterable[Constraint] = (),
    ) -> None: ...
    def __init__(
        self,
        *,
        source: RecordRef = None,
        source_property: str,
        target: RecordRef = None,
        target_property: str,
        type: Any = None,
        name: str | None = None,
        properties: Iterable[Property] = (),
        computation: Computation[Any] | None = None,
        is_target_reliance: bool = False,
        base_relation: RecordRef | None = None,
        match_expression: Where | None = None,
        input_relations: Iterable[RecordRef] = (),
        constraints: Iterable[Constraint] = (),
    ) -> None:
        require_string("Relation property", source_property)
        require_string("Relation property", target_property)
        inputs = tuple(input_relations)
        if base_relation is None and not inputs:
            given = {"source": source, "target": target, "type": type}
            if missing := [argument for argument, value in given.items() if value is None]:
                raise TypeError(f"Relation() needs {', '.join(missing)}, or base_relation= or input_relations=")
        if name is None and source is not None:
            name = f"{_name_part(source)}_{source_property}_{target_property}_{_name_part(target)}"
        if name is None:
            raise TypeError("a filtered or merged relation needs name=")
        _assign(
            self,
            name=require_string("Relation", name),
            source=source,
            source_property=source_property,
            target=target,
            target_property=target_property,
            type=type,
            properties=tuple(properties),
            computation=computation,
            is_target_reliance=is_target_reliance,
            base_relation=base_relation,
            match_expression=match_expression,
            input_relations=inputs,
            constraints=tuple(constraints),
        )

    def __hash__(self) -> int:
        return hash((Relation, self.name))


def ref_name(ref: RecordRef) -> str:
    """Return the name of the record that ``ref`` refers to, without looking it up.

    :raises DefinitionFault: if ``ref`` is neither a name, a definition nor a class.
    """
    if isinstance(ref, str):
        return ref.rpartition(".")[2]
    name = ref.__name__ if isinstance(ref, type) else getattr(ref, "name", None)
    if not isinstance(name, str):
        raise DefinitionFault(f"{ref!r} is not a record; give its name, its definition or its mapped class")
    return name


def _name_part(ref: RecordRef) -> str:
    try:
        return ref_name(ref)
    except DefinitionFault:  # the compiler reports it together with all other faults
        return type(ref).__name__


def _assign(definition: object, /, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(definition, name, value)
