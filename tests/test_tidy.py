"""House rules as tests: what no linter knows and what nobody would remember."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli import COMMANDS

ROOT = Path(__file__).parent.parent

# Six are fixed by the design; the others are where the tools look for them.
TOP_LEVEL = {
    *("pyproject.toml", "proxy", "rules", "tests", "deploy", "README.md"),
    *(".ci", ".gitignore", ".importlinter", ".dockerignore", "CHANGELOG.md", "Makefile", "docs", "LICENSE"),
    *("requirements.lock", "requirements-dev.lock"),
}
LINE_LIMIT = 400
#: A file of tests is a list; it is read one test at a time.
TEST_LINE_LIMIT = 600
#: Modules that may be longer, with the reason.
LONG_MODULES = {
    "tests/random_sql.py": "a generator of statements, one production after the other",
}

# From the glossary's "never say" column, and module names that say nothing. Words that are also PostgreSQL's or
# Python's own ("schema", "version", "check", "sync", "flag", "rule") cannot be told apart by name and are left out.
FORBIDDEN_WORDS = {"frontend", "upstream", "fallback", "stage", "stages", "utils", "helpers", "manager", "misc"}

# Put together so that this file does not contain what it looks for.
MACHINE_TRACES = re.compile(
    "|".join(["/wor" + "k/", "/tmp" + r"/x\b", "/roo" + "t/", r"pypi\.or" + "g", "pythonhoste" + "d"])
)
PINNED = re.compile(r"[a-z0-9._-]+==[A-Za-z0-9.+!-]+")


def repository_files() -> list[Path]:
    """Tracked files; without git (an unpacked archive) everything that is not hidden or made by a tool."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=False, capture_output=True, text=True)
    if listing.returncode == 0:
        names = [ROOT / name for name in sorted(listing.stdout.split("\0")) if name]
    else:
        made = {"build", "__pycache__"}
        names = [
            p for p in sorted(ROOT.rglob("*")) if not any(x[0] == "." or x in made for x in p.relative_to(ROOT).parts)
        ]
    return [path for path in names if path.is_file() and not path.parent.name.endswith(".egg-info")]


def modules() -> list[Path]:
    return [path for path in repository_files() if path.suffix == ".py"]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_repository_has_files_to_look_at() -> None:
    assert len(modules()) > 10


def test_every_command_has_a_file_and_a_line_in_the_readme() -> None:
    files = {path.stem for path in (ROOT / "proxy/cli").glob("*.py") if "def command(" in path.read_text()}
    assert files == set(COMMANDS)
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if not re.search(rf"^\| `{name}\b.*\|", readme, re.MULTILINE)] == []


def test_every_recipe_has_a_page_in_docs_operations() -> None:
    recipes = {path.stem for path in (ROOT / "rules/recipes").glob("*.yaml")}
    pages = {path.stem for path in (ROOT / "docs/operations").glob("*.md")} - {"README"}
    assert recipes
    assert recipes == pages - {"observe"}, "observe.md is about statements before a migration"


def test_the_top_level_stays_small() -> None:
    assert {relative(path).split("/")[0] for path in repository_files()} - TOP_LEVEL == set()


def test_no_module_grows_too_long() -> None:
    lengths = {relative(path): path.read_text().count("\n") for path in modules()}
    limits = {name: TEST_LINE_LIMIT if name.startswith("tests/") else LINE_LIMIT for name in lengths}
    too_long = {name: lines for name, lines in lengths.items() if lines > limits[name]}
    assert {name: lines for name, lines in too_long.items() if name not in LONG_MODULES} == {}
    assert LONG_MODULES.keys() <= lengths.keys(), "gone, so no exception is needed"


def _identifiers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name


def _words(identifier: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


def test_names_keep_to_the_glossary() -> None:
    wrong = [f"{relative(path)}: module name" for path in modules() if _words(path.stem) & FORBIDDEN_WORDS]
    for path in modules():
        names = set(_identifiers(ast.parse(path.read_text())))
        wrong += [f"{relative(path)}: {name}" for name in sorted(names) if _words(name) & FORBIDDEN_WORDS]
    assert wrong == []


def test_no_file_holds_a_trace_of_the_machine_it_was_written_on() -> None:
    traces = []
    for path in repository_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        traces += [f"{relative(path)}: {hit}" for hit in MACHINE_TRACES.findall(text)]
    assert traces == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_file_is_nothing_but_pinned_versions(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#") and not PINNED.fullmatch(line)] == []


def test_both_lock_files_pin_the_same_versions() -> None:
    runtime, development = (
        set(PINNED.findall((ROOT / name).read_text())) for name in ("requirements.lock", "requirements-dev.lock")
    )
    assert runtime
    assert runtime <= development


def test_ci_runs_lint_and_test_and_nothing_else() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert "set -euo pipefail" in script
    assert re.findall(r"^make .*$", script, re.MULTILINE) == ["make lint", "make test"]


def test_every_decision_record_says_what_why_and_what_follows() -> None:
    records = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings[:4] == ["Status", "Decision", "Why", "Consequences"], path.name


def test_generated_documents_are_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    stale = [relative(path) for path, text in generate.documents().items() if path.read_text() != text]
    assert stale == [], "run `make docs`"


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in repository_files():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in target and not (path.parent / target).exists():
                broken.append(f"{relative(path)}: {target}")
    assert broken == []
