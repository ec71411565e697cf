"""Tasks that are drawn from a formula, whose truth is known."""
