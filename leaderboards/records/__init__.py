"""The record: its schema, its files, the arrays beside it."""
