"""Long statements are planned in a process of their own, so that the event loop goes on for everybody else.

A thread would not do: reading the tree of a statement of 3 MB is one call that holds Python's lock for a third of a
second.

    process   the proxy's side: asks, and starts another process when one has ended
    child     the process: knows the latest snapshots, answers one question after the other
"""
