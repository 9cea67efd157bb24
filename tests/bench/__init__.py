"""`make bench`: what the proxy costs beside PgBouncer, for statements that concern no migration.

Data flows one way: `ways` (what stands between client and server) and `cases` (what is asked of it) make `figures`, of
which `report` makes tables, goals and plots. All ways take turns in each round, so that a figure compares with those
beside it; numbers of two runs do not compare.
"""
