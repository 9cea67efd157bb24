"""Random histories: three proxies, clients of both shapes, bypass writers, the worker, operators, and things that die.

register        the table of a history: what each shape sees of a row, what a write makes of it
records         what clients saw and were told
checker         every read and the final table against the chain of versions of each row; pure
applications    the clients: autocommit and transactions of every isolation level, with pauses inside
scenario        what a seed says will happen
arena           a server, a database, three `pgjanus serve`
operators       the walk on the ladder, and the worker
nemesis         kill -9, SIGSTOP, cut connections, restarted PostgreSQL
history         one history from `start` to the verdict
bugs            mistakes that can be planted, to see that they are found
wrapped         `pgjanus` with such a mistake, and with a place at which it can be stopped

`python -m tests.chaos --help`; docs/chaos.md says what is checked and what was found.
"""
