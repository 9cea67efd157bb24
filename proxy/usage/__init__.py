"""Who still uses which shape of a migrated table: what `contracted` waits for.

session ──count──► counting ──every few seconds──► recorder ──► pgjanus.usage ──► `pgjanus usage`
                   one entry per sender                 store    of all proxies   `pgjanus advance`
"""
