"""What the README and the pages say is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.pages import ROOT, python_blocks, run_page

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: pages whose blocks are parts of files: an env.py, a revision; tests of migrations put them together
FRAGMENTS = {"migrations.md", "migrations-existing.md"}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in FRAGMENTS], ids=lambda page: page.name)
def test_examples_run(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page, monkeypatch)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name in FRAGMENTS], ids=lambda page: page.name)
def test_fragments_compile(page: Path) -> None:
    for line, block in python_blocks(page):
        compile("\n" * (line - 1) + block, str(page), "exec")


def test_quick_starts_are_short() -> None:
    for _, block in python_blocks(ROOT / "README.md"):
        assert sum(1 for line in block.splitlines() if line.strip()) < 40


def test_the_commands_of_the_readme_exist() -> None:
    readme, noxfile = (ROOT / "README.md").read_text(), (ROOT / "noxfile.py").read_text()
    for name in ("demo", "tests"):
        assert f"python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s {name}\n" in readme
        assert f"def {name}(session: nox.Session)" in noxfile
