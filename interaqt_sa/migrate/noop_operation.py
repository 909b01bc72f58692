"""An operation that does nothing."""

from __future__ import annotations

from alembic.operations import MigrateOperation


class Note(MigrateOperation):
    """Stands where there is nothing to do, such as the way back from a change of data; rendered as a comment.

    :param subject: the operation that it undoes.
    """

    def __init__(self, text: str, subject: MigrateOperation) -> None:
        self.text = text
        self.subject = subject

    def reverse(self) -> MigrateOperation:
        return self.subject

    def to_diff_tuple(self) -> tuple[str, str]:
        return ("interaqt_note", self.text)
