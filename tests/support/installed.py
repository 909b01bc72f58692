"""Refuse to go on unless `interaqt_sa` is the installed one: `python -m tests.support.installed TREE`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def main() -> None:
    """Look where the package would come from, and what came with it."""
    spec = importlib.util.find_spec("interaqt_sa")
    if spec is None or spec.origin is None:
        sys.exit("interaqt_sa is not installed")
    package = Path(spec.origin).parent
    tree = Path(sys.argv[1]) / "interaqt_sa"
    if package == tree:
        sys.exit(f"the tests would see the working tree, {tree}, and not the wheel")
    wanted = {
        path.relative_to(tree)
        for path in tree.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".DS_Store"
    }
    missing = sorted(str(path) for path in wanted if not (package / path).exists())
    if missing:
        sys.exit("the wheel lacks " + ", ".join(missing))
    print(f"{package}: {len(wanted)} files")  # noqa: T201


if __name__ == "__main__":
    main()
