"""The classifier as measures see it: precision, batches that fit into memory, devices, determinism."""
