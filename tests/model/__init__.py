"""An explicit-state model of the ladders: every interleaving of a small world, searched without exception.

    pairs    small migrations, and what clients write
    sql      PostgreSQL for one row: the product's SQL is evaluated as it stands
    table    what a statement, the guard, a gate and the backfill make of a row, taken from `rules`
    states   what a state is made of, and what can be set
    world    the moves, and what must hold
    search   breadth first; the shortest way to a state that is wrong
    bugs     mistakes that can be planted

`python -m tests.model --help`; docs/model.md says what is modelled and how to read a trace.
"""
