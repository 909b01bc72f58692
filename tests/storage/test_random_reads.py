"""Random schemas, records, matches and attribute queries: what is found is what a model in plain Python finds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData
from sqlalchemy.orm import sessionmaker

import interaqt_sa as iq
from interaqt_sa.definitions.match import And, Atom, Not, Or
from interaqt_sa.storage import Storage

_TYPES = ("1:1", "1:n", "n:1", "n:n")
_TEXTS = ("a", "b", "c'", '"; --', "%_", "", "Ü\n")


@dataclass
class Side:
    """One end of a relation, as the records there see it."""

    relation: str
    far: str
    many: bool
    from_source: bool
    has_link: bool


@dataclass
class Model:
    """Records and links as dicts, and naive answers about them."""

    sides: dict[str, dict[str, Side]]
    records: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    links: dict[str, list[tuple[int, int, int | None]]] = field(default_factory=dict)

    def neighbours(self, entity: str, number: int | None, attribute: str) -> list[tuple[int, dict[str, Any]]]:
        side = self.sides[entity][attribute]
        found: list[tuple[int, dict[str, Any]]] = []
        for source, target, value in self.links[side.relation]:
            near, far = (source, target) if side.from_source else (target, source)
            if near == number:
                found.append((far, {"p": value}))
        return sorted(found, key=lambda pair: pair[0])

    def fulfils(self, entity: str, number: int, match: Any) -> bool:
        """Whether there is one record for each path, so that all of the match holds."""
        keys = list(match.keys())
        paths = sorted({path for key in keys for path in _prefixes(key)}, key=lambda p: p.count("."))
        return any(self._holds(match, rows) is True for rows in self._rows({"": (entity, number, None)}, paths))

    def _rows(self, known: dict[str, Any], paths: list[str]) -> Iterator[dict[str, Any]]:
        if not paths:
            yield known
            return
        path, *others = paths
        before, _, attribute = path.rpartition(".")
        entity, number, _ = known[before]
        far = self.sides[entity][attribute].far
        for near, link in self.neighbours(entity, number, attribute) or [(None, None)]:
            yield from self._rows({**known, path: (far, near, link)}, others)

    def _holds(self, match: Any, rows: dict[str, Any]) -> bool | None:
        match match:
            case And(parts):
                found = [self._holds(part, rows) for part in parts]
                return False if False in found else None if None in found else True
            case Or(parts):
                found = [self._holds(part, rows) for part in parts]
                return True if True in found else None if None in found else False
            case Not(part):
                held = self._holds(part, rows)
                return None if held is None else not held
            case Atom(key, "exist", inner):
                path, _, attribute = key.rpartition(".")
                entity, number, _ = rows[path]
                far = self.sides[entity][attribute].far
                return any(self.fulfils(far, n, inner) for n, _ in self.neighbours(entity, number, attribute))
            case Atom(key, operator, operand):
                path, _, name = key.rpartition(".")
                is_link = path.endswith("&")
                entity, number, link = rows[path.removesuffix("&").removesuffix(".")]
                if is_link:
                    value = None if link is None else link[name]
                else:
                    value = None if number is None else self.records[entity][number][name]
                return _compared(value, operator, operand)
        raise NotImplementedError(match)

    def answer(self, entity: str, number: int, query: list[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {"id": number}
        for item in query:
            if isinstance(item, str):
                found[item] = self.records[entity][number][item]
                continue
            name, options = item
            side, match, modifier = self.sides[entity][name], options.get("match_expression"), options["modifier"]
            group: list[dict[str, Any]] = []
            for near, link in self.neighbours(entity, number, name):
                if match is None or self.fulfils(side.far, near, match):
                    asked = [part for part in options["attribute_query"] if part[0] != "&"]
                    row = self.answer(side.far, near, asked)
                    if len(asked) < len(options["attribute_query"]):
                        row["&"] = link
                    group.append(row)
            if modifier.get("order_by") == {"id": "DESC"}:
                group.reverse()
            first = modifier.get("offset", 0)
            group = group[first : first + modifier["limit"] if "limit" in modifier else None]
            found[name] = group if side.many else group[0] if group else None
        return found


def _prefixes(key: str) -> Iterator[str]:
    steps = key.split(".")[:-1]
    for length in range(1, len(steps) + 1):
        if steps[length - 1] != "&":
            yield ".".join(steps[:length])


def _compared(value: Any, operator: str, operand: Any) -> bool | None:
    if operator in ("in", "not in"):
        others = [one for one in operand if one is not None]
        if value is None:
            # NULL is found by name only; beside values it is neither equal nor unequal to them
            is_in: bool | None = True if None in operand else None if others else False
        else:
            is_in = value in others
        return is_in if operator == "in" or is_in is None else not is_in
    if operand is None:
        return (value is None) is (operator == "=")
    if value is None:
        return None
    if operator in ("=", "!="):
        return bool(value == operand) is (operator == "=")
    return bool(value > operand if operator == ">" else value < operand)


class Random:
    """Makes a schema, its records and questions about them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.entities = ["Alpha", "Beta", "Gamma"][: self.random.randint(1, 3)]
        self.model = Model({name: {} for name in self.entities})
        self.relations = [self._relation(f"R{n}") for n in range(self.random.randint(2, 5))]

    def _relation(self, name: str) -> iq.Relation:
        source, target = self.random.choice(self.entities), self.random.choice(self.entities)
        kind, has_link = self.random.choice(_TYPES), self.random.random() < 0.4
        has_link = has_link or kind == "n:n"
        low = name.lower()
        sides = self.model.sides
        sides[source][f"{low}t"] = Side(name, target, many=kind.endswith("n"), from_source=True, has_link=has_link)
        sides[target][f"{low}s"] = Side(name, source, many=kind.startswith("n"), from_source=False, has_link=has_link)
        return iq.Relation(
            name=name,
            source=source,
            source_property=f"{low}t",
            target=target,
            target_property=f"{low}s",
            type=kind,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            properties=[iq.Property("p", int)] if has_link else [],
        )

    def storage(self, engine: Engine) -> iq.Storage:
        properties = [iq.Property("n", int), iq.Property("t", str)]
        entities = [iq.Entity(name, properties) for name in self.entities]
        schema = iq.compile_schema(entities=entities, relations=self.relations, base=MetaData())
        schema.metadata.create_all(engine)
        return Storage(sessionmaker(engine), schema)

    def fill(self, storage: iq.Storage) -> None:
        choose = self.random
        for entity in self.entities:
            rows = self.model.records[entity] = {}
            for number in range(1, choose.randint(2, 6)):
                row = {"id": number, "n": choose.choice([None, 1, 2, 3]), "t": choose.choice([None, *_TEXTS])}
                rows[number] = row
                storage.create(entity, row)
        for relation in self.relations:
            self.model.links[relation.name] = []
            sources, targets = (list(self.model.records[str(end)]) for end in (relation.source, relation.target))
            pairs = [(s, t) for s in sources for t in targets]
            for s, t in choose.sample(pairs, choose.randint(0, len(pairs))):
                known = self.model.links[relation.name]
                if (relation.type.endswith("1") and any(s == one for one, _, _ in known)) or (
                    relation.type.startswith("1") and any(t == one for _, one, _ in known)
                ):
                    continue
                value = choose.choice([None, 1, 2]) if relation.properties else None
                storage.add_relation(relation.name, s, t, {"p": value} if relation.properties else None)
                known.append((s, t, value))

    def match(self, entity: str, depth: int = 0) -> Any:
        choose = self.random
        shape = choose.random()
        if depth < 3 and shape < 0.55:
            if shape < 0.15:
                return ~self.match(entity, depth + 1)
            left, right = self.match(entity, depth + 1), self.match(entity, depth + 1)
            return left & right if shape < 0.35 else left | right
        return self._atom(entity, depth)

    def _atom(self, entity: str, depth: int) -> Any:
        choose, path = self.random, list[str]()
        side: Side | None = None
        for _ in range(choose.choice([0, 0, 1, 1, 2])):
            if not self.model.sides[entity]:
                break
            name = choose.choice(sorted(self.model.sides[entity]))
            side = self.model.sides[entity][name]
            path.append(name)
            entity = side.far
        if side is not None and choose.random() < 0.3:
            return iq.MatchExp.atom(".".join(path), ("exist", self.match(entity, depth + 1)))
        name, values = choose.choice([("id", [1, 2, 3]), ("n", [1, 2, 3]), ("t", list(_TEXTS))])
        if side is not None and side.has_link and choose.random() < 0.3:
            path.append("&")
            name, values = "p", [1, 2]
        operator = choose.choice(["=", "!=", ">", "<", "in", "not in"])
        if operator in ("=", "!="):
            operand: Any = choose.choice([None, *values])
        elif operator in ("in", "not in"):
            operand = choose.sample([None, *values], choose.randint(0, 3))
        else:
            operand = choose.choice([1, 2, 3]) if name != "t" else "b"
            if name == "t":
                operator = "="  # how texts are ordered is the database's affair
        return iq.MatchExp.atom(".".join([*path, name]), (operator, operand))

    def query(self, entity: str, depth: int = 0) -> list[Any]:
        choose = self.random
        found: list[Any] = [name for name in ("n", "t") if choose.random() < 0.5]
        if depth == 3:
            return found
        for name in sorted(self.model.sides[entity]):
            if choose.random() < 0.5:
                side = self.model.sides[entity][name]
                options: dict[str, Any] = {"attribute_query": self.query(side.far, depth + 1), "modifier": {}}
                if side.has_link and choose.random() < 0.5:
                    options["attribute_query"].append(("&", {"attribute_query": ["p"]}))
                if choose.random() < 0.3:
                    options["match_expression"] = self.match(side.far, 2)
                if side.many and choose.random() < 0.3:
                    order = {"id": choose.choice(["ASC", "DESC"])}
                    options["modifier"] = {
                        "limit": choose.randint(0, 2),
                        "offset": choose.randint(0, 1),
                        "order_by": order,
                    }
                found.append((name, options))
        return found


