"""`pgjanus demo`: the whole story on an embedded PostgreSQL, with live traffic from the first to the last phase.

names          the table's data, and `up`/`down` once more in Python, to check the SQL against
ledger         what the applications were told: the acknowledged value of every row
applications   an OLD application (psycopg) and a NEW one (asyncpg) that work on the same rows
screen         what a person sees: a live picture on a terminal, plain lines on a pipe
walk           the commands of a migration in order, and the verdict
"""
