"""Tasks drawn from a formula, with known truth."""
