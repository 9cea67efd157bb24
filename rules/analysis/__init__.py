"""Analysis: what every name in a statement means. It edits nothing.

    scope        queries: which columns they have and give
    from_items   items of FROM
    references   names in expressions

Each calls the one below it, and all of them look names up in `names`. The result is made of `values`.
"""
