"""Configuration of Sphinx. The build reads nothing but this repository."""

from __future__ import annotations

import importlib.metadata
import logging

project = "interaqt_sa"
author = "The interaqt_sa authors"
copyright = "2026, The interaqt_sa authors"
release = importlib.metadata.version("interaqt-sa")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "examples"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# pictures of Mermaid are text here
suppress_warnings = ["misc.highlighting_failure"]

autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "interaqt_sa"
html_show_sphinx = False

# Alembic says which plugins it sets up when autodoc imports it; nobody asked.
logging.getLogger("alembic").setLevel(logging.WARNING)
