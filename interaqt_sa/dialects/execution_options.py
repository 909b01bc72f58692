"""Execution options that mark the statements of the package."""

from __future__ import annotations

#: Execution option of the statements of the package itself.
ENGINE_OPTIONS = {"interaqt_sa_engine": True}
#: Execution option with the statement itself, which identifies it if a listener replaces it.
STATEMENT_OPTION = "interaqt_sa_statement"
