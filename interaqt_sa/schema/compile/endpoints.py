"""The endpoints of relations: records that are being compiled or already mapped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Column, ColumnElement, MetaData, Table
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.types import TypeEngine

from ...definitions.records import ref_name
from ...definitions.type_aliases import RecordRef
from ...dialects.column_types import id_type
from ...errors import DefinitionFault
from ..faults import Faults
from ..filtered_lookup import base_record
from ..metadata_state import Catalog
from ..record_lookup import mapper_of, record_name, resolve_record
from .tables import TablePlan


@dataclass(slots=True)
class Endpoint:
    """A record at one end of a relation.

    :ivar plan: the plan of its table, if it is being compiled.
    :ivar mapper: its mapper, if it is already mapped.
    :ivar claimed: attributes that relations of this compilation add to a mapped class.
    """

    metadata: MetaData
    plan: TablePlan | None = None
    mapper: Mapper[Any] | None = None
    claimed: set[str] = field(default_factory=set[str])

    @property
    def name(self) -> str:
        if self.plan is not None:
            return self.plan.definition.name
        assert self.mapper is not None
        return record_name(self.mapper)

    @property
    def table_name(self) -> str:
        if self.plan is not None:
            return self.plan.name
        assert self.mapper is not None
        return str(self.mapper.local_table.name)  # type: ignore[attr-defined]  # refused unless it is a table

    @property
    def table(self) -> Table:
        """The table, once it has been added to the MetaData."""
        if self.mapper is not None:
            table: Any = self.mapper.local_table
            return cast("Table", table)
        assert self.plan is not None
        return self.metadata.tables[self.plan.path(self.metadata)]

    @property
    def mapped_class(self) -> type[Any]:
        """The mapped class, once it exists."""
        return self.mapper.class_ if self.mapper is not None else Catalog.of(self.metadata).classes[self.name]

    @property
    def key(self) -> ColumnElement[Any]:
        """The primary key column, once the table has been added to the MetaData."""
        return self.table.columns["id"] if self.mapper is None else self.mapper.primary_key[0]

    @property
    def key_type(self) -> TypeEngine[Any]:
        return id_type() if self.mapper is None else self.mapper.primary_key[0].type

    @property
    def key_path(self) -> str:
        """The target of a foreign key to the record, whose table may still be missing from the MetaData."""
        if self.mapper is not None:
            key = self.mapper.primary_key[0]
            return f"{key.table.fullname}.{key.name}"
        assert self.plan is not None
        return f"{self.plan.path(self.metadata)}.id"

    def is_taken(self, attribute: str) -> bool:
        """Whether the record has ``attribute`` already, or is given it by this compilation."""
        if self.plan is not None:
            return attribute in self.plan.attributes
        assert self.mapper is not None
        return attribute in self.claimed or hasattr(self.mapper.class_, attribute)

    def claim_for(self, relation: str, attribute: str, faults: Faults) -> None:
        """Reserve ``attribute`` for a relation, and collect a fault if it is taken.

        :param relation: the relation, for the message.
        """
        if self.is_taken(attribute):
            faults.add(
                f"{self.name}.{attribute}: {relation} needs this name, but it is taken; "
                "rename the relation's property or the other attribute",
                record=self.name,
                property=attribute,
            )
        self.claim(attribute)

    def has_relationship(self, attribute: str) -> bool:
        """Whether the mapped class declares ``attribute`` as a relationship of its own."""
        if self.mapper is None or attribute in self.claimed:
            return False
        # Mapper.attrs would configure all mappers, whose targets may not be imported yet
        return isinstance(self.mapper._props.get(attribute), RelationshipProperty)  # pyright: ignore[reportPrivateUsage]

    def leads_to(self, attribute: str, other: Endpoint, *, is_many: bool) -> bool:
        """Whether a relationship of the mapped class may refer to ``other``."""
        assert self.mapper is not None
        prop: Any = self.mapper._props[attribute]  # pyright: ignore[reportPrivateUsage]
        # an annotation such as Mapped[list[...]] determines it before the mapper is configured
        known = True if prop.uselist is None and prop.collection_class is not None else prop.uselist
        if known not in (None, is_many):
            return False
        target = prop.argument
        if isinstance(target, str):
            return target.rpartition(".")[2] == other.name
        mapper: Any = mapper_of(target) if isinstance(target, type) else target
        if not getattr(mapper, "is_mapper", False):
            return True  # a function, which can be called only when all classes exist
        return other.mapper is not None and bool(mapper.common_parent(other.mapper))

    def claim(self, attribute: str) -> None:
        """Reserve ``attribute`` for a relation."""
        (self.claimed if self.plan is None else self.plan.attributes).add(attribute)

    def foreign_keys_to(self, other: Endpoint) -> list[Column[Any]]:
        """Return the columns of a mapped table that are a foreign key to ``other``."""
        if self.mapper is None:
            return []
        single = [key.elements[0] for key in self.table.foreign_key_constraints if len(key.elements) == 1]
        if self.mapper.inherits is not None:  # the primary key of a joined subclass refers to its base table
            single = [key for key in single if not key.parent.primary_key]
        found = [key.parent for key in single if key.target_fullname == other.key_path]
        return sorted(found, key=lambda column: column.name)


class Endpoints:
    """Look up and cache the endpoints of relations.

    :param bases: the records that the filtered records of the compilation are based on, by name.
    """

    def __init__(
        self, metadata: MetaData, plans: dict[str, TablePlan], bases: Mapping[str, RecordRef] | None = None
    ) -> None:
        self._metadata = metadata
        self._bases = bases or {}
        self._plans = plans
        self._found: dict[str, Endpoint] = {}

    def find(self, ref: RecordRef) -> Endpoint:
        """Return the endpoint that ``ref`` refers to; for a filtered record that of its base.

        :raises DefinitionFault: if there is no such record, or a foreign key cannot refer to it.
        """
        seen: set[str] = set()
        while not isinstance(ref, type) and (name := ref_name(ref)) in self._bases and name not in seen:
            seen.add(name)
            ref = self._bases[name]
        ref = base_record(self._metadata, ref)
        if not isinstance(ref, type) and (plan := self._plans.get(ref_name(ref))) is not None:
            return self._found.setdefault(plan.definition.name, Endpoint(self._metadata, plan=plan))
        mapper = resolve_record(self._metadata, ref, besides=self._plans.keys())
        name = record_name(mapper)
        if not isinstance(mapper.local_table, Table):
            raise DefinitionFault(
                f"{name} is not mapped to a table, so no foreign key can refer to it; relate the record behind it",
                record=name,
            )
        if len(mapper.primary_key) != 1:
            raise DefinitionFault(
                f"{name} has a primary key of {len(mapper.primary_key)} columns; "
                "declare the relationship on the mapped classes instead",
                record=name,
            )
        return self._found.setdefault(f"{name} {id(mapper)}", Endpoint(self._metadata, mapper=mapper))
