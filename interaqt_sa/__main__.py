"""``python -m interaqt_sa``: the command ``interaqt-sa``, which needs the extra ``cli``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command."""
    try:
        from .cli.commands import main as command
    except ModuleNotFoundError as error:
        sys.exit(f"The command needs {error.name}: pip install 'interaqt-sa[cli]'")
    command(prog_name="interaqt-sa")


if __name__ == "__main__":
    main()
