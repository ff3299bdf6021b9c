"""Records ranked into a table."""
