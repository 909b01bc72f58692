"""mypy on samples of user code, at its strictest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
_MARK = re.compile(r"  # type: ignore\[([\w-]+)\]")
_ERROR = re.compile(r"^(\w+)\.py:(\d+): error: .*\[([\w-]+)\]$")


def test_mypy_accepts_and_refuses_what_it_should(tmp_path: Path) -> None:
    expected: set[tuple[str, int, str]] = set()
    for name in ("accepted", "rejected"):
        source = (HERE / f"{name}.py").read_text()
        for number, line in enumerate(source.splitlines(), start=1):
            expected.update((name, number, code) for code in _MARK.findall(line))
        (tmp_path / f"{name}.py").write_text(_MARK.sub("", source))
    options = ["--strict", "--no-error-summary", "--hide-error-context", "--no-pretty", "--config-file="]
    options += ["--follow-imports=silent"]  # the package itself is checked elsewhere, and with one SQLAlchemy
    options += [f"--cache-dir={ROOT / '.mypy_cache' / 'typing'}"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "accepted.py", "rejected.py"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
    )
    found: set[tuple[str, int, str]] = set()
    for line in run.stdout.splitlines():
        if match := _ERROR.match(line):
            found.add((match[1], int(match[2]), match[3]))
        else:
            assert ": note: " in line, line
    assert found == expected, run.stdout
    assert len(expected) >= 10, "the marks are read"
