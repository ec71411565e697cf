"""Studies: a question each, its answer in a JSON beside it."""
