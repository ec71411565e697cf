"""Outer methods that take values alone."""
