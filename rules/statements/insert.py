"""INSERT. Its SET list after ON CONFLICT is `update`'s.

Values that may be written twice are, behind the client's own:

    INSERT INTO users (id, full_name) VALUES ($1, $2)
    INSERT INTO users (id, full_name, "_pgjanus_first_name", …, "_pgjanus_state")
    VALUES ($1, $2, split_part((($2)::text), ' ', 1), …, 4)

Others are evaluated once in a sub-select, from which both formats are taken:

    INSERT INTO users (id, tok) VALUES ($1, gen_random_uuid())
    INSERT INTO users ("id", "tok", "_pgjanus_tok2", …)
    SELECT $1, v.c0, upper(((v.c0)::text)), … FROM (SELECT gen_random_uuid() AS c0) AS v

A column list that the client left out is written down: the table has columns that the client does not know.
"""

from __future__ import annotations

from rules.analysis.values import Write
from rules.errors import Refusal
from rules.phases import Shape
from rules.statements.arbiter import rewrite_arbiter
from rules.statements.insert_select import SelectRewriting
from rules.statements.insert_values import ValuesRewriting
from rules.statements.insertion import Insertion
from rules.statements.judge import Judge
from rules.statements.update import rewrite_set
from rules.text.fragments import Edits
from rules.text.source import SourceText


def rewrite_insert(source: SourceText, edits: Edits, write: Write, shape: Shape, judge: Judge) -> None:
    """Rewrite one INSERT on a managed table."""
    conflict = write.node.get("onConflictClause", {})
    if conflict:
        rewrite_arbiter(source, edits, write.entry, conflict, shape)
        if conflict.get("targetList"):
            rewrite_set(source, edits, write.entry, conflict["targetList"], shape, judge)
    insertion = Insertion(source, edits, write, shape, judge)
    select = write.node.get("selectStmt", {}).get("SelectStmt")
    if select is None:
        ValuesRewriting(insertion).default_values()
        return
    insertion.check_width(select)
    if "valuesLists" not in select and not insertion.width():
        raise Refusal(
            "an INSERT of a query without columns cannot be rewritten",
            "Write DEFAULT VALUES, or name a column.",
            position=insertion.position,
        )
    if set(select) <= {"valuesLists", "limitOption", "op"}:  # with ORDER BY, LIMIT or WITH it is like any other query
        ValuesRewriting(insertion).values(select)
    else:
        SelectRewriting(insertion).select(select)
