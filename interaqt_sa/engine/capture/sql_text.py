"""Split SQL text into the statements that run at once, and detect those that may write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from sqlalchemy import Connection

from ...dialects import dialect_for

#: matches text that may write; tried on every text
_VERBS = re.compile(
    r"\b(?:insert|(?<!for\s)(?<!key\s)update|delete|replace(?!\s*\()|merge|truncate|copy|call)\b", re.IGNORECASE
)
# quoted parts and comments, matched in one pass because each may contain the others; names are kept
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
_EXPLAIN = re.compile(
    r"\s*explain\b\s*(?:\((?P<options>[^()]*)\))?(?P<words>(?:\s*\b(?:analy[sz]e|verbose)\b)*)", re.IGNORECASE
)
_ANALYZE = re.compile(r"\banaly[sz]e\b(?!\s+(?:false|off|0)\b)", re.IGNORECASE)
_CALL = re.compile(r'\s*call\s+(?P<name>(?:"(?:[^"]|"")+"|[\w.$])+)\s*\(', re.IGNORECASE)
#: statements that store other statements, which run later and may contain ``;``
_STORES = re.compile(
    r"\s*(?:create|alter)\b(?:\s+or\s+replace|\s+temp(?:orary)?|\s+constraint)*"
    r"\s+(?:trigger|function|procedure|rule|event)\b",
    re.IGNORECASE,
)

#: returns the texts of the procedures that a name, as spelled in the statement, may refer to
FindProcedures = Callable[[str], Iterable[str]]


def same_text(text: str) -> str:
    """Return SQL text without comments and superfluous spaces, for comparison."""
    return " ".join(_COMMENTS.sub(" ", text).split()).rstrip(" ;")


def may_write(text: str) -> bool:
    """Whether SQL text contains a statement that writes."""
    return _VERBS.search(text) is not None


def procedures_on(connection: Connection) -> FindProcedures:
    """Return a function that looks up the procedures of a database."""
    return partial(dialect_for(connection.dialect).procedure_texts, connection)


def running_statements(text: str, procedures: FindProcedures | None = None) -> Iterator[str]:
    """Yield the statements that ``text`` runs, without comments and literals.

    Statements that ``EXPLAIN`` only plans, or that ``CREATE TRIGGER`` and similar statements only store, are omitted;
    the body of ``DO`` and of a called procedure counts as one statement.
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
    """Return the text of a block; its literals are kept, because ``EXECUTE`` runs them."""
    return _COMMENTS.sub(" ", text)
