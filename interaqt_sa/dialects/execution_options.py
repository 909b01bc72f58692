"""Options that mark the statements of the package itself."""

from __future__ import annotations

#: Execution option by which the package knows its own statements.
ENGINE_OPTIONS = {"interaqt_sa_engine": True}
