"""`make fuzz-wire`: so many seeded inputs, shared out among the properties.

Prints each failure with the number that makes its input again (`--only PROPERTY --first NUMBER --inputs 1`), and what a
run took. An input that takes more than ten seconds hangs.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from types import FrameType

import click

from tests.strangers.properties import PROPERTIES, Property

_HANG_SECONDS = 10.0
#: Python cannot interrupt what hangs in C: then the process ends, with a traceback.
_HARD_HANG_SECONDS = 60
_BATCH = 1000
_SHOWN = 5


class Hang(Exception):
    """One input takes too long."""


def _hang(_: int, __: FrameType | None) -> None:
    raise Hang


def run(name: str, check: Property, seed: int, numbers: range) -> tuple[int, int]:
    """How many inputs crash and how many hang."""
    failures: Counter[str] = Counter()
    hangs, began, slowest = 0, time.perf_counter(), 0.0
    for number in numbers:
        if number % _BATCH == 0:
            faulthandler.dump_traceback_later(_HARD_HANG_SECONDS, exit=True)
        before = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, _HANG_SECONDS)
        try:
            check(random.Random(f"{seed} {name} {number}"))
        except Exception as error:
            hangs += isinstance(error, Hang)
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__} in {where.filename}:{where.lineno}"
            failures[what] += 1
            if failures[what] <= _SHOWN:
                click.echo(f"{name} {number}: {what}: {str(error)[:300]}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        slowest = max(slowest, time.perf_counter() - before)
    faulthandler.cancel_dump_traceback_later()
    crashes = failures.total() - hangs
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    click.echo(
        f"{name}: {len(numbers)} inputs of seed {seed}, {crashes} crashes, {hangs} hangs; "
        f"{seconds:.0f} s, slowest {slowest * 1000:.0f} ms, {memory} MiB at most"
    )
    return crashes, hangs


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.strangers", description=__doc__)
    arguments.add_argument("--inputs", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", choices=PROPERTIES)
    arguments.add_argument("--first", type=int, default=0, help="number of the first input of a property")
    arguments.add_argument("--list", action="store_true", help="only the names of the properties")
    given = arguments.parse_args()
    if given.list:
        click.echo("\n".join(PROPERTIES))
        return 0
    faulthandler.enable()
    signal.signal(signal.SIGALRM, _hang)
    names = [given.only] if given.only else list(PROPERTIES)
    each = -(-given.inputs // len(names))
    found = [run(name, PROPERTIES[name], given.seed, range(given.first, given.first + each)) for name in names]
    crashes, hangs = sum(crashed for crashed, _ in found), sum(hung for _, hung in found)
    click.echo(f"{each * len(names)} inputs, {crashes} crashes, {hangs} hangs")
    return 1 if crashes or hangs else 0


if __name__ == "__main__":
    sys.exit(main())
