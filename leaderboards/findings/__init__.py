"""Findings of a paper as statements, each with its data, its test and its verdict on the entrants of one board."""
