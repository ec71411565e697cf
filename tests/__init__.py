"""A package, so that no other one of the name `tests`, as some that are installed leave behind, is found in its place."""
