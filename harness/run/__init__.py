"""From a plan to records: plan, store, shards, findings, and who does the work."""
