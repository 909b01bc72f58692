"""Types of hidden columns that hold values of members, whose classes may be declared later than the host."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import CompileError
from sqlalchemy.types import UserDefinedType


class MemberType(UserDefinedType[Any]):
    """The type of an attribute of the members, or of their primary key.

    It stands in :meth:`.Computation.hidden_columns` for a type that is not known before the class of the members is
    mapped. The column then gets the type; a composite primary key adds one more column for each further column of it.

    :param path: the attribute or x:1 path; ``None`` for the primary key.

    ::

        {"by": Column(MemberType("created_at")), "key": Column(MemberType())}
    """

    cache_ok = True

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    def get_col_spec(self, **kw: Any) -> str:
        what = "the primary key" if self.path is None else repr(self.path)
        raise CompileError(
            f"a hidden column has the type of {what} of the members of a computed value, whose class is not mapped or "
            "has no such attribute; import all modules of models first, and verify them with System.verify()"
        )
