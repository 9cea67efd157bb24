"""`Judge`: what happens to one text of one session. Knows the settings; asks the planner; never forwards in hope."""

from __future__ import annotations

from typing import Final

from pglast.parser import ParseError

from proxy.conversation.pins import Pins
from proxy.conversation.settings import Settings
from proxy.conversation.statements import (
    UNCONCERNED,
    Planned,
    Planner,
    Question,
    Traits,
    Unplanned,
    Verdict,
    key_of,
    may_begin,
    may_hold_commands,
    may_move_lexing,
    may_move_path,
    may_run_functions,
    temporary_names,
)
from proxy.wire.encodings import Undecodable, decode, encode
from proxy.wire.messages import CANNOT_CONNECT_NOW, PROGRAM_LIMIT_EXCEEDED
from rules.commands import Command, read_commands
from rules.errors import Refusal
from rules.migration import Client
from rules.plan import Refuse
from rules.snapshot import Snapshot

_PREFIX: Final = "pgjanus: "
_BETWEEN_STATEMENTS: Final = b"; \t\r\n"


def refuse(message: str, hint: str, sqlstate: str = "0A000", migration: str = "") -> Planned:
    return Planned(Refuse(Refusal(_PREFIX + message, hint, sqlstate=sqlstate), migration), migration)


