"""pydantic's errors in our words: what is wrong, what would be right, and at which path of the definition."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rules.operations import OPERATIONS
from rules.operations.base import KEY, Operation, Path, Problem, Strict
from rules.operations.sql import did_you_mean


def problems_in(error: ValidationError, model: type[Strict]) -> list[Problem]:
    """The mistakes that kept `model` from being made."""
    return [_explained(details, model) for details in error.errors(include_url=False) if not _is_echo(details)]


def _is_echo(details: ErrorDetails) -> bool:
    """pydantic counts only the valid items of a list, so a wrong one makes the list too short as well."""
    return details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]


def _explained(details: ErrorDetails, model: type[Strict]) -> Problem:
    path, given, context = details["loc"], details["input"], details.get("ctx", {})
    match details["type"]:
        case "pgjanus":
            return Problem(path, details["msg"])
        case "extra_forbidden":
            keys = _annotation_at(path[:-1], model).field_order()
            hint = did_you_mean(str(path[-1]), keys)
            return Problem((*path, KEY), f"unknown key {path[-1]!r}{hint}: the keys here are {', '.join(keys)}")
        case "missing":
            return Problem((*path[:-1], KEY), f"{path[-1]} is missing{_purpose(path, model)}")
        case "literal_error":
            expected = [str(value) for value in get_args(_annotation_at(path, model))]
            one_of = f"one of {', '.join(expected)}"
            if not isinstance(given, str):
                return Problem(path, f"{one_of} is wanted, not {_described(given)}")
            return Problem(path, f"{given!r} is not known{did_you_mean(given, expected)}: {one_of}")
        case "string_type":
            return Problem(path, f"text is wanted, not {_described(given)}: put it in quotes")
        case "bool_type":
            return Problem(path, f"true or false is wanted, not {_described(given)}")
        case "model_type" | "model_attributes_type" | "dict_type" | "dataclass_type":
            return Problem(path, f"a mapping is wanted (`key: value` lines, indented), not {_described(given)}")
        case "tuple_type":
            return Problem(path, f"a list is wanted (lines that start with `-`), not {_described(given)}")
        case "too_short":
            return Problem(path, f"at least {context['min_length']} wanted, not {context['actual_length']}")
        case "too_long":
            return Problem(path, f"at most {context['max_length']} allowed")
        case _:
            return Problem(path, details["msg"])


def _described(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"a boolean ({'true' if value else 'false'})"
        case str():
            return "text"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case int():
            return "a number"
        case _:
            return f"{value}"


def _annotation_at(path: Path, model: type[Strict]) -> Any:
    """The type that the model wants at a path."""
    here: Any = model
    for part in path:
        if here is Operation:
            here = OPERATIONS[str(part)]
        elif isinstance(here, type) and issubclass(here, Strict):
            here = here.model_fields[str(part)].annotation
        else:
            here = get_args(here)[0 if get_origin(here) is tuple else 1]
        while get_origin(here) is Annotated:
            here = get_args(here)[0]
        if get_origin(here) in (Union, UnionType):
            here = next((one for one in get_args(here) if isinstance(one, type) and issubclass(one, Strict)), here)
    return here


def _purpose(path: Path, model: type[Strict]) -> str:
    field = _annotation_at(path[:-1], model).model_fields[str(path[-1])]
    text = (field.description or "").rstrip(".")
    return f": {text[:1].lower()}{text[1:]}" if text else ""
