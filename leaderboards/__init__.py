"""What was found, and how it is shown: records, boards and pages. Imports neither zoo nor harness."""
