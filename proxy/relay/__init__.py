"""Between a client and PostgreSQL: sockets, encryption, logins, and the sessions that join the two.

listener ──► session ──dialer──► PostgreSQL

Both sides of a session are ends; the gateway is what all sessions share; what to send is the conversation's business.
"""
