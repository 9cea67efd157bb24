"""Proof that the two formats of every row are each other's: asked for, by `advance`, or by the side worker unasked.

    runner ──► one pass (passes): chunk by chunk (compare), each committed with its cursor and what it found, paced as
                 the backfill (pace) ──► closed by one statement over what has changed meanwhile ──► a proof, or a list

A pass goes on where it was, whoever ended in the middle of it, and several who are at it share it. What it finds is in
`pgjanus.divergences`, all of it. A proof is brought up to date by another closing statement, without another pass.
"""
