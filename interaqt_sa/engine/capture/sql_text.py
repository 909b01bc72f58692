"""Split SQL text into statements that run at once, and say which of them may write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from sqlalchemy import Connection

from ...dialects import dialect_for

#: whether a text may write at all; asked about every text
_VERBS = re.compile(
    r"\b(?:insert|(?<!for\s)(?<!key\s)update|delete|replace(?!\s*\()|merge|truncate|copy|call)\b", re.IGNORECASE
)
# what quotes hide from each other, in one pass: names stay, the others do not
_QUOTED = re.compile(
    r"""(?P<name>"(?:[^"]|"")*"|`[^`]*`)
      | (?P<literal>\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
      | \$(?P<tag>(?:[^\W\d]\w*)?)\$(?P<body>.*?)\$(?P=tag)\$
      | /\*.*?\*/ | --[^\n]*
    """,
    re.DOTALL | re.VERBOSE,
)
_COMMENTS = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_BLOCK = re.compile(r"\s*do\b", re.IGNORECASE)
_EXPLAIN = re.compile(r"\s*explain\b\s*(?:\((?P<options>[^()]*)\))?(?P<words>(?:\s*\b(?:analy[sz]e|verbose)\b)*)", re.I)
_ANALYZE = re.compile(r"\banaly[sz]e\b(?!\s+(?:false|off|0)\b)", re.IGNORECASE)
_CALL = re.compile(r'\s*call\s+(?P<name>(?:"(?:[^"]|"")+"|[\w.$])+)\s*\(', re.IGNORECASE)
#: statements that store others, which run later, and whose parts may end in ``;``
_STORES = re.compile(
    r"\s*(?:create|alter)\b(?:\s+or\s+replace|\s+temp(?:orary)?|\s+constraint)*"
    r"\s+(?:trigger|function|procedure|rule|event)\b",
    re.IGNORECASE,
)

#: returns the texts of the procedures that a name, as it is spelled, may stand for
FindProcedures = Callable[[str], Iterable[str]]


def same_text(text: str) -> str:
    """Return SQL text without comments and superfluous spaces, to be compared."""
    return " ".join(_COMMENTS.sub(" ", text).split()).rstrip(" ;")


def may_write(text: str) -> bool:
    """Whether SQL text names a statement that writes."""
    return _VERBS.search(text) is not None


def procedures_on(connection: Connection) -> FindProcedures:
    """Return what looks up the procedures of a database."""
    return partial(dialect_for(connection.dialect).procedure_texts, connection)


def running_statements(text: str, procedures: FindProcedures | None = None) -> Iterator[str]:
    """Yield the statements that ``text`` runs, without comments and literals.

    What ``EXPLAIN`` only plans and what ``CREATE TRIGGER`` and the like only store is left out; the body of ``DO`` and of a
    procedure that is called is one statement.
    """
    for statement in _without_literals(text).split(";"):
        if _STORES.match(statement):
            return
        if _BLOCK.match(statement):
            yield _body(text)
            return
        explained = _EXPLAIN.match(statement)
        if explained is None:
            yield statement
            called = _CALL.match(statement) if procedures is not None else None
            if called is not None and procedures is not None:
                yield from map(_body, procedures(called["name"]))
        elif _ANALYZE.search(f"{explained['options'] or ''} {explained['words']}"):
            yield statement[explained.end() :]


def _without_literals(text: str) -> str:
    return _QUOTED.sub(
        lambda found: found["name"] or ("''" if found["literal"] or found["tag"] is not None else " "), text
    )


def _body(text: str) -> str:
    """Return the text of a block; its literals stay, because ``EXECUTE`` runs them."""
    return _COMMENTS.sub(" ", text)
