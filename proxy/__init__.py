"""The running side: sockets, sessions, the control connection, the side worker and the command line.

    relay                       one client, one server connection: sockets, TLS, logins
      │
    conversation + wire         pure: one client's protocol state; the codec
      │
    control ──► database        the current snapshot, leases, who is pinned to what; phases kept in the database
    ladder                      an operator's side: steps between phases, and what is in their way
    planning, observe           plans and their cache; what the planner would say in other phases
    preflight, backfill, verify before, during and after: checks, the side worker, proof
    cli, admin                  one file per command

What should happen to a statement is decided in `rules`, which knows nothing of this package.
"""
