"""PostgreSQL's wire protocol as values: pure, no sockets.

    framing     cuts a byte stream into messages, without holding what nobody looks into
    startup     the packets before a session: SSLRequest, CancelRequest, StartupMessage
    messages    the messages that pgjanus looks into, and those that it writes itself
    encodings   PostgreSQL's encodings as Python codecs

Source: PostgreSQL's documentation, chapter "Frontend/Backend Protocol"; src/backend/tcop/backend_startup.c, postgres.c.
"""
