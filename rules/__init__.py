"""What should happen to a statement, decided without doing anything.

Everything in this package is pure: text and values in, values out. No socket, no clock, no log, no
event loop; `.importlinter` holds that line. The way through it:

    loader ──► migration (operations/ compile to ColumnChange)
                       │
    catalog ──► snapshot (which tables are managed, in which phase)
                       │
    statement text ──► planner ──► plan: Untouched | Rewrite | Refuse

    text/            the client's text: tokens, tree, edits
    analysis/        what every name in it means
    introspection/   reads of the system catalogs
    statements/      the rewriting, one file per kind
    ddl/             what is done to the table itself, phase by phase
    operations/      the entries of a migration file
"""
