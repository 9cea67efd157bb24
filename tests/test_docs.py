"""The documents: the site builds without a warning, names everything that there is, and nothing that there is not."""

from __future__ import annotations

import html
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml

from proxy.cli import COMMANDS, main
from proxy.config import ProxyFile
from rules.loader import load_text
from rules.operations import OPERATIONS
from rules.phases import LADDERS
from tests.test_tidy import ROOT

DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FENCE_OF_SHELL = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_ANY_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^\s*pgjanus ([a-z]+)\b(.*)", re.MULTILINE)


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_pages", DOCS / "site_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written() -> Iterator[tuple[str, str]]:
    """README and everything in docs/ but the decisions, which are of their time."""
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        if path.parent.name != "adr":
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def options(name: str) -> set[str]:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-f",
        "deploy/mkdocs.yml",
        "-d",
        str(tmp_path / "site"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/operations/split_column.html").read_text()
    source = re.search(r'href="([^"]*split_column\.sql\.txt)"', page)
    assert source is not None
    assert "CREATE TABLE" in (tmp_path / "site/operations" / source[1]).read_text()
    fetched = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', html.unescape(page))
    assert fetched == [], "a site on an inner network has to work as well"


@pytest.fixture(scope="module")
def pages(made: ModuleType) -> dict[str, str]:
    found: dict[str, str] = made.pages()
    return found


def test_every_command_option_setting_and_error_is_in_the_reference(made: ModuleType, pages: dict[str, str]) -> None:
    for name in COMMANDS:
        section = pages["reference/commands.md"].partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert [option for option in options(name) if option.startswith("--") and option not in section] == [], name
    for path, model in {
        "": ProxyFile,
        **{n: made._model_in(f.annotation) for n, f in ProxyFile.model_fields.items()},
    }.items():
        for name in model.model_fields if model else ():
            assert f"`{path}{'.' if path else ''}{name}`" in pages["reference/settings.md"]
    found = made.errors()
    assert {"Refusal", "DefinitionError", "NotAcknowledged", "StillDependedOn"} <= found.keys()
    assert [
        name for name, (_, text) in found.items() if not text or f"`{name}`" not in pages["reference/errors.md"]
    ] == []


def test_every_refusal_that_is_written_down_is_in_the_reference(made: ModuleType, pages: dict[str, str]) -> None:
    calls = sum(path.read_text().count("raise Refusal(") for path in (ROOT / "rules").rglob("*.py"))
    listed = [message for messages in made.refusals().values() for message, _ in messages]
    assert calls > 50
    assert len(listed) >= calls - 6, "but for those that repeat another one's message"
    page = pages["reference/refusals.md"]
    assert all(made._escaped(message) in page for message in listed)


def test_every_operation_strategy_phase_and_alert_has_its_words() -> None:
    texts = dict(written())
    assert [kind for kind in OPERATIONS if f"docs/operations/{kind}.md" not in texts] == []
    for strategy, ladder in LADDERS.items():
        assert f"`{strategy.value}`" in texts["docs/strategies.md"]
        assert f"ladders/{strategy.value}.svg" in texts["docs/how_it_works.md"]
        assert [
            phase.name for phase in ladder if f"`{phase.name}`" not in texts["docs/phases.md"] + texts["README.md"]
        ] == []
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"]]
    assert alerts == re.findall(r"^### (Pgjanus\w+)$", texts["docs/runbook.md"], re.MULTILINE)


@pytest.mark.parametrize("name", ["prometheus/alerts.yaml", "grafana/dashboards/pgjanus.json"])
def test_alerts_and_dashboard_ask_for_metrics_that_there_are(name: str) -> None:
    there_are = set(re.findall(r"^\| `(pgjanus_\w+)`", (DOCS / "metrics.md").read_text(), re.MULTILINE))
    asked = set(re.findall(r"\bpgjanus_\w+", (ROOT / "deploy" / name).read_text()))
    assert asked
    assert asked - there_are == set()


def test_every_command_in_the_documents_exists_with_its_options() -> None:
    wrong, seen = [], 0
    for path, text in written():
        spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _ANY_FENCE.sub("", text))]
        code = "\n".join([*_FENCE_OF_SHELL.findall(text), *(span for span in spans if span.startswith("pgjanus "))])
        for name, rest in _COMMAND.findall(code):
            if name not in COMMANDS:
                wrong.append(f"{path}: pgjanus {name}")
                continue
            seen += 1
            known = options(name) | {"--help"}
            words = [word.partition("=")[0] for word in re.findall(r"--[a-z][\w-]*(?==|\b)", rest.partition('"')[0])]
            wrong += [f"{path}: pgjanus {name} {word}" for word in words if word not in known]
    assert wrong == []
    assert seen > 50


def test_every_yaml_in_the_documents_is_valid() -> None:
    kinds = {"migration": 0, "settings": 0}
    for path, text in written():
        for language, block in _FENCE.findall(text):
            if language != "yaml":
                continue
            content = yaml.safe_load(block)
            if "operations" in content:
                load_text(block, path)
                kinds["migration"] += 1
            elif content.keys() <= ProxyFile.model_fields.keys():
                ProxyFile.model_validate(content)
                kinds["settings"] += 1
    assert kinds["migration"] >= len(OPERATIONS) + 8
    assert kinds["settings"] >= 1


def test_shell_blocks_are_shell() -> None:
    for path, text in written():
        for language, block in _FENCE.findall(text):
            if language == "sh":
                done = subprocess.run(
                    ["bash", "-n"], input=block, text=True, capture_output=True, timeout=10, check=False
                )
                assert done.returncode == 0, f"{path}:\n{block}\n{done.stderr}"
                assert shlex.split(block, comments=True)
