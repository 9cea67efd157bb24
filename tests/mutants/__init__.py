"""`python -m tests.mutants` (`make mutants`): take one treatment out at a time, and see it found out.

A mutant is a function with a few words of its source replaced. It has to be killed: by a case of the twins, by a
statement of `refused.sql` that is refused no more, or by the test that it names. docs/traps.md says which trap each
of them opens again.
"""

from __future__ import annotations

from tests.mutants.ladder import LADDER
from tests.mutants.mutant import Mutant
from tests.mutants.rewriting import REWRITING
from tests.mutants.session import SESSION

__all__ = ["MUTANTS", "QUICK", "Mutant"]

MUTANTS: tuple[Mutant, ...] = (*REWRITING, *SESSION, *LADDER)

#: Small ones of each kind, for `make test`: killed within the first phase that is tried.
QUICK = (
    "the first write of a part leaves the rest of the row's format as it was",
    "DO UPDATE is not mirrored",
    "stars reach the server",
    "error positions are the rewritten text's",
    "reserved names can be used",
)
