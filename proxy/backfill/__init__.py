"""The side worker that converts the rows that were there before, up or down the ladder, beside live writers.

    run ──► for each row state that the phase wants empty ──► worker.empty_state
                 passes over the table (walk) of batches (rules.batches), each committed with its cursor (progress)

It knows one thing: a neighbouring phase forbids a row state, so empty it. Whether it is empty is decided by a scan
and then by the gate, never by a cursor or a counter.
"""
