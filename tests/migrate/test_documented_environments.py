"""Environments as docs/migrations-existing.md says them: templates of Alembic, several databases, tenants."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import interaqt_sa as iq
from tests.examples.pages import ROOT, python_blocks
from tests.migrate.environment import MIGRATIONS, MODULE, Environment
from tests.migrate.shop import FILL, shop
from tests.migrate.test_environment import alembic
from tests.support.urls import with_driver

PAGE = ROOT / "docs" / "migrations-existing.md"
MODELS = """
from interaqt_sa import Count, computed
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

class Base(DeclarativeBase):
    pass

class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))

class Host(Base):
    __tablename__ = "host"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship()
"""
COUNTED = MODELS + "    counted: Mapped[int] = computed(Count('items'))\n"


def block(beginning: str) -> str:
    """Return the block of the page in which a line begins so."""
    (found,) = [code for _, code in python_blocks(PAGE) if re.search(rf"^{re.escape(beginning)}", code, re.MULTILINE)]
    return found


def follow(env: str, *, multidb: bool) -> str:
    """Change an `env.py` as the page says."""
    single, several = block("# in run_migrations_offline"), block("    connection=rec[")
    head, online, offline = re.split(r"# where .*\n|# in .*\n", single)
    imports = head.splitlines()[0]
    env = env.replace(
        "from alembic import context\n", f"from alembic import context\n{imports}\nfrom models import Base\n"
    )
    if multidb:
        env = env.replace("target_metadata = {}", "target_metadata = {'one': Base.metadata, 'two': Base.metadata}")
        old = r" +context\.configure\(\n +connection=rec\[.*?engine_name=name\)\n"
        new = "".join(f"            {line}\n" for line in several.splitlines())
        return re.sub(old, lambda _: new, env, flags=re.DOTALL)
    env = env.replace("target_metadata = None", "target_metadata = Base.metadata")
    on_sqlite = online.replace(
        "target_metadata=target_metadata",
        "target_metadata=target_metadata, render_as_batch=True, transactional_ddl=True",
    )
    pattern = (
        r"( +)context\.configure\({}.*?\)\n\n +with context\.begin_transaction\(\):\n +context\.run_migrations\(\)\n"
    )
    env, count = re.subn(
        pattern.format(r"\s*connection=connection"),
        lambda found: "".join(f"{found[1]}{line}\n" for line in on_sqlite.strip().splitlines()),
        env,
        flags=re.DOTALL,
    )
    assert count == 1
    env, count = re.subn(
        r"( +)context\.configure\(\n +url=url,.*?\n +\)\n",
        lambda found: "".join(f"{found[1]}{line}\n" for line in offline.strip().splitlines()),
        env,
        flags=re.DOTALL,
    )
    assert count == 1
    return env


@pytest.mark.parametrize("template", ["generic", "async", "pyproject", "pyproject_async", "multidb"])
def test_templates_of_alembic(tmp_path: Path, template: str) -> None:
    alembic(tmp_path, "init", "-t", template, "migrations")
    driver = "sqlite+aiosqlite" if "async" in template else "sqlite"
    ini = tmp_path / "alembic.ini"
    if template == "multidb":
        settings = ini.read_text().replace("databases = engine1, engine2", "databases = one, two")
        settings = settings.replace("[engine1]", "[one]").replace("[engine2]", "[two]")
        places = iter([f"sqlite:///{tmp_path / 'one.db'}", f"sqlite:///{tmp_path / 'app.db'}"])
        ini.write_text(re.sub(r"sqlalchemy\.url = .*", lambda _: f"sqlalchemy.url = {next(places)}", settings))
    else:
        url = f"{driver}:///{tmp_path / 'app.db'}"
        ini.write_text(re.sub(r"sqlalchemy\.url = .*", lambda _: f"sqlalchemy.url = {url}", ini.read_text()))
        if "sqlalchemy.url" not in ini.read_text():
            ini.write_text(ini.read_text().replace("[alembic]", f"[alembic]\nsqlalchemy.url = {url}"))
    env = tmp_path / "migrations" / "env.py"
    env.write_text(follow(env.read_text(), multidb=template == "multidb"))
    models = tmp_path / "models.py"

    models.write_text(MODELS)
    alembic(tmp_path, "revision", "--autogenerate", "-m", "first")
    alembic(tmp_path, "upgrade", "head")
    if template != "multidb":  # it writes files of its own
        assert "CREATE TABLE host" in alembic(tmp_path, "upgrade", "base:head", "--sql")
    fill = "import sqlite3; c = sqlite3.connect('app.db'); c.execute('INSERT INTO host VALUES (1)'); "
    fill += "c.execute('INSERT INTO item VALUES (1, 1)'); c.commit()"
    subprocess.run([sys.executable, "-c", fill], cwd=tmp_path, check=True)
    models.write_text(COUNTED)
    alembic(tmp_path, "revision", "--autogenerate", "-m", "counted")
    alembic(tmp_path, "upgrade", "head")
    shown = "import sqlite3; print(sqlite3.connect('app.db').execute('SELECT counted FROM host').fetchall())"
    done = subprocess.run([sys.executable, "-c", shown], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[(1,)]"
    if template != "multidb":  # revisions of several databases have sections
        assert "No new upgrade operations" in alembic(tmp_path, "check")


class TenantEnvironment(Environment):
    """One whose `env.py` is the block of the page."""

    def settings(self) -> dict[str, str]:
        place = self.versions.parent / "migrations"
        place.mkdir(exist_ok=True)
        code = block("def migrate(connection, tenant)").replace(
            "from app.models import Base", f"from {MODULE} import models as Base"
        )
        (place / "env.py").write_text(code)
        (place / "script.py.mako").write_text((MIGRATIONS / "script.py.mako").read_text())
        return {**super().settings(), "script_location": str(place), "tenants": "t1 t2 t3"}

    def fill(self, *tenants: str) -> None:
        for tenant in tenants:
            self.run(f"SET search_path TO {tenant}", *FILL)

    def is_true(self, tenant: str, models: Any) -> bool:
        engine = self.engine.execution_options(schema_translate_map={None: tenant})
        return bool(iq.System(engine, base=models, configure_sqlite=False, unattached="allow").check())


@pytest.fixture
def tenants(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> TenantEnvironment:
    return TenantEnvironment(tmp_path / "tenants", with_driver(postgres_url, "psycopg"), monkeypatch)


def test_one_revision_for_all_tenants_can_be_resumed(tenants: TenantEnvironment) -> None:
    environment = tenants
    environment.use(shop())
    environment.revision("tenant=t1")
    environment.upgrade()
    environment.fill("t1", "t2", "t3")
    environment.run("INSERT INTO t2.customer VALUES (3, 'a@x')")  # twice
    models = shop(sums=True, counts=True, unique=True)
    environment.use(models)
    environment.revision("tenant=t1")

    with pytest.raises(iq.ConstraintSetupError, match="a@x"):
        environment.upgrade()
    assert environment.is_true("t1", models)
    with environment.connect() as connection:
        columns = connection.scalar(
            text("SELECT count(*) FROM information_schema.columns WHERE column_name = 'spent' AND table_schema = 't3'")
        )
        assert columns == 0
    environment.run("DELETE FROM t2.customer WHERE id = 3")
    environment.upgrade()

    for tenant in ("t1", "t2", "t3"):
        assert environment.is_true(tenant, models)
        assert environment.rows(f"SELECT spent FROM {tenant}.customer ORDER BY id") == [(22,), (0,)]
        assert environment.rows(f"SELECT DISTINCT phase FROM {tenant}.interaqt_backfill") == [("done",)]
    assert environment.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
