from __future__ import annotations

import pytest

from docs.generate import CONSOLE_SETTINGS
from proxy.config import ConsoleSettings
from proxy.console.commands import COMMANDS, find
from proxy.console.errors import ConsoleError
from proxy.console.login import Users
from proxy.console.words import split


def said(text: str) -> list[list[str]]:
    return [[word.text for word in words.words] for words in split(text)]


def test_a_text_is_split_at_semicolons_that_are_not_part_of_anything() -> None:
    assert said("SHOW x;; -- a; b\n set a.b='c;''d' ; \"e;\"\"f\" /* ; */ $x$;$x$ E'\\';'") == [
        ["SHOW", "x"],
        ["set", "a.b", "=", "c;'d"],
        ['e;"f', "$x$;$x$", "\\';"],
    ]
    assert said(" ; -- nothing") == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.usage)
def test_each_command_is_found_by_its_name_in_any_case_and_not_within_quotes(command: object) -> None:
    name = " ".join(command.name)  # type: ignore[attr-defined]
    for text in (name, name.lower(), f"/* */ {name} ;"):
        (words,) = split(text)
        assert find(words) is command
    (quoted,) = split(f'"{name}"')
    with pytest.raises(ConsoleError, match="no command"):
        find(quoted)


def test_every_setting_of_the_console_is_in_its_document() -> None:
    assert set(CONSOLE_SETTINGS) == set(ConsoleSettings.model_fields)


def test_readers_may_not_change_anything() -> None:
    users = Users(ConsoleSettings(trust_local=True, readers=("looker",)), {}, b"")
    assert [users.may_change(user) for user in ("looker", "admin")] == [False, True]