class Judge:
    def __init__(self, pins: Pins, planner: Planner, settings: Settings) -> None:
        self.settings = settings
        self._pins = pins
        self._planner = planner
        self._path_moving = False
        self._lexing_moving = False
        #: What was planned elsewhere for the message that is looked at.
        self._answers: dict[tuple[str, int, Client], Verdict] = {}
        self._known: dict[bytes, Traits] = {}

    def plan(self, text: bytes, snapshot: Snapshot) -> Planned:
        """The plan of a client's text. A text that cannot be read is refused if it may name a managed table.

        Raises:
            Unplanned: it is to be planned elsewhere first.
        """
        if not snapshot.tables:
            return UNCONCERNED
        settings = self.settings
        try:
            sql = decode(text, settings.codec)
        except Undecodable:
            plain = all(table.name.isascii() for table in snapshot.tables)
            if plain and not snapshot.may_concern(text.decode("latin-1")):
                return UNCONCERNED
            return refuse(
                "the statement is not text in the session's client_encoding",
                "Use a client_encoding that pgjanus can read, such as UTF8.",
            )
        if not snapshot.may_concern(sql, settings.client.search_path):
            return UNCONCERNED
        if not snapshot.may_name_managed(sql) and not self._is_readable(snapshot, text):
            return UNCONCERNED  # it reads the system catalogs at most, and sees hidden columns there
        if not self._pins.may_serve_managed(snapshot):
            return self._lease_lost()
        if self._lexing_moving and not text.isascii():
            return refuse(
                "the client_encoding may be changing while this statement is sent",
                "Wait for the reply of the SET before sending more.",
            )
        if self._may_misread(text):
            return refuse(
                "a managed table cannot be used with a backslash in the text and standard_conforming_strings = off",
                "Set standard_conforming_strings to on, and write escapes as E'…'.",
            )
        moving = self._path_moving or self._moves_path(text, snapshot, within=True)
        client = settings.client_on_the_move if moving else settings.client
        planned = self._ask(Question(sql, snapshot, client, text, settings.codec))
        if planned.rewrite is not None:
            try:
                server_text = self.server_text(text, planned)
            except Undecodable:
                return refuse(
                    "the rewritten statement has characters that the session's client_encoding has not",
                    "Use client_encoding UTF8.",
                    migration=planned.migration,
                )
            if self._may_misread(server_text):
                return refuse(
                    "an expression of the migration has a backslash, and standard_conforming_strings is off",
                    "Set standard_conforming_strings to on.",
                    migration=planned.migration,
                )
        return planned

    def passes(self, text: bytes, snapshot: Snapshot) -> bool:
        """Whether a text surely concerns no migration, nor reads of a managed table in the system catalogs."""
        try:
            sql = decode(text, self.settings.codec)
        except Undecodable:
            return False
        return not snapshot.may_concern(sql, self.settings.client.search_path)

    def _ask(self, question: Question) -> Planned:
        if self._answers and (answer := self._answers.get(question.key)):
            return answer.planned
        try:
            return self._planner(question.sql, question.snapshot, question.client)
        except Unplanned:
            raise Unplanned(question) from None

    def stands_alone(self, text: bytes, snapshot: Snapshot) -> bool:
        """Whether a text, sent by itself, neither concerns a managed table nor leaves a transaction open."""
        if may_begin(text) or may_hold_commands(text) or self._may_misread(text) or self._lexing_moving:
            return False
        try:
            sql = decode(text, self.settings.codec)
        except Undecodable:
            return False
        return not snapshot.may_concern(sql, self.settings.client.search_path)

    def learn(self, question: Question, answer: Verdict) -> None:
        """What was planned elsewhere for the message that is looked at."""
        self._answers[question.key] = answer
        self._known[question.text] = answer.traits

    def forget_answers(self) -> None:
        """The message has been dealt with."""
        if self._answers:
            self._answers.clear()
            self._known.clear()

    def _moves_path(self, text: bytes, snapshot: Snapshot, *, within: bool = False) -> bool:
        """Whether a text may change what the names in the next one mean, or `within` it those of its later statements.

        A function can do that without a word of it in the text; it is asked for where search_path decides at all.
        """
        known = self._known.get(text) if self._known else None
        if may_move_path(text) if known is None else known.moves_path:
            return True
        if not snapshot.is_ambiguous or (within and b";" not in text.rstrip(_BETWEEN_STATEMENTS)):
            return False
        return may_run_functions(text, snapshot.catalog.volatility)

    @property
    def lexing(self) -> tuple[str | None, bool]:
        """What decides how the bytes of a text are read: the codec, and whether strings are standard ones."""
        return self.settings.codec, self.settings.standard_strings

    def reads_alike(self, text: bytes, lexing: tuple[str | None, bool]) -> bool:
        """Whether a text means now what it meant under those settings."""
        codec, standard = lexing
        return (text.isascii() or codec == self.settings.codec) and (
            b"\\" not in text or standard == self.settings.standard_strings
        )

    def _may_misread(self, text: bytes) -> bool:
        """Whether a backslash may end the server's strings elsewhere than ours."""
        return b"\\" in text and (self._lexing_moving or not self.settings.standard_strings)

    def _is_readable(self, snapshot: Snapshot, text: bytes) -> bool:
        """Whether a text could be rewritten now, whatever it says."""
        lexing = not self._may_misread(text) and (text.isascii() or not self._lexing_moving)
        return lexing and self._pins.may_serve_managed(snapshot)

    def commands(self, text: bytes) -> tuple[Command | None, ...] | None:
        """What each statement of a text does with names; None if that cannot be told."""
        known = self._known.get(text) if self._known else None
        if not (may_hold_commands(text) if known is None else known.holds_commands):
            return ()
        if self._may_misread(text):
            return None
        try:
            return read_commands(self.readable(text))
        except (ParseError, RecursionError, UnicodeEncodeError, Undecodable):
            return None

    def key(self, command: Command) -> bytes:
        """Under which key the table has the name of a command."""
        return key_of(self.encoded(command.name or ""))

    def readable(self, text: bytes) -> str:
        """The text; in an encoding of which nothing is known every byte stands for a character.

        PostgreSQL has no such encoding in which a byte of another character could look like ASCII.

        Raises:
            Undecodable: it is not text in an encoding that is known.
        """
        return text.decode("latin-1") if self.settings.codec is None else decode(text, self.settings.codec)

    def encoded(self, text: str) -> bytes:
        """The reverse, for a part of what `readable` gave."""
        return text.encode(self.settings.codec or "latin-1")

    def may_be_moving(self, sql: str) -> bool:
        """Whether something under way, or the text itself, may change what a name means."""
        return self._path_moving or may_move_path(sql.encode(errors="replace"))

    def still(self, planned: Planned, snapshot: Snapshot) -> Planned:
        """A plan made earlier in the same snapshot; refused if the lease has been lost since."""
        if planned.migration and not self._pins.may_serve_managed(snapshot):
            return self._lease_lost()
        return planned

    def server_text(self, text: bytes, planned: Planned) -> bytes:
        """What the server gets for a text that is not refused."""
        rewrite = planned.rewrite
        if rewrite is None:
            return text
        for answer in self._answers.values():
            if answer.planned is planned and answer.server_text is not None:
                return answer.server_text
        return encode(rewrite.sql, self.settings.codec)

    def sent(self, text: bytes, snapshot: Snapshot, planned: Planned) -> None:
        """The server is about to run this text: it may change how the next ones are read."""
        if not snapshot.tables:
            return
        known = self._known.get(text) if self._known else None
        if self._moves_path(text, snapshot):
            self._path_moving = True
        if may_move_lexing(text) if known is None else known.moves_lexing:
            self._lexing_moving = True
        shadowed = temporary_names(text, self.settings.codec or "utf-8") if known is None else known.temporary
        if shadowed:
            self.settings.shadow(shadowed & {table.name for table in snapshot.tables})

    def settle(self) -> None:
        """The server has answered everything, and has reported what changed."""
        self._path_moving = self._lexing_moving = False

    def too_long(self, limit_bytes: int) -> Planned:
        return refuse(
            f"a statement longer than {limit_bytes} bytes cannot be looked into while a migration is active",
            "Send the data with COPY or as parameters, or raise buffer_limit.",
            PROGRAM_LIMIT_EXCEEDED,
        )

    def outdated(self, name: bytes, migration: str) -> Planned:
        return refuse(
            f'"{name.decode(errors="replace")}" was prepared by the driver in another phase of the migration',
            "Run it through the driver, which prepares it again, or PREPARE it with SQL.",
            migration=migration,
        )

    def _lease_lost(self) -> Planned:
        return refuse(
            "managed tables are closed: this proxy has lost its control connection",
            "Try again; other tables are served as before.",
            CANNOT_CONNECT_NOW,
        )
