"""Reads migration files: YAML in, `MigrationSpec` out, every mistake with its file, line and column.

load_file ─► load_text ─► refuse what no migration needs (several documents, anchors, depth)
                      ─► yaml.compose ─► plain values + the place of every path
                      ─► MigrationSpec ─► problems by path ─► errors by place
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rules.errors import Place
from rules.explanations import problems_in
from rules.operations.base import KEY, DefinitionError, Path, Problem
from rules.spec import MigrationSpec

MAX_FILE_CHARS = 256 * 1024
MAX_DEPTH = 20

_TAG = "tag:yaml.org,2002:"
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
#: What YAML 1.1 takes a plain word for, by tag.
_NOT_TEXT = {
    "null": "nothing (null)",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "merge": "a merge key",
}


def load_file(path: str | FilePath) -> MigrationSpec:
    """Read a migration file.

    Raises:
        DefinitionError: it cannot be read or is wrong; `str()` has one line per mistake.
    """
    file = str(path)
    try:
        data = FilePath(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DefinitionError([Problem((), f"{file}: cannot be read: {reason}")]) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_at(data[: error.start].decode("utf-8-sig", errors="replace"), file)
        raise _wrong("this is not UTF-8: save the file as UTF-8", place) from error
    return load_text(text, file)


def load_text(text: str, file: str) -> MigrationSpec:
    """Read a migration from text; `file` is what errors call it, and its stem the name that it has by default.

    Raises:
        DefinitionError: it is wrong; `str()` has one line per mistake.
    """
    text = text.removeprefix("\ufeff")
    document = _Document(file)
    value = document.read(_compose(text, file))
    if not isinstance(value, dict):
        document.problems.append(Problem((), _NOT_A_MIGRATION))
    if document.problems:
        raise DefinitionError(document.problems, document.places)
    assert isinstance(value, dict)
    stem = FilePath(file).stem
    try:
        spec = MigrationSpec.model_validate({"migration": stem, **value})
    except ValidationError as error:
        problems = [document.told_as_written(problem) for problem in problems_in(error, MigrationSpec)]
        raise DefinitionError(problems, document.places) from error
    return spec.placed(document.places)


_NOT_A_MIGRATION = (
    "a migration file is a mapping with the keys table and operations, such as `table: public.users`; "
    "the shipped recipes are examples"
)


def _compose(text: str, file: str) -> Node:
    if len(text) > MAX_FILE_CHARS:
        raise _wrong(f"the file has {len(text)} characters, the limit is {MAX_FILE_CHARS}", Place(file, 1, 1))
    try:
        _refuse_what_no_migration_needs(text, file)
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _wrong(_syntax(error), _place(error.problem_mark or error.context_mark, file)) from error
    except yaml.reader.ReaderError as error:
        place = _place_at(text[: error.position], file)
        raise _wrong(f"the character {chr(int(error.character))!r} is not allowed in YAML: remove it", place) from error
    except (ValueError, RecursionError) as error:  # PyYAML on escapes beyond Unicode, and on what is deeper than Python
        raise _wrong(f"this is not valid YAML: {error}", Place(file, 1, 1)) from error
    if node is None or node.tag == _TAG + "null" or node.value == "":
        raise _wrong(f"the file is empty: {_NOT_A_MIGRATION}", Place(file, 1, 1))
    return node


def _refuse_what_no_migration_needs(text: str, file: str) -> None:
    """A pass over the events, which neither recurses nor expands anything."""
    depth = documents = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        place = _place(event.start_mark, file)
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise _wrong("a second document: one file holds one migration, so make it a file of its own", place)
            case yaml.AliasEvent() | yaml.NodeEvent(anchor=str()):
                raise _wrong("anchors and aliases (& and *) are not supported: write the value out", place)
            case yaml.CollectionStartEvent():
                depth += 1
                if depth > MAX_DEPTH:
                    raise _wrong(f"nested more than {MAX_DEPTH} deep: a migration never is", place)
            case yaml.CollectionEndEvent():
                depth -= 1


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "it does not parse"
    if "'\\t'" in problem:
        return "a tab: YAML is indented with spaces, so replace the tab by spaces"
    if "mapping values are not allowed here" in problem:
        return "a colon where no key can be: put text that has `: ` in it in quotes, and check the indentation"
    context = f" ({error.context})" if error.context else ""
    return f"this is not valid YAML: {problem}{context}; check quotes, brackets and indentation"


@dataclass(slots=True)
class _Document:
    """Plain values of a composed document, and where each was written."""

    file: str
    places: dict[Path, Place] = field(default_factory=dict)
    scalars: dict[Path, ScalarNode] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, node: Node, path: Path = ()) -> object:
        self.places[path] = _place(node.start_mark, self.file)
        if not node.tag.startswith(_TAG):
            self.problems.append(Problem(path, f"the tag {node.tag} is not supported: leave it out"))
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.read(item, (*path, at)) for at, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        self.scalars[path] = node
        value = _scalar(node)
        if value is None:
            remedy = 'for SQL\'s NULL write "NULL", in quotes'
            self.problems.append(
                Problem(path, f"{_taken_for(node)}: {remedy}" if node.value else f"the value is missing: {remedy}")
            )
        return value

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        for key, value in node.value:
            place = _place(key.start_mark, self.file)
            # A key that cannot be used is placed under a path of its own, which nothing else can have.
            odd: Path = (*path, KEY, place.line, place.column)
            name = key.value
            if not isinstance(key, ScalarNode):
                problem = "a key must be one word"
            elif not isinstance(_scalar(key), str):
                problem = f'{_taken_for(key)}: put it in quotes to make it a name: "{key.value}"'
            elif name in values:
                problem = f"the key {name!r} is here for the second time, the first is in line " \
                          f"{self.places[(*path, name, KEY)].line}: keep one of them"  # fmt: skip
            else:
                self.places[(*path, name, KEY)] = place
                values[name] = self.read(value, (*path, name))
                continue
            self.places[odd] = place
            self.problems.append(Problem(odd, problem))
        return values

    def told_as_written(self, problem: Problem) -> Problem:
        """Where text is wanted and YAML sees something else, say so with the very word that is in the file."""
        node = self.scalars.get(problem.path)
        if node is None or isinstance(_scalar(node), str) or "is wanted" not in problem.message:
            return problem
        wanted = problem.message.split(" is wanted", 1)[0]
        remedy = f': write it in quotes: "{node.value}"' if wanted == "text" else ""
        return Problem(problem.path, f"{wanted} is wanted, and {_taken_for(node)}{remedy}")


@dataclass(frozen=True, slots=True)
class _NotText:
    """A scalar that YAML takes for something that no migration holds, such as a date."""

    kind: str

    def __str__(self) -> str:
        return self.kind


def _scalar(node: ScalarNode) -> object:
    kind = node.tag.removeprefix(_TAG)
    word = node.value.lower()
    if kind == "bool" and word in _TRUE | _FALSE:
        return word in _TRUE
    if kind == "null":
        return None
    if kind == "int" and node.value.isdecimal() and node.value.isascii() and len(node.value) < 10:
        return int(node.value)
    return node.value if kind in ("str", "value") else _NotText(_NOT_TEXT.get(kind, kind))


def _taken_for(node: ScalarNode) -> str:
    value = _scalar(node)
    meaning = str(value).lower() if isinstance(value, bool) else _NOT_TEXT.get(node.tag.removeprefix(_TAG), node.tag)
    return f"{node.value!r} without quotes means {meaning} in YAML"


def _place(mark: Any, file: str) -> Place:  # two classes of the same kind, with and without libyaml
    return Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)


def _place_at(text_before: str, file: str) -> Place:
    line = text_before.count("\n") + 1
    return Place(file, line, len(text_before) - (text_before.rfind("\n") + 1) + 1)


def _wrong(message: str, place: Place) -> DefinitionError:
    return DefinitionError([Problem((), message)], {(): place})
