"""What `make docs` adds to this directory's files: reference pages that are read off the code, and what links lead to.

mkdocs calls the two functions at the end (`hooks` in deploy/mkdocs.yml). The reference pages are not kept in the
repository: nobody has to write them, and they cannot be out of date.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import posixpath
import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel

from proxy.cli import COMMANDS, main
from proxy.config import ProxyFile

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")
_DECISIONS = "reference/decisions.md"
_UNREADABLE = "…"


def pages() -> dict[str, str]:
    """Each page that is made, by its path in the site."""
    return {
        "readme.md": _LINK.sub(_from_the_top, (ROOT / "README.md").read_text()),
        "changelog.md": _LINK.sub(_from_the_top, (ROOT / "CHANGELOG.md").read_text()),
        "reference/commands.md": "\n".join(_commands()),
        "reference/settings.md": "\n".join(_settings()),
        "reference/refusals.md": "\n".join(_refusals()),
        "reference/errors.md": "\n".join(_errors()),
        _DECISIONS: "\n".join(_decisions()),
    }


def _from_the_top(link: re.Match[str]) -> str:
    """A link of a file beside docs/, as one of a file in it."""
    target = link["target"]
    inside = target.removeprefix("docs/")
    if inside == target and "://" not in target:
        inside = f"../{target}"
    return f"[{link['text']}]({_DECISIONS if target == 'docs/adr' else inside}{link['anchor'] or ''})"


# Commands


def _commands() -> Iterator[str]:
    yield "# Commands\n\nWhat `--help` says of each. Exit codes: 0 done, 1 refused or a gate is not met, 2 usage."
    parent = click.Context(main, info_name="pgjanus")
    for name in COMMANDS:
        command = main.get_command(parent, name)
        assert command is not None
        context = click.Context(command, parent=parent, info_name=name)
        usage = command.collect_usage_pieces(context)
        yield f"\n## {name}\n\n```text\npgjanus {' '.join([name, *usage])}\n```\n"
        yield f"{inspect.cleandoc(command.help or '')}\n"
        yield "| option | |\n|---|---|"
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
            if record is not None:
                yield f"| `{_cell(record[0])}` | {_cell(record[1])} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# Settings


def _settings() -> Iterator[str]:
    yield "# Settings\n\nThe file of `pgjanus serve --config`. SIGHUP reads it [again](../running.md#reload)."
    yield from _fields(ProxyFile, "")


def _fields(model: type[BaseModel], path: str) -> Iterator[str]:
    yield f"\n## {path or 'The file'}\n\n{inspect.cleandoc(model.__doc__ or '')}\n"
    yield "| setting | default | |\n|---|---|---|"
    notes = field_notes(model)
    below: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        full = f"{path}.{name}" if path else name
        inner = _model_in(field.annotation)
        if inner is not None:
            below.append((full, inner))
        if inner is not None:
            default = "see below"
        elif field.is_required():
            default = "must be given"
        else:
            default = _as_written(field.get_default(call_default_factory=True))
        yield f"| `{full}` | {default} | {_cell(notes.get(name, ''))} |"
    for full, inner in below:
        yield from _fields(inner, full)


def _as_written(value: object) -> str:
    """A default as the file would have it."""
    if value is None:
        return "none"
    return f"`{json.dumps(value.value if isinstance(value, Enum) else value)}`"


def _model_in(annotation: object) -> type[BaseModel] | None:
    """`Limits` of `Limits`, and `ClientMatch` of `tuple[ClientMatch, ...]`."""
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def field_notes(model: type[BaseModel]) -> dict[str, str]:
    """The `#:` comment above each field of a model of proxy/config.py."""
    notes: dict[str, str] = {}
    pending: list[str] = []
    for line in inspect.getsource(model).splitlines():
        text = line.strip()
        if text.startswith("#:"):
            pending.append(text[2:].strip())
            continue
        name = re.match(r"(\w+): ", text)
        if name and pending:
            notes[name[1]] = " ".join(pending)
        pending = []
    return notes


# Refusals and errors


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for package in ("rules", "proxy"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."), ast.parse(path.read_text())


def refusals() -> dict[str, list[tuple[str, str]]]:
    """Message and hint of each refusal that is written down in the code, by module; `…` is a name or a value."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, tree in _modules():
        constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id="Refusal"), args=[message, *rest]):
                    hint = next((k.value for k in node.keywords if k.arg == "hint"), rest[0] if rest else None)
                    said = _text(message, constants)
                    if said.strip(_UNREADABLE + " "):
                        found.setdefault(name, []).append((said, _text(hint, constants) if hint else ""))
    return found


