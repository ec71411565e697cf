"""Learn by comparing with the support."""
