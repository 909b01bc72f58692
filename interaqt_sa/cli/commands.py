"""The group of all commands."""

from __future__ import annotations

import click

from .check import check, repair
from .graph import graph
from .prune import prune
from .recompute_due import recompute_due


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="interaqt-sa")
def main() -> None:
    """Look after the derived data of an application."""


for command in (check, repair, graph, prune, recompute_due):
    main.add_command(command)
