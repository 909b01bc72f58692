"""Everything that definitions can declare, in three stages; see :mod:`tests.migrate.declarable`."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import MetaData

import interaqt_sa as iq
from tests.migrate.declarable import DECLARED, OTHERWISE, WITHOUT, Declarable

_TICKETS = (
    "INSERT INTO ticket (title, status, n, price) VALUES ('a', 'open', 1, 1.5), ('b', 'done', 2, 2.5)",
    "INSERT INTO ticket (title, status, n, price) VALUES ('it''s 100 %% :c', 'open', NULL, NULL)",
)
_MORE = ("INSERT INTO ticket (title, status, n, price) VALUES ('d', 'new', 4, 0.25)",)
_COMPLETE = ("INSERT INTO ticket (title, status, n, price, priority) VALUES ('e', 'open', 5, 2.5, 1)",)
_PAIRS = ("INSERT INTO alpha (name) VALUES ('a'), ('b')", "INSERT INTO beta (name) VALUES ('x'), ('y')")


def _ticket(*properties: iq.Property, constraints: Any = (), **kw: Any) -> Any:
    fields = [
        iq.Property("title", str),
        iq.Property("status", str),
        iq.Property("n", int),
        iq.Property("price", Decimal),
    ]
    return iq.Entity("Ticket", [*fields, *properties], constraints=list(constraints), **kw)


def _schema(*entities: Any, **kw: Any) -> Any:
    return iq.compile_schema(MetaData(), entities=list(entities), **kw)


def properties(stage: int) -> Any:
    added = {
        WITHOUT: [],
        DECLARED: [
            iq.Property("priority", int, default=3, nullable=False),
            iq.Property("note", str, default="it's :x 100%"),
            iq.Property("tags", str, collection=True, default=[]),
        ],
    }
    added[OTHERWISE] = [added[DECLARED][0], added[DECLARED][2], iq.Property("level", int, default=1)]
    return _schema(_ticket(*added[stage]))


def called_default(stage: int) -> Any:
    return _schema(_ticket(*([iq.Property("code", str, default=_code)] if stage else [])))


def _code() -> str:
    return "code"


def uniques(stage: int) -> Any:
    status = "open" if stage == DECLARED else "done"
    found = [
        iq.UniqueConstraint("u_title", ["title"], violation_code="TITLE"),
        iq.UniqueConstraint("u_n", ["n"], where={"status": status}),
        iq.UniqueConstraint("u_some", ["title"], where={"status": ("like", "a%b:c"), "n": (">", 0)}),
        iq.NonNullConstraint("needs_title", "title" if stage == DECLARED else "status"),
    ]
    return _schema(_ticket(constraints=found if stage else ()))


def dictionaries(stage: int) -> Any:
    where: Any = {"status": "open"} if stage == OTHERWISE else None
    done: Any = {"status": "done"}
    found = [
        iq.Dictionary("plain", str),
        iq.Dictionary("given", int, default=7),
        iq.Dictionary("listed", str, collection=True, default=[]),
        iq.Dictionary("counted", int, computation=iq.Count("Ticket", where=where)),
        iq.Dictionary("summed", int, computation=iq.Summation("Ticket", "n", where=where)),
        iq.Dictionary("worth", Decimal, computation=iq.Summation("Ticket", "price", where=where)),
        iq.Dictionary("mean", float, computation=iq.Average("Ticket", "n", where=where)),
        iq.Dictionary("least", int, computation=iq.Min("Ticket", "n", where=where)),
        iq.Dictionary("most", int, computation=iq.Max("Ticket", "n", where=where)),
        iq.Dictionary("first", str, computation=iq.First("Ticket", "title", by="n", where=where)),
        iq.Dictionary("latest", int, computation=iq.Latest("Ticket", "n", by="price", where=where)),
        iq.Dictionary("every", bool, computation=iq.Every("Ticket", expression=done, not_empty=stage == OTHERWISE)),
        iq.Dictionary("any", bool, computation=iq.Any("Ticket", expression=done)),
    ]
    return _schema(_ticket(), dictionaries=found if stage else [])


def _of_ticket(ticket: Any) -> dict[str, Any]:
    return {"text": f"{ticket.title} {ticket.n}"}


def _many_of_ticket(ticket: Any) -> list[dict[str, Any]]:
    return [{"text": f"{ticket.title} {i}"} for i in range(ticket.n or 0)]


def derived(stage: int) -> Any:
    ticket = _ticket()
    note = iq.Entity(
        "Note",
        [iq.Property("text", str)],
        computation=iq.Transform(ticket, _of_ticket if stage == 1 else _many_of_ticket),
    )
    return _schema(ticket, *([note] if stage else []))


def _logged(event: Any) -> dict[str, Any]:
    return {"text": event.type}


def _paid(_: Any, event: Any) -> Any:
    return event.record["payload"]["ticket"]


def events(stage: int) -> Any:
    trigger = iq.Trigger("Ticket", "update", keys=["status" if stage == DECLARED else "title"])
    log = iq.Entity(
        "Log",
        [iq.Property("text", str)],
        computation=iq.Transform(event_deps={"changed": trigger}, callback=_logged),
    )
    return _schema(_ticket(), *([log] if stage else []))


def machine(stage: int) -> Any:
    pay = iq.Interaction(
        "Pay", payload=iq.Payload([iq.PayloadItem("ticket", base="Ticket", is_ref=True, required=True)])
    )
    nodes = [iq.StateNode("pending"), iq.StateNode("paid")]
    state = iq.StateMachine(
        states=nodes,
        initial_state=nodes[0],
        transfers=[
            iq.StateTransfer(
                current=nodes[0],
                next=nodes[1],
                trigger=iq.Trigger(pay),
                compute_target=_paid,
            )
        ],
    )
    return _schema(_ticket(*([iq.Property("payment", str, computation=state)] if stage else [])), event_sources=[pay])


def relation(type_: str, **kw: Any) -> Callable[[int], Any]:
    """Return two records that are related from the first stage on, and a relation more in the second."""

    def models(stage: int) -> Any:
        alpha = iq.Entity("Alpha", [iq.Property("name", str)])
        beta = iq.Entity("Beta", [iq.Property("name", str)])
        options: Any = {**kw}
        if stage == OTHERWISE:
            options["properties"] = [*options.get("properties", ()), iq.Property("added", int, default=2)]
        related = [
            iq.Relation(
                source=alpha, source_property="betas", target=beta, target_property="alphas", type=type_, **options
            )
        ]
        return iq.compile_schema(MetaData(), entities=[alpha, beta], relations=related if stage else [])

    return models


def itself(stage: int) -> Any:
    alpha = iq.Entity("Alpha", [iq.Property("name", str)])
    beta = iq.Entity("Beta", [iq.Property("name", str)])
    related = [
        iq.Relation(source=alpha, source_property="children", target=alpha, target_property="parent", type="1:n"),
        iq.Relation(source=alpha, source_property="follows", target=alpha, target_property="followers", type="n:n"),
        iq.Relation(source=alpha, source_property="main", target=beta, target_property="mainOf", type="1:1"),
        iq.Relation(source=alpha, source_property="betas", target=beta, target_property="alpha", type="1:n"),
    ]
    return iq.compile_schema(MetaData(), entities=[alpha, beta], relations=related if stage else [])


def computed(stage: int) -> Any:
    """Return values of definitions over a relation that is there."""
    where: Any = {"name": "x"} if stage == OTHERWISE else None
    values = [
        iq.Property("betaCount", int, computation=iq.Count("betas", where=where)),
        iq.Property("label", str, computed=_label if stage == DECLARED else _other_label),
    ]
    alpha = iq.Entity("Alpha", [iq.Property("name", str), *(values if stage else [])])
    beta = iq.Entity("Beta", [iq.Property("name", str)])
    related = [
        iq.Relation(source=alpha, source_property="betas", target=beta, target_property="alphas", type="n:n", name="AB")
    ]
    return iq.compile_schema(MetaData(), entities=[alpha, beta], relations=related)


def _label(alpha: Any) -> str:
    return f"{alpha.name}"


def _other_label(alpha: Any) -> str:
    return f"{alpha.name}, {alpha.betaCount}"


_SINCE = [iq.Property("since", str), iq.Property("weight", int, default=1, nullable=False)]

DEFINITIONS: dict[str, Declarable] = {
    "properties": Declarable(properties, _TICKETS, _MORE, declared_rows=_COMPLETE, has_sql=False),
    "called default": Declarable(called_default, _TICKETS, _MORE, stages=(0, 1), has_sql=False),
    "constraints": Declarable(uniques, _TICKETS, _MORE),
    "dictionaries": Declarable(dictionaries, _TICKETS, _MORE),
    "derived entity": Declarable(derived, _TICKETS, _MORE, has_sql=False),
    "derived from events": Declarable(events, _TICKETS, _MORE, has_sqlite=True),
    "state machine of events": Declarable(machine, _TICKETS, _MORE, stages=(0, 1)),
    "relation to itself": Declarable(itself, _PAIRS, (), stages=(0, 1)),
    "values of definitions": Declarable(
        computed,
        (*_PAIRS, "INSERT INTO ab (source_id, target_id) VALUES (1, 1), (1, 2)"),
        ("INSERT INTO ab (source_id, target_id) VALUES (2, 2)",),
        has_sql=False,
    ),
    **{
        f"relation {type_}{' with properties' if given else ''}": Declarable(
            relation(type_, **({"properties": _SINCE} if given else {})),
            _PAIRS,
            (),
            stages=(0, 1, 2) if given else (0, 1),
            has_sqlite=True,  # there is nothing to fill
        )
        for type_ in ("1:1", "1:n", "n:1", "n:n")
        for given in (False, True)
    },
}
