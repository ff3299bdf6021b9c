"""Proving a record again: its witnesses replayed, its numbers computed again, lower numbers handed in."""
