"""MERGE into a managed table: its UPDATE actions are `update`'s, its INSERT actions `insert_values`'.

    MERGE INTO users u USING news n ON u.id = n.id
      WHEN MATCHED THEN UPDATE SET full_name = n.name
      WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (n.id, n.name)

    MERGE INTO users u USING news n ON u.id = n.id
      WHEN MATCHED THEN UPDATE SET full_name = n.name, "_pgjanus_first_name" = …, "_pgjanus_state" = 5 - (…)
      WHEN NOT MATCHED THEN INSERT (id, full_name, "_pgjanus_first_name", …) VALUES (n.id, n.name, …, 4)

A value that contains nothing volatile is written twice, because two things are not to be had in a MERGE: INSERT takes
no SELECT, and PostgreSQL (15 to 18) crashes on row assignments from a sub-select in two of the actions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rules.analysis.values import Write
from rules.errors import Refusal
from rules.phases import Shape
from rules.statements.insert_values import ValuesRewriting
from rules.statements.insertion import Insertion
from rules.statements.judge import Judge
from rules.statements.update import SetList, read_set
from rules.text.fragments import Edits
from rules.text.source import CLOSE, DOT, OPEN, SEMICOLON, Node, SourceText


@dataclass(frozen=True, slots=True)
class _Action:
    """One WHEN clause; `first` is the token behind THEN."""

    body: Node
    first: int

    @property
    def command(self) -> str:
        return str(self.body.get("commandType", ""))


def rewrite_merge(source: SourceText, edits: Edits, write: Write, shape: Shape, judge: Judge) -> None:
    """Rewrite the actions of a MERGE; what it reads is rewritten like any other statement's."""

    judge = replace(judge, in_merge=True)
    updates: list[SetList] = []
    for action in _actions(source, write.node):
        if action.command == "CMD_UPDATE":
            updates.append(read_set(source, edits, write.entry, action.body["targetList"], shape, judge))
        elif action.command == "CMD_INSERT":
            _rewrite_insert(source, edits, write, action, shape, judge)
    _rewrite_updates(updates)


def _rewrite_updates(updates: list[SetList]) -> None:
    assigning_rows = sum(u.assigns_row for u in updates)
    for update in updates:
        if not update.concern_us:
            continue
        if assigning_rows > 1 and update.needs_row:
            update.unmark("a MERGE can evaluate volatile values and sub-selects of one of its UPDATE actions only")
            assigning_rows -= not update.has_subselect
        else:
            update.rewrite()
    if assigning_rows > 1:
        raise Refusal(
            "PostgreSQL itself crashes on a MERGE that assigns rows from sub-selects in two of its actions",
            "Assign each column on its own.",
            position=updates[0].position,
        )


def _rewrite_insert(
    source: SourceText, edits: Edits, write: Write, action: _Action, shape: Shape, judge: Judge
) -> None:
    """As the INSERT that it is, but for the words between INSERT and the column list."""
    body = action.body
    node: Node = {"relation": write.node["relation"], "override": body.get("override", "")}
    if "targetList" in body:
        node["cols"] = body["targetList"]
    if "values" in body:
        node["selectStmt"] = {"SelectStmt": {"valuesLists": [{"List": {"items": body["values"]}}]}}
    insertion = Insertion(
        source, edits, Write("InsertStmt", node, write.entry), shape, judge, first_token=action.first + 1
    )
    if "values" not in body:
        ValuesRewriting(insertion).default_values()
    else:
        select = node["selectStmt"]["SelectStmt"]
        insertion.check_width(select)
        ValuesRewriting(insertion).values(select)


def _actions(source: SourceText, node: Node) -> list[_Action]:
    """The WHEN clauses with their places: WHEN and THEN outside of parentheses and CASE are MERGE's own."""
    index = source.token_at(source.location(node["relation"]))
    depth = cases = 0
    firsts: list[int] = []
    while index < len(source.tokens) and len(firsts) < len(node["mergeWhenClauses"]):
        kind = source.kind(index)
        depth += (kind == OPEN) - (kind == CLOSE)
        if depth == 0 and source.kind(index - 1) != DOT:  # behind a dot it is a column called like a keyword
            cases += (kind == "CASE") - (kind == "END_P")
            if kind == "THEN" and cases == 0:
                firsts.append(index + 1)
        if depth < 0 or (depth == 0 and kind == SEMICOLON):
            break
        index += 1
    clauses = [c["MergeWhenClause"] for c in node["mergeWhenClauses"]]
    if len(firsts) != len(clauses):
        raise Refusal("this form of MERGE is not understood", position=source.location(node["relation"]))
    return [_Action(body, first) for body, first in zip(clauses, firsts, strict=True)]
