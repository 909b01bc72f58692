"""The comparisons that types of PostgreSQL lack."""

from __future__ import annotations

from sqlalchemy import Dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.types import TypeEngine

_EQUALITY = frozenset({"=", "!=", "in", "not in"})
#: what each type has, of equality, comparison (``<``, ``>``) and order; all others have all of them
_KNOWN: dict[str, tuple[bool, bool, bool]] = {
    **dict.fromkeys(("json", "jsonpath", "point", "polygon", "refcursor", "xml"), (False, False, False)),
    **dict.fromkeys(("cid", "line", "xid"), (True, False, False)),
    **dict.fromkeys(("box", "circle", "lseg", "path"), (True, True, False)),
}
_ADVICE = {"json": "declare the column as JSONB, which has it"}


def comparison_fault(type_: TypeEngine[object], operator: str, dialect: Dialect) -> str | None:
    """Return why PostgreSQL does not compare values of ``type_``; ``None`` if it does.

    :param operator: an operator of a match, or ``"order"``.
    """
    try:
        spelled = type_.compile(dialect=dialect).lower()
    except CompileError:  # the type of an expression that SQLAlchemy does not know
        return None
    name = spelled.partition("(")[0].rstrip("[] ")
    if name not in _KNOWN:
        return None
    equality, comparison, order = _KNOWN[name]
    if operator == "contains":  # compares the items of an array
        wanted = equality or not spelled.endswith("[]")
    elif spelled.endswith("[]"):  # compared item by item, by the operators that sort
        wanted = order
    else:
        wanted = equality if operator in _EQUALITY else order if operator == "order" else comparison
    if wanted:
        return None
    what = "cannot sort by it" if operator == "order" else f"has no operator {operator!r} for it"
    return f"PostgreSQL {what}; {_ADVICE.get(name, 'write SQL: lambda cls: …, with a cast or a function of the type')}"
