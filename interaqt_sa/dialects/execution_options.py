"""Options that mark the statements of the package itself."""

from __future__ import annotations

#: Execution option by which the package knows its own statements.
ENGINE_OPTIONS = {"interaqt_sa_engine": True}
#: Execution option with the statement itself, to be known by if a listener replaces it.
STATEMENT_OPTION = "interaqt_sa_statement"
