"""One treatment taken out of one function."""

from __future__ import annotations

import __future__  # isort: skip

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any


class Stale(Exception):
    """the words that a mutant replaces are not in the function's source any more"""


@dataclass(frozen=True)
class Mutant:
    """`function` is `module:function` or `module:Class.method`; `test` is what kills it, where cases cannot.

    `more` are other words of the same function that go with it, and what stands in their place.

        Mutant("else instead of a second WHEN", "rules.reads:by_row_state", " WHEN {invalid} THEN", " ELSE", test=…)
    """

    name: str
    function: str
    words: str
    instead: str
    test: str = ""
    more: tuple[tuple[str, str], ...] = ()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Every reference to the function sees the mutated code."""
        function = _found(self.function)
        original = function.__code__
        self.apply()
        try:
            yield
        finally:
            function.__code__ = original

    def apply(self) -> None:
        """For good."""
        function = _found(self.function)
        function.__code__ = self._code(function)

    def _code(self, function: FunctionType) -> CodeType:
        source = textwrap.dedent(inspect.getsource(function))
        for words, instead in ((self.words, self.instead), *self.more):
            if words not in source:
                raise Stale(f"{self.name}: {words!r} is not in {self.function}")
            source = source.replace(words, instead, 1)
        tree = ast.parse(source)
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
        definition.decorator_list = []
        # Annotations stay unevaluated, as in the module itself.
        flags = __future__.annotations.compiler_flag
        namespace: dict[str, Any] = {}
        exec(compile(tree, inspect.getfile(function), "exec", flags), function.__globals__, namespace)
        code: CodeType = namespace[definition.name].__code__
        return code


def _found(path: str) -> FunctionType:
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod):
        found = found.__func__
    assert isinstance(found, FunctionType), path
    return found
