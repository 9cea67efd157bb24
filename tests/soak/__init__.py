"""`make soak`: whole ladders under load, at sizes and for times that no other run has.

locks    millions of rows and a steady rate of requests: how long the table is locked in each step, sampled from
         pg_locks, and what the slowest request had to wait
recipes  every recipe in every strategy, up, down and to the end, under clients of both shapes: errors by SQLSTATE
back     100,000 writes in `new_only`, then all the way down: every value compared through the old shape
"""
