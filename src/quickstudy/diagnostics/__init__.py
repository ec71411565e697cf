"""Diagnostics: why a learner works, and what a network can do."""
