"""Experiments: entrants that differ in one thing, trained and measured alike, and what their comparison says."""
