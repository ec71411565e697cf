"""The baselines that nobody may skip."""
