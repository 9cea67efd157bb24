"""Every read and the final table against the chain of versions of each row. Pure: records in, violations out.

Each write of a row has the next version, so a row's history is a list, and what the row says at each version follows
from the write of that version and the row before it. Then

    lost        an acknowledged write is not in the list; or one is that was undone, twice, or never made
    stale       a read does not give what its version said, or an older version than it must have seen
    divergent   at the end a format that is said to be valid does not give what the last version said
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from tests.chaos.records import Found, Outcome, Records, Seen, SeenRow, Transaction, Violation, Written, Wrong
from tests.chaos.register import HOT_ROWS, Register, first_register


def check(records: Records) -> list[Violation]:
    """Empty if all is as it has to be."""
    found = list(records.violations)
    chains, broken = _chains(records)
    found += broken
    for transaction in records.transactions:
        found += _check_outcome(transaction, chains)
        found += _check_returned(transaction, chains)
        found += _check_reads(transaction, chains)
    found += _check_halves(records)
    for end in records.found:
        found += _check_end(end, chains)
    return found


@dataclass(slots=True)
class _Chain:
    """One row: `writers[v]` made version v, which says `registers[v]` (None: the row is not there)."""

    writers: list[str]
    registers: list[Register | None]
    #: When acknowledgements came, in order, and the highest version acknowledged by then.
    acknowledged_at: list[float] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)

    @property
    def last(self) -> int:
        return len(self.writers) - 1

    def known_before(self, moment: float) -> int:
        """The version that whoever begins at that moment must see, or a later one."""
        at = bisect_left(self.acknowledged_at, moment)
        return self.acknowledged[at - 1] if at else 0


Chains = dict[int, _Chain]


def _chains(records: Records) -> tuple[Chains, list[Violation]]:
    chains: Chains = {i: _Chain(["nobody"], [first_register(i)]) for i in range(HOT_ROWS)}
    made = {(w.writer, w.row_id): (w, t) for t in records.transactions for w in t.written if w.write is not None}
    wrong: list[Violation] = []
    for row_id, version, writer in sorted(records.versions):
        chain = chains.setdefault(row_id, _Chain([""], [None]))
        if version != chain.last + 1:
            wrong.append(Violation(Wrong.LOST, f"row {row_id}: version {version} ({writer}) follows {chain.last}"))
            continue
        register: Register | None = None
        if writer:
            if (writer, row_id) not in made:
                wrong.append(
                    Violation(Wrong.LOST, f"row {row_id}: version {version} is by {writer}, who wrote nothing")
                )
                continue
            written, _ = made[writer, row_id]
            before = chain.registers[-1]
            assert written.write is not None
            expected = written.write.expected
            if expected is not None and before is not None and before.seen_by(written.write.shape) != expected:
                what = f"row {row_id}: {writer} found {before} by {expected}"
                wrong.append(Violation(Wrong.STALE, what))
            register = written.write.apply(None if written.inserted else before)
        chain.writers.append(writer)
        chain.registers.append(register)
    told = [
        (t.ended, w)
        for t in records.transactions
        if t.outcome is Outcome.DONE
        for w in t.own()
        if w.version is not None
    ]
    for at, written in sorted(told, key=lambda pair: pair[0]):
        if written.row_id in chains and written.version is not None:
            chains[written.row_id].acknowledged_at.append(at)
            chains[written.row_id].acknowledged.append(written.version)
    for chain in chains.values():
        chain.acknowledged = list(accumulate(chain.acknowledged, max))
    return chains, wrong


def _check_outcome(transaction: Transaction, chains: Chains) -> Iterator[Violation]:
    """What was acknowledged is there, what was undone is not."""
    for written in transaction.written:
        chain = chains.get(written.row_id)
        writers = chain.writers if chain else []
        undone = transaction.outcome is Outcome.UNDONE or written.discarded
        who = f"row {written.row_id}: {written.writer or 'DELETE'} of {transaction.client}, version {written.version},"
        if undone:
            if written.write is not None and written.writer in writers:
                yield Violation(Wrong.LOST, f"{who} was undone and is there")
        elif transaction.outcome is Outcome.DONE:
            version = written.version
            if version is None or version >= len(writers) or writers[version] != written.writer:
                yield Violation(Wrong.LOST, f"{who} was acknowledged and is not there")


def _check_returned(transaction: Transaction, chains: Chains) -> Iterator[Violation]:
    for number, written in enumerate(transaction.written):
        if written.returned is None or written.write is None or written.version is None:
            continue
        before = _register(tuple(transaction.written[:number]), chains, written.row_id, written.version - 1)
        expected = written.write.apply(None if written.inserted else before).seen_by(written.write.shape)
        if written.returned != expected:
            what = f"row {written.row_id}: {written.writer} of {transaction.client} returned {written.returned}"
            yield Violation(Wrong.STALE, f"{what}, true is {expected}")


def _register(own: tuple[Written, ...], chains: Chains, row_id: int, version: int) -> Register | None:
    """What a row says at a version, for a transaction with these writes of its own."""
    for number in range(len(own) - 1, -1, -1):
        written = own[number]
        if written.row_id == row_id and written.version == version and not written.discarded:
            if written.write is None:
                return None
            before = None if written.inserted else _register(own[:number], chains, row_id, version - 1)
            return written.write.apply(before)
    chain = chains.get(row_id)
    return chain.registers[version] if chain and 0 <= version <= chain.last else None


def _check_reads(transaction: Transaction, chains: Chains) -> Iterator[Violation]:
    first: dict[int, int] = {}
    for seen in transaction.seen:
        moment = seen.began
        if transaction.is_snapshot and transaction.snapshot_at is not None:
            moment = transaction.snapshot_at
        for row_id in {*seen.asked, *seen.rows}:
            row = seen.rows.get(row_id)
            who = f"row {row_id}: {transaction.client} ({transaction.isolation.value}, {seen.shape.value} shape)"
            own = [w for w in seen.own if w.row_id == row_id]
            problem, version = _check_row(row, own, seen, row_id, chains, chains[row_id].known_before(moment)
                                          if row_id in chains else 0)  # fmt: skip
            if problem:
                yield Violation(Wrong.STALE, f"{who} {problem}")
            elif transaction.is_snapshot and not own:
                if first.setdefault(row_id, version) != version:
                    yield Violation(Wrong.STALE, f"{who} reads version {version}, and had read {first[row_id]}")


def _check_row(
    row: SeenRow | None, own: list[Written], seen: Seen, row_id: int, chains: Chains, known: int
) -> tuple[str | None, int]:
    """What is wrong with a row as it was read, and the version that it was read at."""
    if own:
        wanted, writer = own[-1].version, own[-1].writer
        if row is None:
            return (None if own[-1].write is None else "does not find the row that it wrote"), wanted or 0
        if (row.version, row.writer) != (wanted, writer):
            return f"reads version {row.version} ({row.writer}) and has written {wanted}", row.version
    else:
        chain = chains.get(row_id)
        if row is None:
            absent = [v for v, r in enumerate(chain.registers) if r is None and v >= known] if chain else [0]
            return (None if absent else f"does not find the row, of which it must see version {known}"), absent[
                0
            ] if absent else 0
        if chain is None or row.version > chain.last or chain.writers[row.version] != row.writer:
            return f"reads version {row.version} ({row.writer}), which nobody committed", row.version
        if row.version < known:
            return f"reads version {row.version}, and {known} had been acknowledged before", row.version
    register = _register(seen.own, chains, row_id, row.version)
    true = register.seen_by(seen.shape) if register else None
    if row.values != true:
        return f"reads {row.values} as version {row.version}, true is {true}", row.version
    return None, row.version


def _check_halves(records: Records) -> Iterator[Violation]:
    """One snapshot has all rows of a transaction or none."""
    wrote: list[tuple[Transaction, dict[int, int]]] = []
    for transaction in records.transactions:
        versions = {w.row_id: w.version for w in transaction.own() if w.version is not None}
        if len(versions) > 1 and transaction.outcome is Outcome.DONE:
            wrote.append((transaction, versions))
    for reader in records.transactions:
        for seen in reader.seen:
            # Versions that the reader made itself may be undone, and made again by somebody else.
            rows = {i: r.version for i, r in seen.rows.items() if all(w.row_id != i for w in seen.own)}
            for writer, versions in wrote:
                there = {i: rows[i] >= v for i, v in versions.items() if i in rows}
                if writer is not reader and len(set(there.values())) > 1:
                    what = f"{reader.client} ({reader.isolation.value}) reads { ({i: rows[i] for i in there}) }"
                    yield Violation(Wrong.STALE, f"{what}, half of a transaction of {writer.client}: {versions}")


def _check_end(end: Found, chains: Chains) -> Iterator[Violation]:
    for row_id, row in end.rows.items():
        chain = chains.get(row_id)
        who = f"at the end, {end.where}: row {row_id}"
        if chain is None or (row.version, row.writer) != (chain.last, chain.writers[-1]):
            last = (chain.last, chain.writers[-1]) if chain else None
            yield Violation(Wrong.LOST, f"{who} has version {row.version} ({row.writer}), the last one is {last}")
            continue
        register = chain.registers[-1]
        true = register.seen_by(end.shape) if register else None
        if row.values != true:
            yield Violation(Wrong.DIVERGENT, f"{who} says {row.values}, true is {true}")
    for row_id, chain in chains.items():
        if end.is_whole and chain.registers[-1] is not None and row_id not in end.rows:
            yield Violation(Wrong.LOST, f"at the end, {end.where}: row {row_id} is not there")
