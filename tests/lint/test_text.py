"""What can be said of the sources without running them."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "tests", "tools", "boards", ".ci")
WIDTH = 110


def files(*suffixes):
    found = [ROOT / "CMakeLists.txt"]
    for folder in FOLDERS:
        found += [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return sorted(p for p in found if not suffixes or p.suffix in suffixes)


def first_line(path):
    with open(path, "rb") as f:
        return f.readline(200)


SCRIPTS = [p for p in files() if first_line(p).startswith(b"#!/bin/sh") or p.suffix == ".sh"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_shell_script_is_sound(path):
    run = subprocess.run(["shellcheck", "-x", str(path)], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_top_level_has_nothing_else():
    allowed = {"CMakeLists.txt", "LICENSE", "README.md", "boards", "firmware", "src", "tests", "tools"}
    mine = {"build", "data"}  # made by the tools, not kept
    assert {p.name for p in ROOT.iterdir() if not p.name.startswith(".")} <= allowed | mine


def test_lines_are_short_and_clean():
    found = []
    for path in files(".c", ".h", ".py", ".sh", ".cmake"):
        for number, line in enumerate(path.read_text().split("\n"), 1):
            where = f"{path.relative_to(ROOT)}:{number}"
            if len(line) > WIDTH:
                found.append(f"{where}: {len(line)} columns")
            if line != line.rstrip():
                found.append(f"{where}: blanks at the end")
            if "\t" in line:
                found.append(f"{where}: a tab")
    assert found == []
