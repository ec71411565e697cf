"""Learn by reading the support into a memory."""
