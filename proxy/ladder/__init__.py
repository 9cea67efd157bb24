"""The operator's side of a migration: `start`, `advance`, `rollback`, `abort`, `status`.

    climb      one rung up or down, and the whole way down      contract   the last rung
    gates      row states emptied, proved by constraints        attributes NOT NULL, CHECK, … of the new columns
    dependants what would still act on the old columns          operator   one at a time; waits; short locks
    indexes    transition indexes, CONCURRENTLY                 blockers   who is in the way of a lock

What is done is decided by what the tables say, never by what an earlier run remembers: each step looks first and does
what is missing, so after a crash anywhere the same command completes it, and `rollback` or `abort` undoes it.
"""
