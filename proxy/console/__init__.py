"""The admin console: a database of the proxy's own, for psql and every driver.

session ──► login ──► words ──► commands ──► shows    what there is to see
  (protocol)                    (the table)  acts     what there is to do: what the command line does, as it does it

docs/console.md is made from the table.
"""
