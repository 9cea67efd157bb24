"""What applications send to a table before its migration changes anything for them, and what is to become of it.

session ──count──► sightings ──every few seconds──► recorder ──► pgjanus.observations ──► `pgjanus observe`
                   one per remembered plan          fingerprint, forecast         store   `pgjanus advance`

PostgreSQL's log, pg_stat_statements ──► serverlog, server ──► census ──► `pgjanus explain --from-log`
"""