def _text(node: ast.expr, constants: dict[str, ast.expr]) -> str:
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(_text(value, constants) for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left, constants) + _text(right, constants)
        case ast.Name(id=name) if name in constants:
            return _text(constants[name], constants)
    return _UNREADABLE


def _refusals() -> Iterator[str]:
    yield (
        "# Refusals\n\nEvery message with which a statement is refused, and what to write instead. … stands for a name"
        " or a value. The SQLSTATE is 0A000 unless PostgreSQL itself has a better one for the same mistake.\n"
    )
    for module, messages in refusals().items():
        about = inspect.cleandoc(importlib.import_module(module).__doc__ or module).splitlines()[0]
        yield f"## {module}\n\n{about}\n\n| message | hint |\n|---|---|"
        yield from (f"| {_escaped(message)} | {_escaped(hint)} |" for message, hint in messages)
        yield ""


def _escaped(text: str) -> str:
    return re.sub(r"([*_<>`\[\]])", r"\\\1", _cell(text))


@cache
def errors() -> dict[str, tuple[str, str]]:
    """Each error that is raised on purpose: its module and what its docstring says."""
    classes: dict[str, tuple[list[str], str, str]] = {}
    for module, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                classes[node.name] = (bases, module, (ast.get_docstring(node) or "").split("\n\n")[0])
    ours = {"PgjanusError"}
    while more := {n for n, (bases, _, _) in classes.items() if n not in ours and ours & set(bases)}:
        ours |= more
    return {name: classes[name][1:] for name in sorted(ours - {"PgjanusError"})}


def _errors() -> Iterator[str]:
    yield (
        "# Errors by class\n\nEvery error that pgjanus raises on purpose. Its text says what to do about it; what"
        " clients and operators meet is explained in [Errors](../errors.md).\n\n"
        "| error | raised in | says |\n|---|---|---|"
    )
    yield from (f"| `{name}` | `{module}` | {_escaped(text)} |" for name, (module, text) in errors().items())


def _decisions() -> Iterator[str]:
    yield "# Decisions\n\nWhat was decided, why, and what follows from it.\n"
    for path in sorted((ROOT / "docs/adr").glob("[0-9]*.md")):
        yield f"- [{path.read_text().splitlines()[0].removeprefix('# ')}](../adr/{path.name})"


# What mkdocs calls


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and every file elsewhere in the repository that a page links to."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    for outside in sorted({target for page in list(files.documentation_pages()) for target in _outside(page)}):
        files.append(File.generated(config, f"source/{outside}.txt", abs_src_path=str(ROOT / outside)))
    return files


def _outside(page: object) -> Iterator[str]:
    uri, text = page.src_uri, page.content_string  # type: ignore[attr-defined]
    for link in _LINK.finditer(text):
        resolved = _resolve(uri, link["target"])
        if resolved is not None and (ROOT / resolved).is_file():
            yield resolved


def _resolve(uri: str, target: str) -> str | None:
    """The path in the repository of what a page links to, if that is not in docs/."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(uri), target))
    return None if "://" in target or path.startswith(("docs/", "..")) or path == "docs" else path


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files outside of docs/ lead to their copies in the site; a directory is named, not linked."""

    def replaced(link: re.Match[str]) -> str:
        resolved = _resolve(page.file.src_uri, link["target"])
        if resolved is None:
            return link[0]
        if not (ROOT / resolved).is_file():
            return link["text"]
        here = posixpath.dirname(page.file.src_uri) or "."
        return f"[{link['text']}]({posixpath.relpath(f'source/{resolved}.txt', here)})"

    return _LINK.sub(replaced, markdown)
