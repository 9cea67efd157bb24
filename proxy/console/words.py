"""The text of a command: split into commands, and those into words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from proxy.console.errors import SYNTAX_ERROR, ConsoleError

_TOKEN: Final = re.compile(
    r"""(?P<gap>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<string>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<dollar>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
      | (?P<sign>[();,=])
      | (?P<word>[^\s'"();,=]+)
      | (?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """`start` counts characters of the whole text. `bare`: not in quotes, so that its case does not matter."""

    text: str
    start: int
    bare: bool

    def says(self, word: str) -> bool:
        return self.bare and self.text.upper() == word


@dataclass(slots=True)
class Words:
    """One command, taken word by word."""

    source: str
    words: list[Word]
    end: int
    _at: int = 0

    def __bool__(self) -> bool:
        return self._at < len(self.words)

    @property
    def start(self) -> int:
        return self.words[0].start

    def begins_with(self, expected: tuple[str, ...]) -> bool:
        rest = self.words[self._at : self._at + len(expected)]
        return len(rest) == len(expected) and all(w.says(e) for w, e in zip(rest, expected, strict=True))

    def skip(self, expected: tuple[str, ...]) -> bool:
        """Whether these come next; then they are taken."""
        if self.begins_with(expected):
            self._at += len(expected)
            return True
        return False

    def take(self, what: str) -> str:
        """
        Raises:
            ConsoleError: there is no more, or a sign.
        """
        if not self or (self.words[self._at].bare and self.words[self._at].text in "();,="):
            raise self.wrong(f"{what} is missing")
        self._at += 1
        return self.words[self._at - 1].text

    def take_rest(self) -> str:
        """As it was written."""
        if not self:
            return ""
        start, self._at = self.words[self._at].start, len(self.words)
        return self.source[start : self.end].rstrip()

    def finish(self) -> None:
        """
        Raises:
            ConsoleError: there is more than belongs to the command.
        """
        if self:
            raise self.wrong(f"{self.words[self._at].text!r} does not belong here")

    def wrong(self, message: str) -> ConsoleError:
        at = self.words[self._at].start if self else self.end
        return ConsoleError(SYNTAX_ERROR, message, position=at + 1)


def split(source: str) -> Iterator[Words]:
    """The commands of a text, without empty ones."""
    words: list[Word] = []
    for found in _TOKEN.finditer(source):
        match found.lastgroup if found.lastgroup != "tag" else "dollar":
            case "gap":
                continue
            case "sign" if found[0] == ";":
                if words:
                    yield Words(source, words, found.start())
                words = []
            case "string":
                body = found[0][2:-1] if found[0][0] in "eE" else found[0][1:-1]
                words.append(Word(body.replace("''", "'"), found.start(), bare=False))
            case "quoted":
                words.append(Word(found[0][1:-1].replace('""', '"'), found.start(), bare=False))
            case _:
                words.append(Word(found[0], found.start(), bare=True))
    if words:
        yield Words(source, words, len(source))
