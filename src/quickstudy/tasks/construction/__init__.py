"""New tasks of old ones."""
