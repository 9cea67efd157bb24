"""The proxy as a process: how it is put together, reloaded, watched over by systemd, and ended.

One process serves; with `--workers` each does, and their parent speaks for all of them.
"""