def _without_link_ids(value: Any) -> Any:
    if type(value) is list:
        return [_without_link_ids(part) for part in value]
    if type(value) is not dict:
        return value
    parts: dict[str, Any] = {key: _without_link_ids(part) for key, part in value.items()}
    if "&" in parts:
        parts["&"] = {"p": parts["&"]["p"]}
    return parts


@pytest.mark.parametrize("seed", range(6))
def test_reads(engine: Engine, seed: int) -> None:
    made = Random(seed)
    storage = made.storage(engine)
    storage.run_in_transaction(made.fill)
    for _ in range(12):
        entity = made.random.choice(made.entities)
        match = made.match(entity) if made.random.random() < 0.9 else None
        query = made.query(entity)
        model = made.model
        numbers = [n for n in sorted(model.records[entity]) if match is None or model.fulfils(entity, n, match)]
        expected = [model.answer(entity, number, query) for number in numbers]
        for _ in range(2):  # built, and kept
            found = storage.find(entity, match, attribute_query=query, order_by={"id": "ASC"})
            assert _without_link_ids(list(found)) == expected, (entity, match, query)
        assert storage.count(entity, match) == len(expected)
        page = storage.find(entity, match, order_by={"n": "DESC"}, limit=2)
        rest: list[Any] = storage.find(entity, match, order_by={"n": "DESC"}, after=page.cursor) if page.cursor else []
        assert sorted(row["id"] for row in [*page, *rest]) == numbers
