"""Is this robust accuracy lower than that one: gates, baseline, candidate, looks, verdict, reports."""
