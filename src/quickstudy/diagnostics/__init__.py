"""Why it works, and what a machine and a network can do."""
