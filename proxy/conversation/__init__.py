"""One client's protocol state, without sockets: bytes in, actions out.

    opening        the packets before a session; which shape the client asked for
    ledger         the one queue of replies that the server still owes, and what each of them is for
    statements     prepared statements and portals: what the client named, what the server has
    names          what SQL's own PREPARE, EXECUTE, DECLARE, FETCH and savepoints do to them
    renewals       what it takes to have a statement prepared again when the phase has moved
    settings       the session's parameters that decide how its SQL is read
    replies        errors, notices and row descriptions as the client has to see them
    actions        what the session shall do
    conversation   the two directions: `receive_client`, `receive_server`

Everything that is not looked into passes as it came. Nothing is ever answered in the server's place: a refused
statement becomes one that the server refuses, so that transactions fail and pipelines skip as they always do.
"""
