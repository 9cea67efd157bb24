"""SQL as text: tokens and tree in one coordinate, edits at places of it, and how deep it may be."""
