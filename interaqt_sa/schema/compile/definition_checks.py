"""Checks of single definitions, which do not depend on other definitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard, get_args

from ...definitions.computation import Computation
from ...definitions.constraints import NonNullConstraint, UniqueConstraint
from ...definitions.dictionary import Dictionary
from ...definitions.records import Cardinality, Constraint, Entity, Property, Relation
from ...definitions.type_aliases import RecordRef
from ...definitions.validation import check_mapped_name, check_name
from ...errors import DefinitionFault
from ..faults import Faults
from .natural_key_checks import check_natural_key
from .retention_checks import check_retention
from .valid_parts import properties_of, untyped

#: Arguments of a filtered record that its base determines.
_OF_BASE = {
    Entity: (
        "properties",
        "computation",
        "table_name",
        "table_args",
        "input_entities",
        "common_properties",
        "identity",
        "retention",
    ),
    Relation: ("source", "target", "type", "properties", "computation", "is_target_reliance"),
}
#: Arguments of a merged entity that its inputs determine.
_OF_INPUTS = ("properties", "computation", "identity", "retention")
#: Attributes of a relation with rows of its own, besides its properties and id.
LINK_ATTRIBUTES = frozenset(("source", "target", "source_id", "target_id"))
#: Attributes that every record has without declaring them.
OWN_ATTRIBUTES: dict[type[Any], set[str]] = {Entity: {"id"}, Relation: {"id", *LINK_ATTRIBUTES}}


def check_record(definition: Entity | Relation, faults: Faults) -> None:
    """Collect the faults of a record; properties and constraints are checked when their columns are planned."""
    name, kind = definition.name, type(definition)
    with faults.caught(name, record=name):
        check_mapped_name(kind.__name__, name)
    if is_filtered(definition):
        _check_filtered(definition, faults)
        return
    if inputs_of_definition(definition) or isinstance(definition, Entity):
        _check_merged(definition, faults)
    if isinstance(definition, Relation) and definition.input_relations:
        _check_properties_of_ends(definition, faults)
        return
    if definition.match_expression is not None:
        faults.add(
            f"{name}: match_expression= restricts the rows of another record; give it as {_base_argument(definition)}=",
            record=name,
        )
    if definition.computation is not None and not _gives_rows(definition.computation):
        faults.add(
            f"{name}: computation={definition.computation!r} computes a value, not rows; "
            "write it on a Property, or use a Transform here",
            record=name,
        )
    seen: set[str] = set()
    for prop in properties_of(definition):
        if prop.name in seen:
            faults.add(f"{name}.{prop.name} is declared twice; keep one", record=name, property=prop.name)
        if prop.name in OWN_ATTRIBUTES[kind]:
            faults.add(
                f"{name}.{prop.name}: every record has this attribute by itself; remove or rename the property",
                record=name,
                property=prop.name,
            )
        seen.add(prop.name)
    _check_members(name, "properties", definition.properties, (Property,), faults)
    _check_members(name, "constraints", definition.constraints, (UniqueConstraint, NonNullConstraint), faults)
    if isinstance(definition, Relation):
        _check_relation(definition, faults)
    else:
        if definition.identity is not None:
            check_natural_key(definition, faults)
        if definition.retention is not None:
            check_retention(definition, faults)


def base_of(definition: Entity | Relation) -> RecordRef | None:
    """Return the record that a filtered record is based on; ``None`` for other records."""
    return definition.base_entity if isinstance(definition, Entity) else definition.base_relation


def is_filtered(definition: Entity | Relation) -> bool:
    """Whether a definition is one of a filtered record."""
    return base_of(definition) is not None


def _base_argument(definition: Entity | Relation) -> str:
    return "base_entity" if isinstance(definition, Entity) else "base_relation"


def _check_filtered(definition: Entity | Relation, faults: Faults) -> None:
    """Collect the faults of a filtered record, except those of its base and its condition."""
    name = definition.name
    if definition.match_expression is None:
        faults.add(
            f"{name}: {_base_argument(definition)}= needs match_expression=, the condition of its members; a record "
            "without a condition is its base",
            record=name,
        )
    for option in _OF_BASE[type(definition)]:
        if _is_given(given := getattr(definition, option)) and given is not False:
            faults.add(
                f"{name}: a filtered record has the table, properties and ends of its base; leave {option}= out, or "
                "declare it on the base",
                record=name,
            )
    for constraint in untyped(definition.constraints):
        if not isinstance(constraint, UniqueConstraint):
            faults.add(
                f"{name}: constraints= holds {constraint!r}; members can have unique constraints only, declare others "
                "on the base",
                record=name,
            )
    if isinstance(definition, Relation):
        _check_properties_of_ends(definition, faults)


def inputs_of_definition(definition: Entity | Relation) -> tuple[RecordRef, ...]:
    """Return the inputs of a merged entity or relation; empty for other records."""
    return definition.input_entities if isinstance(definition, Entity) else definition.input_relations


def _check_merged(definition: Entity | Relation, faults: Faults) -> None:
    """Collect the faults of a merged record, except those of its inputs."""
    name = definition.name
    options = _OF_INPUTS if isinstance(definition, Entity) else _OF_BASE[Relation]
    for option in options if inputs_of_definition(definition) else ():
        if _is_given(given := getattr(definition, option)) and given is not False:
            faults.add(
                f"{name}: a merged record has the properties, ends and rows of its inputs; declare {option}= there",
                record=name,
            )
    if isinstance(definition, Entity):
        if definition.common_properties and not definition.input_entities:
            faults.add(f"{name}: common_properties= belongs to merged entities; give input_entities=", record=name)
        _check_members(name, "common_properties", definition.common_properties, (Property,), faults)


def _gives_rows(computation: object) -> bool:
    return is_computation(computation) and not computation.gives_value


def may_have_more(definition: Entity | Relation) -> bool:
    """Whether the record would have further attributes if its definition had no faults."""
    return len(properties_of(definition)) < len(definition.properties)


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, tuple) and not value)


def _check_members(record: str, where: str, given: Iterable[Any], kinds: tuple[type[Any], ...], faults: Faults) -> None:
    for value in given:
        if not isinstance(value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            faults.add(f"{record}: {where}= holds {value!r}, which is not a {wanted}", record=record)


def is_text(given: Any) -> bool:
    """Whether ``given``, annotated as a string, is one."""
    return isinstance(given, str)


def is_computation(given: Any) -> TypeGuard[Computation[Any]]:
    """Whether ``given``, annotated as a computation, is one."""
    return isinstance(given, Computation)


def has_known_type(relation: Relation) -> bool:
    """Whether the cardinality of ``relation`` is valid."""
    return relation.type in get_args(Cardinality)


def _check_properties_of_ends(relation: Relation, faults: Faults) -> None:
    for attribute in (relation.source_property, relation.target_property):
        with faults.caught(f"Relation {relation.name!r}", record=relation.name, property=attribute):
            check_mapped_name("Relation property", attribute)


def _check_relation(relation: Relation, faults: Faults) -> None:
    name = relation.name
    _check_properties_of_ends(relation, faults)
    if not has_known_type(relation):
        faults.add(f"Relation {name!r}: type {relation.type!r} is not one of '1:1', '1:n', 'n:1', 'n:n'", record=name)
    elif relation.is_target_reliance and relation.type not in ("1:1", "1:n"):
        faults.add(
            f"Relation {name!r}: is_target_reliance needs one source per target, type '1:1' or '1:n', "
            f"not {relation.type!r}",
            record=name,
        )


def check_property(record: str, prop: Property, faults: Faults) -> None:
    """Collect the faults of a property, except those of its type."""
    where = f"{record}.{prop.name}"
    with faults.caught(where, record=record, property=prop.name):
        check_mapped_name("Property", prop.name)
    found: list[str] = []
    column_name: Any = prop.column_name
    if column_name is not None and not isinstance(column_name, str):
        found.append(f"{where}: column_name={column_name!r} is not a string")
    computation: Any = prop.computation
    if computation is not None and not is_computation(computation):
        way = (
            "use computed= for a function of the row" if callable(computation) else "give one, such as Count('orders')"
        )
        found.append(f"{where}: computation={computation!r} is not a computation; {way}")
    if is_computation(computation) and not computation.gives_value:
        kind = type(computation).__name__
        found.append(f"{where}: a {kind} derives whole rows; give it as computation= of an Entity")
    computed: Any = prop.computed
    if isinstance(computed, Computation):
        found.append(f"{where}: computed= takes a function of the row; write computation={computed!r}")
    elif computed is not None and not callable(computed):
        found.append(f"{where}: computed={computed!r} is not a function of the row")
    elif computed is not None and not _is_made_of(prop, computation):
        found.append(f"{where} has both computed= and computation=; keep one")
    if computation is not None and prop.default is not None:
        found.append(f"{where} has a computation and a default; the computation sets the first value, remove default=")
    for message in found:
        faults.add(message, record=record, property=prop.name)


def _is_made_of(prop: Property, computation: Any) -> bool:
    return getattr(computation, "function", None) is prop.computed  # pyright: ignore[reportUnknownMemberType]


def check_constraint(declared: Constraint) -> None:
    """Check a constraint independently of its record.

    :raises DefinitionFault: if its name or its properties are invalid.
    """
    check_name(type(declared).__name__, declared.name)
    listed: tuple[Any, ...] = declared.properties if isinstance(declared, UniqueConstraint) else (declared.property,)
    strangers = [name for name in listed if not isinstance(name, str)]
    if strangers:
        raise DefinitionFault(f"it covers properties by their names, not {strangers[0]!r}")
    if not listed or len(set(listed)) != len(listed):
        raise DefinitionFault(f"it needs at least one property, each once, not {listed!r}")


def check_dictionary(dictionary: Dictionary, faults: Faults) -> None:
    """Collect the faults of a dictionary, except those of its type."""
    name = dictionary.name
    computation: Any = dictionary.computation
    where = f"Dictionary {name!r}"
    with faults.caught(where, record=name):
        check_name("Dictionary", name)
    is_known = is_computation(computation)
    if computation is not None and not (is_known and computation.is_global):
        shown = type(computation).__name__ if is_known else repr(computation)
        faults.add(
            f"{where}: {shown} does not make one global value; use an aggregate over a record, such as Count('Order')",
            record=name,
        )
    if computation is not None and dictionary.default is not None:
        faults.add(f"{where} has a computation and a default; remove default=", record=name)
