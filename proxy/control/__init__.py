"""What the proxies of one database agree on through it: phases, epochs, leases, and who is pinned to what.

registry ──reading──► rollout ──pins──► sessions

Leases and the roster say who has come along; fencing ends who has not.
"""
