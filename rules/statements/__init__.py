"""One file per kind of statement; `planner` knows them only through this table."""

from rules.statements.copy import mark_rows, rewrite_copy
from rules.statements.insert import rewrite_insert
from rules.statements.judge import Judge
from rules.statements.merge import rewrite_merge
from rules.statements.objects import check_objects
from rules.statements.other import rewrite_other
from rules.statements.reads import result_patch, rewrite_reads
from rules.statements.update import rewrite_set

__all__ = [
    "Judge",
    "check_objects",
    "mark_rows",
    "result_patch",
    "rewrite_copy",
    "rewrite_insert",
    "rewrite_merge",
    "rewrite_other",
    "rewrite_reads",
    "rewrite_set",
]
