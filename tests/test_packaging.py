"""What is handed out: the source archive, the wheel that is made of it, and the list of what an installation needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.test_tidy import ROOT, repository_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Source archive and wheel. Like a release: the wheel is built from the archive, and nobody asks the network."""
    source = tmp_path_factory.mktemp("source")
    for path in repository_files():
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    made = tmp_path_factory.mktemp("made")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(made), cwd=source, PYTHONWARNINGS="ignore")
    (archive,), (wheel,) = made.glob("*.tar.gz"), made.glob("*.whl")
    return archive, wheel


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(content.read(name).decode())


def packaged(names: list[str]) -> set[str]:
    return {name for name in names if name.startswith(("proxy/", "rules/")) and not name.endswith("/")}


def test_the_wheel_holds_both_packages_whole_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as content:
        names = content.namelist()
    tracked = {path.relative_to(ROOT).as_posix() for path in repository_files()}
    assert packaged(names) == packaged(sorted(tracked))
    assert {"proxy/py.typed", "rules/py.typed", "rules/recipes/split_column.yaml"} <= set(names)
    assert {name.split("/")[0] for name in names} == {"proxy", "rules", f"pgjanus-{PROJECT['version']}.dist-info"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_archive_holds_what_a_build_needs(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "proxy/cli/serve.py", "rules/recipes/split_column.sql"} <= names


def test_the_wheel_says_what_it_is(built: tuple[Path, Path]) -> None:
    said = metadata(built[1])
    assert said["Name"] == "pgjanus"
    assert said["License-Expression"] == PROJECT["license"]
    assert set(said.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    needed = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(needed) == len(PROJECT["dependencies"])
    assert not [line for line in needed if line.startswith(("pytest", "psycopg", "pixeltable"))]


def test_an_installed_wheel_has_the_command(built: tuple[Path, Path], tmp_path: Path) -> None:
    """From a directory of its own, far from this checkout, and its version comes from its metadata alone."""
    to = tmp_path / "installed"
    install = ("install", "--quiet", "--no-deps", "--no-index", "--target", str(to), str(built[1]))
    run(sys.executable, "-m", "pip", *install, cwd=tmp_path)
    command = str(to / "bin/pgjanus")
    assert run(command, "--version", cwd=tmp_path, PYTHONPATH=str(to)) == f"pgjanus {PROJECT['version']}\n"
    listed = run(command, "--help", cwd=tmp_path, PYTHONPATH=str(to))
    assert "serve" in listed and "demo" in listed
    where = "import proxy, rules; print(proxy.__file__, rules.__file__)"
    assert run(sys.executable, "-c", where, cwd=tmp_path, PYTHONPATH=str(to)).count(str(to)) == 2
    schema = json.loads(run(command, "schema", cwd=tmp_path, PYTHONPATH=str(to)))
    assert schema["title"] == "MigrationSpec"


def test_the_version_is_written_in_one_place() -> None:
    needle = f'"{PROJECT["version"]}"'
    holders = [p.name for p in repository_files() if p.suffix in (".py", ".toml") and needle in p.read_text()]
    assert holders == ["pyproject.toml"]


def test_the_bill_of_materials_lists_every_pinned_package(tmp_path: Path) -> None:
    """The command of `make sbom`, on the lock file of production."""
    (command,) = (line for line in (ROOT / "Makefile").read_text().splitlines() if "cyclonedx-py" in line)
    bill = tmp_path / "bill.json"
    words = command.replace("$(BIN)", str(Path(sys.executable).parent)).split()
    words[words.index("-o") + 1] = str(bill)
    run(*words, cwd=ROOT)
    made = json.loads(bill.read_text())
    assert made["metadata"]["component"]["name"] == "pgjanus"
    pins = {line.replace("==", " ") for line in (ROOT / "requirements.lock").read_text().split() if "==" in line}
    assert {f"{c['name']} {c['version']}" for c in made["components"]} == pins
