"""``alembic init -t "$(python -m interaqt_sa.migrate)" migrations``."""

from pathlib import Path

if __name__ == "__main__":
    print(Path(__file__).parent / "templates" / "interaqt_sa")  # noqa: T201
