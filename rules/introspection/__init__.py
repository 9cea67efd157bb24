"""What a client is told of a managed table by the system catalogs: its own shape, and nothing of ours.

Tools read `pg_attribute` and `information_schema.columns` and put every column that they find there into their INSERTs,
so what they find has to be what they may write. A catalog relation in FROM is replaced, where it stands, by a
sub-select that leaves out rows and changes values of the managed tables; nothing is made in the database.

    tables        a managed table as a client sees it
    catalogs      what to leave out and what to put in, for each relation of pg_catalog
    standard      the same for the views of information_schema
    relations     which relation a name means, and its treatment
    rewriting     the edits of one statement
"""
