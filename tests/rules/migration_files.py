"""A whole migration file, to change and to break."""

from __future__ import annotations

import pytest

from rules.loader import load_text
from rules.operations.base import DefinitionError

WHOLE = """\
migration: split_full_name
table: public.users
operations:
  - split_column:
      column: full_name
      into:
        first_name: {type: text, up: "split_part(full_name, ' ', 1)"}
        last_name:
          type: text
          up: "substr(full_name, 2)"
      down: "first_name || last_name"
"""


def mistakes(text: str, file: str = "m.yaml") -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        load_text(text, file)
    assert [str(error) for error in caught.value.errors] == str(caught.value).split("\n")
    assert caught.value.place == caught.value.errors[0].place
    return str(caught.value).split("\n")


def changed(before: str, after: str) -> str:
    assert WHOLE.count(before) == 1, before
    return WHOLE.replace(before, after)
