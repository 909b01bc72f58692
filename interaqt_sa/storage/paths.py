"""Paths of matches and orders as columns of a statement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, ColumnElement, Dialect, Float, Integer, Numeric, Select, literal, select, tuple_
from sqlalchemy.orm import MANYTOONE, Mapper, RelationshipProperty, aliased
from sqlalchemy.types import TypeEngine

from ..definitions.match import MatchExp, Reference
from ..errors import DefinitionFault, InvalidValueError
from ..schema.filtered_lookup import members_at_end
from ..schema.predicates.match import compile_match
from ..schema.record_lookup import record_name
from ..schema.value_checks import checked_operand, require_operator
from .attributes import LINK, key_attributes, link_of, metadata_of, near_end, relationship_of, unknown_attribute
from .query_parameters import Parameter, Parameters


class Paths:
    """Resolves paths that begin at one entity of a statement, and collects the joins that they need.

    :param entity: a mapped class or an alias of one.
    :param outer: the paths of the enclosing statement, in a subquery.
    :param parameters: the parameters of the query, if its operands are parameters.
    :param takes_many: whether paths may follow x:n relationships; then a record has several rows.
    """

    def __init__(
        self,
        mapper: Mapper[Any],
        entity: Any,
        dialect: Dialect,
        outer: Paths | None = None,
        parameters: Parameters | None = None,
        *,
        takes_many: bool = False,
    ) -> None:
        self._dialect = dialect
        self._outer = outer
        self._parameters = parameters
        self._takes_many = takes_many
        self._entities: dict[str, tuple[Mapper[Any], Any]] = {"": (mapper, entity)}
        self._joins: list[Any] = []

    def resolve(self, path: str) -> ColumnElement[Any]:
        """Return the column at the end of ``path``.

        :raises DefinitionFault: if it does not exist, or the path follows an x:n relationship.
        """
        prefix, _, name = path.rpartition(".")
        if (key := self._foreign_key(prefix, name)) is not None:
            return key
        mapper, entity = self.entity(prefix)
        if name in mapper.relationships:
            raise DefinitionFault(
                f"{record_name(mapper)}.{name} is a relationship; compare {path}.{key_attributes(mapper)[0]}, "
                "or use 'exist'",
                record=record_name(mapper),
                property=name,
            )
        if name not in mapper.column_attrs:
            raise unknown_attribute(mapper, name, mapper.attrs.keys())
        column: ColumnElement[Any] = getattr(entity, name)
        return column

    def order(self, path: str) -> ColumnElement[Any]:
        """Return the column at the end of ``path``, for an order.

        :raises InvalidValueError: if the database cannot sort by it.
        """
        column, record = self.resolve(path), record_name(self._entities[""][0])
        require_operator(column, "order", self._dialect, record=record, name=path)
        return column

    def exist(self, path: str, expression: MatchExp) -> ColumnElement[bool]:
        """Return the criterion that a neighbour over ``path`` matches ``expression``."""
        prefix, _, name = path.rpartition(".")
        mapper, entity = self.entity(prefix)
        relationship = relationship_of(mapper, name)
        related = aliased(relationship.mapper)
        inner = Paths(relationship.mapper, related, self._dialect, self, self._parameters, takes_many=True)
        criterion = compile_match(expression, inner.resolve, inner.exist, inner.operand)
        found = inner.join(select(literal(1)).select_from(related))
        # references to attributes of the queried record may occur at any depth
        if (members := members_at_end(metadata_of(mapper), relationship)) is not None:
            found = found.where(getattr(related, members.attribute) > 0)
        return found.where(getattr(entity, name).of_type(related), criterion).correlate(*self._known()).exists()

    def fulfils(self, expression: MatchExp) -> ColumnElement[bool]:
        """Return the criterion that a record matches ``expression``.

        If paths lead to many records, one of each has to match: the same one in all comparisons along the same path. A
        record without any is treated as if it had one with NULL in all attributes.
        """
        mapper, entity = self._entities[""]
        if self._takes_many or not any(leads_to_many(mapper, key) for key in expression.keys()):  # noqa: SIM118
            return compile_match(expression, self.resolve, self.exist, self.operand)
        row = aliased(mapper)
        inner = Paths(mapper, row, self._dialect, parameters=self._parameters, takes_many=True)
        criterion = compile_match(expression, inner.resolve, inner.exist, inner.operand)
        keys = key_attributes(mapper)
        columns: Select[Any] = select().add_columns(*(getattr(row, key) for key in keys))
        found = inner.join(columns.select_from(row)).where(criterion)
        own = [getattr(entity, key) for key in keys]
        return (own[0] if len(own) == 1 else tuple_(*own)).in_(found.correlate(None))

    def begin_at_link(self, mapper: Mapper[Any], entity: Any) -> None:
        """Resolve ``&`` at the beginning of a path to the link over which the record was reached."""
        self._entities[LINK] = mapper, entity

    def _known(self) -> list[Any]:
        own = [entity for _, entity in self._entities.values()]
        return own if self._outer is None else own + self._outer._known()

    def operand(self, path: str, column: ColumnElement[Any], operator: str, value: Any) -> Any:
        """Return the operand of a comparison in the form that the database expects.

        :raises InvalidValueError: if the column can never have such a value.
        """
        record = record_name(self._entities[""][0])
        is_null_test: bool = value is None
        if not is_null_test:
            require_operator(column, operator, self._dialect, record=record, name=path)
        if isinstance(value, Reference):
            return self._referred(path, column, value)
        if operator == "between" and any(isinstance(bound, (Reference, Parameter)) for bound in value):
            return tuple(self.operand(path, column, ">", bound) for bound in value)
        if isinstance(value, Parameter):
            assert self._parameters is not None
            return self._parameters.operand(column, operator, value, record, path)
        return checked_operand(column, operator, value, self._dialect, record=record, name=path)

    def _referred(self, path: str, column: ColumnElement[Any], reference: Reference) -> ColumnElement[Any]:
        root = self
        while root._outer is not None:
            root = root._outer
        if leads_to_many(root._entities[""][0], reference.path):
            raise self._many(reference.path, "refer to an attribute of the record, or along x:1 relationships")
        other = root.resolve(reference.path)
        kinds = [_kind(side.type) for side in (column, other)]
        if kinds[0] is not kinds[1] or kinds[0] is JSON:
            record = record_name(self._entities[""][0])
            raise InvalidValueError(
                f"{record}.{path} is {column.type!r} and cannot be compared with {reference.path}, which is "
                f"{other.type!r}",
                record=record,
                property=path,
                code="INVALID_VALUE",
            )
        return other

    def join(self, statement: Select[Any]) -> Select[Any]:
        """Return ``statement`` with the joins that the paths so far need."""
        for join in self._joins:
            statement = statement.outerjoin(join)
        return statement

    def entity(self, path: str) -> tuple[Mapper[Any], Any]:
        """Return the record at the end of ``path``, and its entity in the statement.

        :raises DefinitionFault: if it does not exist, or the path is x:n.
        """
        if path not in self._entities:
            prefix, _, name = path.rpartition(".")
            if name == LINK:
                return self._link(prefix)
            mapper, entity = self.entity(prefix)
            relationship = relationship_of(mapper, name)
            self._check_many(mapper, relationship)
            alias = aliased(relationship.mapper)
            way = getattr(entity, name)
            if link_of(relationship) is not None:
                # through the link's own alias, so that comparisons with the link refer to the same row
                near = near_end(mapper.relationships[f"{name}_links"])
                way = getattr(self._link(path)[1], "target" if near == "source" else "source")
            members = members_at_end(metadata_of(mapper), relationship)
            joined = way.of_type(alias)
            self._joins.append(joined if members is None else joined.and_(getattr(alias, members.attribute) > 0))
            self._entities[path] = relationship.mapper, alias
        return self._entities[path]

    def _link(self, path: str) -> tuple[Mapper[Any], Any]:
        """Return the link to the record at the end of ``path``, and its entity."""
        key = f"{path}.{LINK}"
        if key not in self._entities:
            prefix, _, name = path.rpartition(".")
            mapper, entity = self.entity(prefix)
            link = link_of(mapper.relationships[name]) if name in mapper.relationships else None
            if link is None:
                raise DefinitionFault(
                    f"{record_name(mapper)}: '&' stands for the relation's own row after a relationship that has one, "
                    f"not in {key.removeprefix('.')!r}",
                    record=record_name(mapper),
                    property=LINK,
                )
            self._check_many(mapper, mapper.relationships[name])
            alias = aliased(link)
            links = mapper.relationships[f"{name}_links"]
            joined = getattr(entity, links.key).of_type(alias)
            if (members := members_at_end(metadata_of(mapper), mapper.relationships[name])) is not None:
                far = getattr(alias, "target" if near_end(links) == "source" else "source")
                joined = joined.and_(far.has(members.membership > 0))
            self._joins.append(joined)
            self._entities[key] = link, alias
        return self._entities[key]

    def _check_many(self, mapper: Mapper[Any], relationship: RelationshipProperty[Any]) -> None:
        if relationship.uselist and not self._takes_many:
            raise self._many(
                f"{record_name(mapper)}.{relationship.key}", "order by attributes of the record, or along x:1 paths"
            )

    def _many(self, path: str, advice: str) -> DefinitionFault:
        record = record_name(self._entities[""][0])
        return DefinitionFault(f"{path} leads to many records; {advice}", record=record, property=path)

    def _foreign_key(self, path: str, name: str) -> ColumnElement[Any] | None:
        """Return the foreign key column that is equal to ``path.name``, so that comparing a key needs no join."""
        if not path or path in self._entities:
            return None
        prefix, _, last = path.rpartition(".")
        if last == LINK:
            return None
        mapper, entity = self.entity(prefix)
        if last not in mapper.relationships:
            return None
        if members_at_end(metadata_of(mapper), mapper.relationships[last]) is not None:
            return None  # the key may be that of a record that is not a member
        pairs = foreign_key_pairs(mapper.relationships[last])
        own = pairs.get(name)
        return None if own is None else getattr(entity, own)


def leads_to_many(mapper: Mapper[Any], path: str) -> bool:
    """Whether an attribute at the end of ``path`` may have several values for one record."""
    *steps, _ = path.split(".")
    link: Mapper[Any] | None = None
    for step in steps:
        if step == LINK and link is not None:
            mapper, link = link, None
        elif step not in mapper.relationships:
            return False  # an unknown name raises an error when the path is resolved
        elif mapper.relationships[step].uselist:
            return True
        else:
            mapper, link = mapper.relationships[step].mapper, link_of(mapper.relationships[step])
    return False


def _kind(type_: TypeEngine[Any]) -> type[Any]:
    kind: Any = type_._type_affinity  # pyright: ignore[reportPrivateUsage]
    # in SQLAlchemy 2.1 a Float is not a Numeric
    return Numeric if issubclass(kind, (Integer, Numeric, Float)) and not issubclass(kind, Boolean) else kind


def foreign_key_pairs(relationship: RelationshipProperty[Any]) -> dict[str, str]:
    """Return the foreign key attributes of a many-to-one by the referenced attributes; empty for others."""
    if relationship.direction is not MANYTOONE or relationship.secondary is not None:
        return {}
    parent, target = relationship.parent, relationship.mapper
    return {
        target.get_property_by_column(remote).key: parent.get_property_by_column(local).key
        for local, remote in relationship.local_remote_pairs or ()
    }
