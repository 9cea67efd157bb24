"""The running side: sockets, sessions, the control connection, the side worker and the command line.

    listener ──► session ──► dialer            one client, one server connection
                    │
              conversation + wire              pure: one client's protocol state; the codec
                    │
                 rollout ──► database          the current snapshot; phases kept in the database
    backfill, verify                           the side worker
    cli/, admin/                               one file per command

What should happen to a statement is decided in `rules`, which knows nothing of this package.
"""
