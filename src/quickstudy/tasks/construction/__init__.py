"""New tasks made from existing ones."""
